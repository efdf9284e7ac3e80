"""docs/training-qwen-audio.md: tables and curves of the kept result of the proof."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.page import ROOT, Page
from benchmarks.performance.tables import measured_on, rows
from training.qwen_audio.journal import draw_curves

NAME = "qwen-audio-proof"
Result = dict[str, Any]
_RUNS = ("with tags", "without tags")
_GROUPS = {
    "transcription": "`transcribe` `wo_itn`",
    "digits": "`transcribe` `itn`",
    "events": "`keyword` `event`",
    "tones": "`caption` `caption_plain`",
}
_PRECISION = {"no": "float32", "bf16": "bfloat16"}
_KINDS = {
    "speech": "speech",
    "digits": "spoken digit strings",
    "event": "sound events",
    "tone": "call tones",
    "keys": "keys (DTMF)",
}


def proof(result: Result) -> str:
    """What was run, the figures of each task, the forms under each tag."""
    return "\n\n".join([_what_was_run(result), _figures(result), _matrix(result), _rest_of_matrix(result)])


def _what_was_run(result: Result) -> str:
    seeds = " ".join(str(seed) for seed in result["seeds"])
    pairs = [
        [_KINDS[kind], *(str(counts.get(group, "-")) for group in _GROUPS)]
        for kind, counts in _in_order(result["trained_pairs"])
    ]
    return (
        f"`python -m training.qwen_audio.proof --data FOLDER --steps {result['steps']} --seeds {seeds}`: "
        f"{result['minutes']} minutes on {result['threads']} threads in {_PRECISION[result['autocast']]} for all runs, "
        "measurement and tiny.en included. "
        f"{measured_on(result)} {result['trained_parameters'] / 1e6:.1f} M parameters were trained on "
        f"{result['train_minutes']:.0f} minutes of clips; {result['test_minutes']:.0f} minutes are the test.\n\n"
        "Rows that were learnt from, of each kind of clip under each tag:\n\n"
        f"{rows(['clips', *_GROUPS.values()], pairs)}"
    )


def _figures(result: Result) -> str:
    runs = [result["runs"][name] for name in _RUNS]
    lines = []
    for part, found in result["tiny_en"].items():
        values = [_spread([run["figures"]["transcription"][part]["wer"] for run in each]) for each in runs]
        size = f"{found['clips']} clips, {found['words']} words"
        lines.append([f"transcription, WER, {part}", size, *values, f"{found['wer']:.1f}"])
    for name, key, said in (
        ("digits", "exact", "whole strings right"),
        ("digits", "symbol_errors", "digit error rate"),
        ("events", "exact", "right (chance: 10)"),
        ("call tones", "exact", "right (chance: 8)"),
        ("keys", "exact", "whole strings right"),
        ("keys", "symbol_errors", "key error rate"),
    ):
        values = [_spread([run["figures"][name][key] for run in each]) for each in runs]
        lines.append([f"{name}, {said}", f"{runs[0][0]['figures'][name]['clips']} clips", *values, ""])
    table = rows(["test clips, %", "", *_RUNS, "tiny.en's own decoder"], lines)
    return f"On clips, speakers and a fold that were never trained on; mean (least-most) of the seeds:\n\n{table}"


def _matrix(result: Result) -> str:
    intro = (
        "The form of the answers to the same test clips under each tag, trained with tags: the most frequent form and "
        "its share, mean of the seeds. *In italics*: this kind of clip was never trained under this tag."
    )
    return f"{intro}\n\n{_forms(result, _RUNS[0])}"


def _rest_of_matrix(result: Result) -> str:
    runs = result["runs"][_RUNS[1]]
    lines = []
    for kind, _ in _in_order(runs[0]["forms"]):
        shares = _mean_shares([run["forms"][kind]["transcription"] for run in runs])
        lines.append([_KINDS[kind], ", ".join(f"{form} {share:.0f} %" for form, share in shares)])
    return (
        "Trained without tags there is one answer to a clip, whatever is wanted; its forms:\n\n"
        f"{rows(['test clips', 'forms'], lines)}"
    )


def _forms(result: Result, name: str) -> str:
    runs = result["runs"][name]
    lines = []
    for kind, _ in _in_order(runs[0]["forms"]):
        cells = []
        for group in _GROUPS:
            form, share = _mean_shares([run["forms"][kind][group] for run in runs])[0]
            cell = f"{form} {share:.0f} %"
            cells.append(cell if group in result["trained_pairs"].get(kind, {}) else f"*{cell}*")
        lines.append([_KINDS[kind], *cells])
    return rows(["test clips", *_GROUPS.values()], lines)


def _mean_shares(shares: Sequence[dict[str, float]]) -> list[tuple[str, float]]:
    forms = {form for each in shares for form in each}
    means = {form: mean(each.get(form, 0.0) for each in shares) for form in forms}
    return sorted(means.items(), key=lambda item: (-item[1], item[0]))


def _in_order(found: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(kind, found[kind]) for kind in _KINDS if kind in found]


def _spread(values: Sequence[float]) -> str:
    """ "12.3", or "12.3 (11.0-13.1)" of several seeds."""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{mean(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def draw(result: Result, folder: Path, name: str) -> None:
    """The curves of all runs, over one another."""
    draw_curves(result["logs"], folder / name)


PAGE = Page(
    document=ROOT / "docs" / "training-qwen-audio.md",
    results=Path(__file__).parents[1] / "results",
    kinds={NAME: ("The proof at small scale", proof)},
    plots={NAME: draw},
)
