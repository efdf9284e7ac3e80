"""What answers are worth: error rates of each task on test clips, and which form each tag gives. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.accuracy.words import NO_ERRORS, normalise, split_digits, word_errors
from inference.pool.tasks import Task
from training.qwen_audio.answers import Form, form_of
from training.qwen_audio.corpus import DIGITS, EVENTS, TONES, TRANSCRIBE
from training.qwen_audio.manifest import Row

Answers = Mapping[tuple[str, Task], str]
"""By audio and task."""
TASKS: dict[str, tuple[Task, Form]] = {
    "transcription": (TRANSCRIBE, "words"),
    "digits": (DIGITS, "digits"),
    "events": (EVENTS, "event"),
    "tones": (TONES, "tone"),
}
"""Of each group, what is asked, and the form of its answers."""
SPEECH = {"an4": "AN4: spelled names, numbers, commands", "fsdd": "FSDD: digits, telephone band"}
PROSE = "read prose, other corpora"


def word_error_rates(rows: Sequence[Row], texts: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """WER in percent and clips of each part of the test speech, and of all of it.

    Args:
        rows: of transcription.
        texts: by audio. Both sides go through Whisper's English normaliser, digits apart.
    """
    parts: dict[str, list[Row]] = {"all": []}
    for row in rows:
        if row.target:
            parts.setdefault(speech_part(row), []).append(row)
            parts["all"].append(row)
    found = {}
    for name, members in parts.items():
        errors = NO_ERRORS
        for row in members:
            errors += word_errors(_compared(row.target), _compared(texts[row.audio]))
        found[name] = {"wer": round(errors.rate, 1), "words": errors.reference_words, "clips": len(members)}
    return found


def speech_part(row: Row) -> str:
    """Which part of the test speech a row belongs to."""
    return SPEECH.get(row.speaker.partition("-")[0], PROSE)


def task_figures(rows: Sequence[Row], answers: Answers) -> dict[str, Any]:
    """Of each task its figures on the rows that ask for it.

    Returns:
        `transcription` as of `word_error_rates`; of the others shares in percent: `exact` answers, and for digits and
        keys the `symbol_errors` (edit distance over symbols that should be there).
    """
    of_group = {name: [row for row in rows if row.group == name] for name in TASKS}
    found: dict[str, Any] = {}
    if speech := [row for row in of_group["transcription"] if row.kind in ("speech", "digits")]:
        found["transcription"] = word_error_rates(speech, {row.audio: answers[row.audio, TRANSCRIBE] for row in speech})
    for name, group, kinds, symbols in (
        ("digits", "digits", ("digits",), True),
        ("events", "events", ("event",), False),
        ("call tones", "tones", ("tone",), False),
        ("keys", "tones", ("keys",), True),
    ):
        members = [row for row in of_group[group] if row.kind in kinds]
        if members:
            said = [(row.target, answers[row.audio, TASKS[group][0]]) for row in members]
            found[name] = _exactness(said, symbols)
    return found


def _exactness(pairs: Sequence[tuple[str, str]], symbols: bool) -> dict[str, float]:
    exact = sum(target == text for target, text in pairs)
    found: dict[str, float] = {"exact": round(100 * exact / len(pairs), 1), "clips": len(pairs)}
    if symbols:
        errors = NO_ERRORS
        for target, text in pairs:
            errors += word_errors(_symbols(target), _symbols(text))
        found["symbol_errors"] = round(errors.rate, 1)
    return found


def form_matrix(rows: Sequence[Row], answers: Answers) -> dict[str, dict[str, dict[str, float]]]:
    """Of each kind of clip, under each tag, the shares of the forms that the answers have, in percent."""
    clips: dict[str, set[str]] = {}
    for row in rows:
        clips.setdefault(row.kind, set()).add(row.audio)
    matrix: dict[str, dict[str, dict[str, float]]] = {}
    for kind, members in sorted(clips.items()):
        for group, (task, _) in TASKS.items():
            counts = Counter[str](form_of(answers[audio, task]) for audio in members)
            shares = {form: round(100 * count / len(members), 1) for form, count in counts.most_common()}
            matrix.setdefault(kind, {})[group] = shares
    return matrix


def trained_pairs(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """How many rows were learnt from of each kind of clip under each tag."""
    counts = Counter((row.kind, row.group) for row in rows if row.split == "train")
    found: dict[str, dict[str, int]] = {}
    for (kind, group), count in sorted(counts.items()):
        found.setdefault(kind, {})[group] = count
    return found


def _compared(text: str) -> str:
    return split_digits(normalise(text))


def _symbols(text: str) -> str:
    """Each digit or key apart; of any other text its words."""
    return " ".join(text.replace(" ", "")) if form_of(text) == "digits" else text.removeprefix("keys ")
