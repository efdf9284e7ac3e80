"""Which recordings teach which label, and which of them are kept out."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

RATE: Final = 16_000
FOLDS: Final = 4
SPEECH: Final = "Speech"
MUSIC: Final = "Music"
ESC10: Final = {
    "dog": "Bark",
    "rain": "Rain",
    "sea_waves": "Waves, surf",
    "crying_baby": "Baby cry, infant cry",
    "clock_tick": "Tick-tock",
    "sneezing": "Sneeze",
    "helicopter": "Helicopter",
    "chainsaw": "Chainsaw",
    "rooster": "Crowing, cock-a-doodle-doo",
    "crackling_fire": "Crackle",
}
"""ESC-10's classes by AudioSet's names."""
LABELS: Final = (SPEECH, MUSIC, *ESC10.values())
_ACTIVE_BELOW_PEAK_DB: Final = 35.0
_HOP: Final = 320

Role = Literal["speech", "music", "esc10", "other"]


class CorpusError(ValueError):
    """The folder holds no such manifest; the text says where it was looked for."""


@dataclass(frozen=True, slots=True)
class Source:
    path: str
    file: Path
    role: Role
    label: str | None
    """None: it teaches what no label is: noise, tones, other sounds."""
    fold: int
    """1 to 4; ESC-10's own, of others by a hash of their name."""
    exact: bool
    """Its speech is known to be clean speech; what else may be heard in it is not said."""


def sources(folder: Path) -> list[Source]:
    """All of the manifest's recordings that can teach.

    Raises:
        CorpusError: there is no manifest.
    """
    base = next((base for base in (folder, folder / "data") if (base / "MANIFEST.tsv").is_file()), None)
    if base is None:
        raise CorpusError(f"{folder} has no MANIFEST.tsv, nor has its folder data")
    with (base / "MANIFEST.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [found for row in rows if (found := _source(base, row)) is not None]


def _source(base: Path, row: dict[str, str]) -> Source | None:
    path, kind, label = row["path"], row["kind"], row["label"]
    fold = int(hashlib.sha256(path.encode()).hexdigest(), 16) % FOLDS + 1
    if path.startswith("event/esc10/"):
        return Source(path, base / path, "esc10", ESC10[label], int(Path(path).name[0]), True)
    if kind == "speech":
        return Source(path, base / path, "speech", SPEECH, fold, True)
    if kind == "music" or "hobbies/music" in label:
        singing = "sing" in label or "song" in label  # whoever sings may be said to speak: Speech is not judged
        return Source(path, base / path, "music", MUSIC, fold, not singing)
    if "babble" in label or "speech" in label or "crowd" in label:
        return None
    return Source(path, base / path, "other", None, fold, True)


@lru_cache(maxsize=4096)
def load(file: Path) -> NDArray[np.float32]:
    """float32 (n,) at 16 kHz, channels mixed, at most 30 s, peak 1."""
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    mono: NDArray[np.float32] = np.ascontiguousarray(samples[: 30 * rate].mean(axis=1))
    mono = soxr.resample(mono, rate, RATE) if rate != RATE else mono
    peak = float(np.abs(mono).max(initial=0))
    return mono / peak if peak > 0 else mono


def active(samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a recording sounds, bool (n // 320,): within 35 dB of its loudest 20 ms, holes of up to 0.2 s filled."""
    frames = samples[: len(samples) // _HOP * _HOP].reshape(-1, _HOP)
    level = 10 * np.log10((frames.astype(np.float64) ** 2).mean(axis=1) + 1e-12)
    loud = level > level.max(initial=-120) - _ACTIVE_BELOW_PEAK_DB
    filled: NDArray[np.bool_] = np.convolve(loud, np.ones(11), mode="same") > 0
    return filled
