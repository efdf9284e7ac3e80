"""Makes a manifest of four tasks from a folder of labelled audio (`MANIFEST.tsv`), and telephone tones to learn from.

    python -m training.qwen_audio.corpus --data FOLDER --out FOLDER

| group | tags | learnt from | tested on |
|---|---|---|---|
| transcription | transcribe, wo_itn | English speech | speakers never heard in training |
| digits | transcribe, itn | number strings, written as digits | a speaker and AN4 speakers never heard |
| events | keyword, event | ESC-10, folds 1-3 | ESC-10, fold 4 |
| tones | caption, caption_plain | tones that are made here | the tones of the folder |

Digits have no tag of their own: a number string written as digits *is* inverse text normalisation, so that they differ
from transcription in the output instruction alone. Recognition of entities would have to name types and mark spans.

What is heard does not say what is asked: number strings are learnt under two tags, and some clips of each kind also
under others: no words are said in an event or a tone, and speech, music and telephones are events, too.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import soundfile

from inference.pool.tasks import Task
from training.qwen_audio.answers import spoken, tone_name, written_digits
from training.qwen_audio.manifest import ManifestError, Row, Split, write_manifest
from training.qwen_audio.tones import SAMPLE_RATE, draw_tone

TRANSCRIBE = Task(name="transcribe", language="en")
DIGITS = Task(name="transcribe", language="en", written=True)
EVENTS = Task(name="sound_events")
TONES = Task(name="caption", style="plain")
LONGEST_S = 12.0
TEST_FOLD = "fold 4"
TEST_SPEAKERS = frozenset({"fsdd-nicolas", "ljspeech", "jfk", "ms-beckett", "ls-1089", "ls-1272", "ls-198", "ls-5703"})
"""Besides every eighth speaker of AN4."""
MADE_TONES = 700
_CROSS = 8
"""Of the training clips, one in so many is also asked about under a tag of another kind of clip."""


def build(data: Path, out: Path, seed: int = 0) -> list[Row]:
    """Writes `out/manifest.jsonl` and the made tones below `out/tones`, and returns the rows.

    Args:
        data: a folder with MANIFEST.tsv (path, kind, seconds, language, label, speaker, ref_quality, note).
    Raises:
        ManifestError: there is no such file, or a column is missing.
    """
    try:
        with (data / "MANIFEST.tsv").open(encoding="utf-8", newline="") as lines:
            listed = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
            rows = [row for line in listed for row in _rows(data.resolve(), line)]
    except OSError as error:
        raise ManifestError(f"cannot read {data / 'MANIFEST.tsv'}: {error.strerror}") from error
    except KeyError as error:
        raise ManifestError(f"{data / 'MANIFEST.tsv'} has no column {error}") from error
    rows += _made_tones(out, seed)
    write_manifest(out / "manifest.jsonl", rows)
    return rows


def _rows(data: Path, line: dict[str, str]) -> Iterator[Row]:
    if not 0 < float(line["seconds"]) <= LONGEST_S:
        return
    match line["kind"]:
        case "speech":
            answers = _of_speech(line)
        case "event":
            answers = _of_event(line)
        case "tone":
            answers = _of_tone(line)
        case "music":
            answers = [("music", "events", EVENTS, "music"), ("music", "transcription", TRANSCRIBE, "")]
        case _:
            answers = []
    split = _split(line)
    audio, seconds = str(data / line["path"]), float(line["seconds"])
    for kind, group, task, target in answers:
        yield Row(
            audio=audio,
            task=task,
            target=target,
            split=split,
            group=group,
            seconds=seconds,
            kind=kind,
            speaker=_speaker(line),
        )


_Answer = tuple[str, str, Task, str]
"""Kind of clip, group, task, target."""


def _of_speech(line: dict[str, str]) -> list[_Answer]:
    words = spoken(line["label"]) if line["language"] == "en" and line["ref_quality"].startswith("exact") else None
    if not words:
        return []
    digits = written_digits(words)
    kind = "digits" if digits else "speech"
    answers: list[_Answer] = [(kind, "transcription", TRANSCRIBE, words)]
    if digits:
        answers.append((kind, "digits", DIGITS, digits))
    if _crosses(line):
        answers.append((kind, "events", EVENTS, "speech"))
    return answers


def _of_event(line: dict[str, str]) -> list[_Answer]:
    if not line["path"].startswith("event/esc10/"):
        return []
    silent: list[_Answer] = [("event", "transcription", TRANSCRIBE, "")] if _crosses(line) else []
    return [("event", "events", EVENTS, line["label"].replace("_", " ")), *silent]


def _of_tone(line: dict[str, str]) -> list[_Answer]:
    name = tone_name(Path(line["path"]).stem, line["label"])
    return [("keys" if name.startswith("keys") else "tone", "tones", TONES, name)] if name else []


def _made_tones(out: Path, seed: int) -> Iterator[Row]:
    generator = np.random.default_rng(seed)
    (out / "tones").mkdir(parents=True, exist_ok=True)
    for number in range(MADE_TONES):
        tone = draw_tone(generator)
        file = out / "tones" / f"{number:04}.flac"
        soundfile.write(file, tone.samples, SAMPLE_RATE)
        kind = "keys" if tone.name.startswith("keys") else "tone"
        split: Split = "validation" if number % 20 == 0 else "train"
        answers: list[_Answer] = [(kind, "tones", TONES, tone.name)]
        if number % _CROSS == 1:
            answers += [(kind, "events", EVENTS, "telephone"), (kind, "transcription", TRANSCRIBE, "")]
        for _, group, task, target in answers:
            yield Row(
                audio=f"tones/{file.name}",
                task=task,
                target=target,
                split=split,
                group=group,
                seconds=len(tone.samples) / SAMPLE_RATE,
                kind=kind,
            )


def _speaker(line: dict[str, str]) -> str:
    """Clips without a named speaker are taken as one speaker's per folder."""
    return (line["speaker"] or str(Path(line["path"]).parent)) if line["kind"] == "speech" else ""


def _split(line: dict[str, str]) -> Split:
    if line["kind"] == "tone":
        return "test"
    if line["path"].startswith("event/esc10/"):
        return "test" if line["note"].startswith(TEST_FOLD) else "train"
    speaker = _speaker(line)
    if speaker in TEST_SPEAKERS or (speaker.startswith("an4-") and _share(speaker, 8)):
        return "test"
    return "validation" if _share(line["path"], 20) else "train"


def _crosses(line: dict[str, str]) -> bool:
    return _share("cross " + line["path"], _CROSS) and _split(line) != "test"


def _share(name: str, of: int) -> bool:
    """One in `of` names, always the same ones."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little") % of == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the manifest and says what is in it."""
    parser = argparse.ArgumentParser(prog="python -m training.qwen_audio.corpus", description="Makes a manifest.")
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.tsv")
    parser.add_argument("--out", type=Path, required=True, help="folder for manifest.jsonl and made tones")
    options = parser.parse_args(arguments)
    try:
        rows = build(options.data, options.out)
    except ManifestError as error:
        print(error, file=sys.stderr)
        return 2
    counts = Counter((row.group, row.split) for row in rows)
    for group in dict.fromkeys(row.group for row in rows):
        print(f"{group}: " + ", ".join(f"{counts[group, split]} to {split}" for split in get_args(Split)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
