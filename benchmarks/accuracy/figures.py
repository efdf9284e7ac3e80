"""From exchanges to the figures of the report. Pure.

Latencies are the client's: from the moment a sample was sent to the moment a message was there, on a clip paced in
real time. Costs are the server's own account (`summary`), divided by the audio that was sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.accuracy.clips import Clip
from benchmarks.accuracy.exchange import Exchange
from benchmarks.accuracy.words import NO_ERRORS, Percentiles, WordErrors, has_loop, normalise, split_digits, word_errors
from inference.pool.interface import FRAME_SAMPLES, SAMPLE_RATE
from streaming.protocol.messages import Load, Speech, Transcript
from streaming.transcript.metrics import Steadiness, TranscriptReader

FRAMES_PER_S = SAMPLE_RATE // FRAME_SAMPLES  # 50


@dataclass(slots=True)
class Latencies:
    """All in ms; one entry per event, so that sums over clips are concatenations."""

    first_interim: list[float] = field(default_factory=list)
    """Speech onset sent → first interim of the utterance received."""
    ttfs: list[float] = field(default_factory=list)
    """The sample at which the silence endpoint fired sent → final received."""
    partial_lag: list[float] = field(default_factory=list)
    """Newest sent minus newest decoded audio in open speech, just before and just after each interim arrives."""

    def __add__(self, other: Latencies) -> Latencies:
        return Latencies(
            self.first_interim + other.first_interim,
            self.ttfs + other.ttfs,
            self.partial_lag + other.partial_lag,
        )


@dataclass(slots=True)
class _Spoken:
    """One utterance as the client follows it."""

    onset_ms: float
    decoded_ms: float
    endpoint_ms: float | None = None
    """Where the silence endpoint fired."""
    open: bool = True
    interims: int = 0


def latencies(exchange: Exchange) -> Latencies:
    """Measures one exchange paced in real time."""
    found = Latencies()
    spoken: dict[int, _Spoken] = {}
    for received in exchange.received:
        match received.message:
            case Speech(state="started", utterance=utterance, at_ms=at_ms):
                spoken[utterance] = _Spoken(onset_ms=at_ms, decoded_ms=at_ms)
            case Speech(state="ended", utterance=utterance, at_ms=at_ms, rule=rule):
                spoken[utterance].open = False
                spoken[utterance].endpoint_ms = at_ms if rule == "silence" else None
            case Transcript(final=True, utterance=utterance):
                _add_elapsed(found.ttfs, exchange, spoken[utterance].endpoint_ms, received.at_s)
            case Transcript(utterance=utterance, decoded_until_ms=decoded_ms):
                speech = spoken[utterance]
                if not speech.interims:
                    _add_elapsed(found.first_interim, exchange, speech.onset_ms, received.at_s)
                if speech.open:
                    sent_ms = exchange.sent_ms(received.at_s)
                    found.partial_lag += [sent_ms - speech.decoded_ms, sent_ms - decoded_ms]
                speech.decoded_ms = decoded_ms
                speech.interims += 1
    return found


def _add_elapsed(into: list[float], exchange: Exchange, position_ms: float | None, until_s: float) -> None:
    sent_s = exchange.sent_at_s(position_ms) if position_ms is not None else None
    if sent_s is not None:
        into.append((until_s - sent_s) * 1000)


@dataclass(frozen=True, slots=True)
class ClipResult:
    """One clip, streamed and (unless left out) decoded offline."""

    clip: Clip
    exchange: Exchange
    offline: str | None
    steadiness: Steadiness

    @classmethod
    def of(cls, clip: Clip, exchange: Exchange, offline: str | None) -> ClipResult:
        """Raises ValueError where the transcripts do not follow one another as the protocol says."""
        reader = TranscriptReader()
        for received in exchange.received:
            if isinstance(received.message, Transcript):
                reader.read(received.message)
        return cls(clip, exchange, offline, reader.steadiness)

    @property
    def reference(self) -> str:
        return self.clip.row.transcript

    @property
    def streamed(self) -> str:
        return self.exchange.text


def figures(results: Sequence[ClipResult], paced: Sequence[Exchange]) -> dict[str, Any]:
    """All figures over all clips together, ready for JSON; what could not be measured is None."""
    steadiness = sum((result.steadiness for result in results), Steadiness())
    measured = sum((latencies(exchange) for exchange in paced), Latencies())
    summaries = [result.exchange.summary for result in results]
    audio_s = sum(result.clip.seconds for result in results)
    speech_s = sum(summary.speech_ms for summary in summaries) / 1000
    frames = sum(summary.encoder_frames for summary in summaries)
    calls = sum(summary.decoder_calls for summary in summaries)
    offline = [result for result in results if result.offline is not None]
    return {
        "wer_streaming": round(_errors(results, "streamed").rate, 2),
        "wer_offline": round(_errors(offline, "offline").rate, 2) if offline else None,
        "wer_streaming_digits_apart": round(_errors(results, "streamed", digits_apart=True).rate, 2),
        "wer_offline_digits_apart": round(_errors(offline, "offline", digits_apart=True).rate, 2) if offline else None,
        "upwr": round(steadiness.upwr, 4),
        "upwr_exact": round(steadiness.upwr_exact, 4),
        "flicker_per_word": round(steadiness.flicker_per_word, 4),
        "stable_violations": steadiness.stable_violations,
        "stable_words": steadiness.stable_words,
        "final_corrections": round(steadiness.final_correction_share, 5),
        "final_corrections_exact": round(steadiness.final_corrections_exact / max(steadiness.stable_words, 1), 5),
        "loops": sum(has_loop(result.reference, result.streamed) for result in results),
        "loops_offline": sum(has_loop(result.reference, result.offline or "") for result in offline),
        "frames_per_frame": round(frames / (audio_s * FRAMES_PER_S), 3),
        "frames_per_speech_frame": _ratio(frames, speech_s * FRAMES_PER_S),
        "decoder_calls_per_s": _ratio(calls, speech_s),
        "decoder_calls_per_audio_s": round(calls / audio_s, 3),
        "first_interim_ms": _percentiles(measured.first_interim),
        "ttfs_ms": _percentiles(measured.ttfs),
        "partial_lag_ms": _percentiles(measured.partial_lag),
        "clips": len(results),
        "audio_s": round(audio_s, 1),
        "speech_s": round(speech_s, 1),
        "utterances": steadiness.finals,
        "overloads": sum(_overloads(result.exchange) for result in results) + sum(map(_overloads, paced)),
        "reference_words": _errors(results, "streamed").reference_words,
    }


def row(result: ClipResult) -> dict[str, Any]:
    """One clip's line in the JSON."""
    streamed = _errors([result], "streamed")
    return {
        "path": result.clip.row.path,
        "seconds": round(result.clip.seconds, 2),
        "utterances": result.steadiness.finals,
        "words": streamed.reference_words,
        "errors_streaming": streamed.errors,
        "errors_offline": _errors([result], "offline").errors if result.offline is not None else None,
        "loop": has_loop(result.reference, result.streamed),
        "corrections": result.steadiness.final_corrections,
        "encoder_frames": result.exchange.summary.encoder_frames,
        "decoder_calls": result.exchange.summary.decoder_calls,
        "reference": result.reference,
        "streaming": result.streamed,
        "offline": result.offline,
    }


def _overloads(exchange: Exchange) -> int:
    """How often the service said that it makes interims rarer: such a run is steadier than a calm one."""
    levels = (received.message.level for received in exchange.received if isinstance(received.message, Load))
    return sum(level != "normal" for level in levels)


def _errors(results: Sequence[ClipResult], which: str, digits_apart: bool = False) -> WordErrors:
    fold = (lambda text: split_digits(normalise(text))) if digits_apart else normalise
    return sum(
        (word_errors(fold(result.reference), fold(getattr(result, which))) for result in results), start=NO_ERRORS
    )


def _ratio(amount: float, per: float) -> float | None:
    return round(amount / per, 3) if per else None


def _percentiles(values: Sequence[float]) -> dict[str, float] | None:
    found = Percentiles.of(values)
    return None if found is None else {"p50": found.p50, "p95": found.p95, "p99": found.p99, "count": found.count}
