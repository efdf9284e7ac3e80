"""Mixtures of ESC-10's recordings on beds of noise, with the truth. Seeded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.events.scenes import telephone
from training.events.sources import RATE, Source, active, load

SECONDS: Final = 30
_SLOTS: Final = 3
_HOP: Final = 320
_MERGED: Final = 50  # frames: a pause of up to a second is within an event


@dataclass(frozen=True, slots=True)
class Truth:
    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Mixture:
    pcm: NDArray[np.int16]
    truth: tuple[Truth, ...]


def mixtures(every: list[Source], count: int, snr_db: float, line: bool, seed: int) -> list[Mixture]:
    """Each has three recordings in 30 s, none over another, so loud above a bed of noise; `line`: over a telephone."""
    random = np.random.default_rng(seed)
    sounds = [each for each in every if each.role == "esc10"]
    beds = [each for each in every if each.role == "other" and each.path.startswith("noise/")]
    made: list[Mixture] = []
    for _ in range(count):
        mixed = np.resize(load(beds[int(random.integers(len(beds)))].file).astype(np.float64), SECONDS * RATE)
        mixed *= 0.02 / np.sqrt((mixed**2).mean() + 1e-12)
        truth: list[Truth] = []
        for slot in range(_SLOTS):
            source = sounds[int(random.integers(len(sounds)))]
            samples = load(source.file)[: 6 * RATE].astype(np.float64)
            on = active(samples.astype(np.float32))
            heard = np.flatnonzero(np.repeat(on, _HOP))
            rms = np.sqrt((samples[: len(on) * _HOP][np.repeat(on, _HOP)] ** 2).mean() + 1e-12)
            at = slot * 10 * RATE + int(random.integers(1, 3 * RATE))
            mixed[at : at + len(samples)] += samples[: len(mixed) - at] * (0.02 / rms * 10 ** (snr_db / 20))
            assert source.label is not None
            truth += [Truth(source.label, (at + first) / RATE, (at + last) / RATE) for first, last in _spans(heard)]
        mixed = telephone(mixed) if line else mixed
        mixed *= 0.5 / max(0.5, float(np.abs(mixed).max()))
        made.append(Mixture((mixed * 32767).astype(np.int16), tuple(truth)))
    return made


def _spans(heard: NDArray[np.int64]) -> list[tuple[int, int]]:
    breaks = np.flatnonzero(np.diff(heard) > _MERGED * _HOP)
    firsts = [heard[0], *heard[breaks + 1]]
    lasts = [*heard[breaks], heard[-1]]
    return [(int(first), int(last) + 1) for first, last in zip(firsts, lasts, strict=True)]
