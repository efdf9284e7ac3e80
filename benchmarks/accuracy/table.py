"""The figures as rows: name, value, bound. Used for the terminal and for docs/accuracy.md. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.table import Table

WER_SLACK = 1.0
LAG_P95_MS = 900
TTFS_P95_MS = 450
FRAMES_PER_FRAME = 4.0
DECODER_CALLS_PER_S = 8.0
FINAL_CORRECTIONS = 0.015
UPWR = 0.25


@dataclass(frozen=True, slots=True)
class Line:
    """One figure; `met` is None where it has no bound or was not measured."""

    name: str
    value: str
    bound: str = ""
    met: bool | None = None


def lines(result: dict[str, Any]) -> list[Line]:
    """The figures of one result, in the report's order."""
    return [
        *_word_errors(result),
        _at_most("clips with a repetition loop", result["loops"], 0, f"{result['loops']}"),
        _at_most("stable words changed while open", result["stable_violations"], 0, f"{result['stable_violations']}"),
        _at_most(
            "stable words corrected by finals",
            result["final_corrections"],
            0.0 if result["settings"]["interim"] == "append_only" else FINAL_CORRECTIONS,
            f"{result['final_corrections']:.2%} (case and punctuation too: {result['final_corrections_exact']:.2%})",
            "{:.1%}",
        ),
        _at_most(
            "UPWR",
            result["upwr"],
            UPWR,
            f"{result['upwr']:.3f} (case and punctuation too: {result['upwr_exact']:.3f})",
        ),
        Line("flicker per word", f"{result['flicker_per_word']:.3f}"),
        _at_most(
            "encoder frames per frame of audio",
            result["frames_per_frame"],
            FRAMES_PER_FRAME,
            f"{result['frames_per_frame']:.2f} (per frame of speech: {result['frames_per_speech_frame']})",
        ),
        _at_most(
            "decoder calls per second of speech",
            result["decoder_calls_per_s"],
            DECODER_CALLS_PER_S,
            f"{result['decoder_calls_per_s']} (per second of audio: {result['decoder_calls_per_audio_s']})",
        ),
        _latency("first interim after the onset", result["first_interim_ms"], None),
        _latency(
            f"TTFS after the endpoint ({result['endpoint_silence_ms']} ms of silence)", result["ttfs_ms"], TTFS_P95_MS
        ),
        _latency("partial lag", result["partial_lag_ms"], LAG_P95_MS),
        *_invariance(result["invariance"]),
        Line("audio", f"{result['clips']} clips, {result['audio_s'] / 60:.1f} min, {result['utterances']} utterances"),
        Line("times that load made interims rarer", f"{result['overloads']}"),
        Line("speed, streams at once", f"{result['audio_s_per_s']} s of audio per s, {result['settings']['streams']}"),
    ]


def table(result: dict[str, Any]) -> Table:
    """For the terminal."""
    drawn = Table(title=f"{result['manifest']}, {result['settings']['model']}, {result['machine']['processor']}")
    for heading in ("figure", "value", "bound", ""):
        drawn.add_column(heading)
    for line in lines(result):
        mark = {None: "", True: "[green]met", False: "[red]missed"}[line.met]
        drawn.add_row(line.name, line.value, line.bound, mark)
    return drawn


def _word_errors(result: dict[str, Any]) -> Iterator[Line]:
    streaming, offline = result["wer_streaming"], result["wer_offline"]
    if offline is None:
        yield Line("WER, finals of the stream", f"{streaming:.2f} %")
        return
    bound = f"≤ {offline + WER_SLACK:.2f} %"
    yield Line("WER, finals of the stream", f"{streaming:.2f} %", bound, streaming <= offline + WER_SLACK)
    yield Line("WER, offline", f"{offline:.2f} % ({result['loops_offline']} clips with a loop)")
    apart = f"{result['wer_streaming_digits_apart']:.2f} % / {result['wer_offline_digits_apart']:.2f} %"
    yield Line("the same with each digit a word, stream / offline", apart)


def _at_most(name: str, value: float | None, bound: float, text: str, form: str = "{:g}") -> Line:
    return Line(name, text, "≤ " + form.format(bound), None if value is None else value <= bound)


def _latency(name: str, percentiles: dict[str, float] | None, p95_bound: float | None) -> Line:
    if percentiles is None:
        return Line(name, "not measured")
    value = " / ".join(f"{percentiles[key]:.0f}" for key in ("p50", "p95", "p99")) + " ms"
    text = f"{value} (p50 / p95 / p99 of {percentiles['count']:.0f})"
    if p95_bound is None:
        return Line(name, text)
    return Line(name, text, f"p95 ≤ {p95_bound:g} ms", percentiles["p95"] <= p95_bound)


def _invariance(found: dict[str, Any] | None) -> Iterator[Line]:
    for name, one in (found or {}).items():
        text = f"{one['differ']} of {one['clips']} clips ({one['differ_with_times']} with word times)"
        yield Line(f"other finals with {name}", text, "≤ 0", one["differ"] == 0)
