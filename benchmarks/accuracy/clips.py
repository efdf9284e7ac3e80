"""The corpus: a manifest's rows, and each clip's samples as they are sent.

A manifest is a TSV with a header and at least the columns `path` (relative to the manifest) and `transcript`.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, cast, get_args

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from streaming.protocol.messages import SampleRate

MODEL_RATE: Final = 16_000
Item = TypeVar("Item")
WIRE_RATES: tuple[int, ...] = get_args(SampleRate)


class ManifestError(ValueError):
    """The manifest or one of its clips cannot be used; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the manifest."""

    path: str
    """As the manifest writes it; names the clip in results."""
    file: Path
    transcript: str


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip as it goes over the wire: mono int16 at a rate that the protocol takes."""

    row: Row
    samples: NDArray[np.int16]
    """int16 (n,), mono."""
    sample_rate: SampleRate

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate


def read_manifest(manifest: Path, limit: int | None = None) -> list[Row]:
    """The manifest's rows in its order; with `limit`, that many spread evenly over the list.

    Raises:
        ManifestError: no such file, a column missing, no rows, or a clip that is not there.
    """
    try:
        with manifest.open(encoding="utf-8", newline="") as lines:
            table = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            missing = {"path", "transcript"} - set(table.fieldnames or ())
            if missing:
                raise ManifestError(f"{manifest} has no column {' or '.join(sorted(missing))}")
            rows = [Row(line["path"], manifest.parent / line["path"], line["transcript"] or "") for line in table]
    except OSError as error:
        raise ManifestError(f"cannot read the manifest {manifest}: {error.strerror}") from error
    if not rows:
        raise ManifestError(f"{manifest} lists no clips")
    for row in rows:
        if not row.file.is_file():
            raise ManifestError(f"{manifest} lists {row.path}, and there is no such file")
    return spread(rows, limit) if limit else rows


def spread(items: list[Item], count: int) -> list[Item]:
    """`count` items (or all, if fewer), evenly spaced over the list, its first and last among them."""
    if count >= len(items):
        return items
    if count == 1:
        return items[:1]
    return [items[index * (len(items) - 1) // (count - 1)] for index in range(count)]


def load_clip(row: Row) -> Clip:
    """Reads a clip, mixes channels to mono by their mean, and resamples only rates that the protocol does not take.

    Raises:
        ManifestError: the file holds no readable audio.
    """
    try:
        audio, rate = soundfile.read(row.file, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ManifestError(f"cannot read {row.path}: {error}") from error
    mono = audio.mean(axis=1)
    if rate not in WIRE_RATES:
        mono, rate = soxr.resample(mono, rate, MODEL_RATE), MODEL_RATE
    samples = np.clip(np.rint(mono * 32768.0), -32768, 32767).astype(np.int16)
    return Clip(row, samples, cast(SampleRate, rate))


def model_input(clip: Clip) -> NDArray[np.float32]:
    """The clip as the offline reference hears it: float32 (n,), in [-1, 1], 16 kHz."""
    audio = clip.samples.astype(np.float32) / 32768.0
    if clip.sample_rate != MODEL_RATE:
        audio = soxr.resample(audio, clip.sample_rate, MODEL_RATE)
    return np.ascontiguousarray(audio, dtype=np.float32)


def fingerprint(clip: Clip) -> str:
    """Names the clip's audio, whatever its file is called."""
    return hashlib.sha256(clip.sample_rate.to_bytes(4, "little") + clip.samples.tobytes()).hexdigest()
