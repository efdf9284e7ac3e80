"""Scenes: recordings mixed as a line or a room would carry them, with the truth of each block. Seeded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from training.events.sources import LABELS, RATE, SPEECH, Source, active, load

BLOCK: Final = 8_000
SECONDS: Final = 10
UNSURE: Final = -1.0
"""A block of which it is not said whether the label holds."""
_HOP: Final = 320
_LINE_HZ: Final = (300, 3400)


@dataclass(frozen=True, slots=True)
class Scene:
    pcm: NDArray[np.int16]
    truth: NDArray[np.float32]
    """(blocks, labels): 1, 0 or UNSURE."""
    fold: int
    """Of its ESC-10 recordings; none of another fold is in it."""


class SceneMaker:
    def __init__(self, every: Sequence[Source], fold: int, seed: int) -> None:
        """Scenes of one fold's ESC-10 and other recordings, and of all folds' speech that is not kept out."""
        self._fold = fold
        self._random = np.random.default_rng((seed, fold))
        mine = [each for each in every if each.fold == fold]
        self._pools = {role: [s for s in mine if s.role == role] for role in ("speech", "music", "esc10", "other")}

    def make(self) -> Scene:
        """One scene of 10 s: a floor of noise, then speech, an event, music, or something else, in chance's order."""
        random = self._random
        length = SECONDS * RATE
        mixed = random.standard_normal(length) * 10 ** (random.uniform(-85, -45) / 20)
        truth = np.zeros((length // BLOCK, len(LABELS)), np.float32)
        kind = random.choice(("event", "event", "event", "speech", "music", "other", "event+speech", "music+speech"))
        roles = {"event": ("esc10",), "event+speech": ("esc10", "speech"), "music+speech": ("music", "speech")}
        for role in roles.get(str(kind), (str(kind),)):
            for _ in range(2 if role in ("esc10", "other") and random.random() < 0.3 else 1):
                self._add(mixed, truth, role)
        if random.random() < 0.35:
            mixed = telephone(mixed)
        loud = np.abs(mixed).max()
        mixed = mixed / max(1.0, loud / 0.99)
        return Scene((mixed * 32767).astype(np.int16), truth, self._fold)

    def _add(self, mixed: NDArray[np.float64], truth: NDArray[np.float32], role: str) -> None:
        random = self._random
        pool = self._pools[role]
        if not pool:
            return
        source = pool[int(random.integers(len(pool)))]
        samples = load(source.file)
        if len(samples) > len(mixed):
            cut = int(random.integers(len(samples) - len(mixed)))
            samples = samples[cut : cut + len(mixed)]
        at = int(random.integers(max(1, len(mixed) - min(len(samples), len(mixed) // 2))))
        samples = samples[: len(mixed) - at]
        on = active(samples)
        if not on.any():
            return
        level_db = random.uniform(-40, -8) if role != "speech" else random.uniform(-35, -12)
        rms = float(np.sqrt((samples.astype(np.float64) ** 2).mean()) + 1e-9)
        mixed[at : at + len(samples)] += samples * (10 ** (level_db / 20) / rms)
        mark(truth, source, at, on)


def mark(truth: NDArray[np.float32], source: Source, at: int, on: NDArray[np.bool_]) -> None:
    """Says of a recording that sounds from `at` on, where `on`: a third of a block holds its label, less is unsure."""
    heard = np.zeros(truth.shape[0] * BLOCK // _HOP)
    first = at // _HOP
    heard[first : first + len(on)] = on[: len(heard) - first]
    share = heard.reshape(truth.shape[0], -1).mean(axis=1)
    if not source.exact:
        column = truth[:, LABELS.index(SPEECH)]
        column[(share > 0) & (column < 1)] = UNSURE
    if source.label is None:
        return
    column = truth[:, LABELS.index(source.label)]
    column[(share > 0) & (share < 0.33) & (column < 1)] = UNSURE
    column[share >= 0.33] = 1


def telephone(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """A line: 300 to 3400 Hz at 8 kHz, in the steps of µ-law."""
    spectrum = np.fft.rfft(soxr.resample(samples, RATE, 8000))
    hz = np.linspace(0, 4000, len(spectrum))
    spectrum[(hz < _LINE_HZ[0]) | (hz > _LINE_HZ[1])] = 0
    narrow = np.clip(np.fft.irfft(spectrum, len(samples) // 2), -1, 1)
    steps = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256) * 127) / 127
    line = np.sign(steps) * (256 ** np.abs(steps) - 1) / 255
    back = soxr.resample(line, 8000, RATE)[: len(samples)]
    return np.pad(back, (0, len(samples) - len(back)))
