"""Recordings by kind, as a detector gets them: mono int16 at 16 kHz."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from streaming.audio.clock import SAMPLE_RATE
from streaming.audio.formats import to_int16
from streaming.audio.resampler import StreamingResampler
from streaming.protocol.messages import SampleRate

MANIFEST: Final = "MANIFEST.tsv"
KINDS: Final = ("speech", "music", "event", "noise")
"""What has no telephone tones in it, but for the few that say so in their label."""


class CorpusError(ValueError):
    """The folder holds no such manifest; the text says where it was looked for."""


@dataclass(frozen=True, slots=True)
class Recording:
    kind: str
    path: str
    file: Path
    label: str


def recordings(folder: Path) -> list[Recording]:
    """What the manifest of the folder, or of its `data`, lists of KINDS.

    Raises:
        CorpusError: there is no manifest.
    """
    base = next((base for base in (folder, folder / "data") if (base / MANIFEST).is_file()), None)
    if base is None:
        raise CorpusError(f"{folder} has no {MANIFEST}, nor has its folder data")
    with (base / MANIFEST).open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [
            Recording(row["kind"], row["path"], base / row["path"], row["label"])
            for row in rows
            if row["kind"] in KINDS and "(telephone)" not in row["label"]
        ]


def load(recording: Recording, speed: float = 1.0) -> NDArray[np.int16]:
    """The first channel, played at this speed: pitch moves with it."""
    samples, rate = soundfile.read(recording.file, dtype="float32", always_2d=True)
    channel = np.ascontiguousarray(samples[:, 0])
    if speed == 1.0 and rate in get_args(SampleRate):
        resampler = StreamingResampler(rate)
        return np.concatenate([resampler.feed(channel), resampler.flush()])
    return to_int16(soxr.resample(channel, rate * speed, SAMPLE_RATE))


def babble(speech: list[Recording], length: int, voices: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """So many voices at once, each recording after recording at equal power: float64 (length,), of power 1."""
    total = np.zeros(length)
    for _ in range(voices):
        at = 0
        for piece in _voice(speech, generator):
            piece = piece[: length - at]
            total[at : at + len(piece)] += piece
            at += len(piece)
            if at == length:
                break
    scaled: NDArray[np.float64] = total / np.sqrt(np.mean(total**2))
    return scaled


def _voice(speech: list[Recording], generator: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    while True:
        samples = load(speech[int(generator.integers(len(speech)))]).astype(np.float64)
        power = float(np.mean(samples**2))
        if power > 0:
            yield samples / np.sqrt(power)
