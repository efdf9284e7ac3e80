"""Presses and cadences with known places, by ITU-T Q.23, Q.24, E.180 and T.30."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streaming.audio.clock import SAMPLE_RATE

LOW_HZ: Final = (697, 770, 852, 941)
HIGH_HZ: Final = (1209, 1336, 1477, 1633)
NAMES: Final = {"*": "star", "#": "pound"}
LABELS: Final = tuple(f"dtmf_{NAMES.get(key, key)}" for key in "123a456b789c*0#d")
PAUSE_MS: Final = (40.0, 100.0)
PRESS_MS: Final = (40.0, 100.0)
TWIST_DB: Final = (-8.0, 4.0)
DEVIATION: Final = 0.015
PEAK: Final = 4_000.0
"""Of the stronger tone, in int16 quanta: -18 dBFS, so that noise of the same power is not clipped."""
PER_MS: Final = SAMPLE_RATE // 1000

KINDS: Final[dict[str, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    "dial_tone us": ((350, 440), (5000, 0)),
    "dial_tone uk": ((350, 450), (5000, 0)),
    "dial_tone eu": ((425,), (5000, 0)),
    "ringback us": ((440, 480), (2000, 4000)),
    "ringback uk": ((400, 450), (400, 200, 400, 2000)),
    "ringback eu": ((425,), (1000, 4000)),
    "busy us": ((480, 620), (500, 500)),
    "busy uk": ((400,), (375, 375)),
    "busy eu": ((425,), (500, 500)),
    "reorder us": ((480, 620), (250, 250)),
    "reorder uk": ((400,), (400, 350, 225, 525)),
    "reorder eu": ((425,), (250, 250)),
    "fax_cng": ((1100,), (500, 3000)),
    "fax_ced": ((2100,), (3300, 700)),
    "beep": ((1000,), (400, 9000)),
}
"""Frequencies, and times on and off."""


@dataclass(frozen=True, slots=True)
class Press:
    label: str
    start_sample: int
    end_sample: int


def presses(count: int, generator: np.random.Generator) -> tuple[NDArray[np.float64], list[Press]]:
    """Keys with lengths, pauses, twist and frequencies drawn evenly from what Q.24 wants accepted.

    Returns:
        float64 (n,) in int16 quanta, and where which key is.
    """
    parts: list[NDArray[np.float64]] = []
    found: list[Press] = []
    at = 0
    for _ in range(count):
        key = int(generator.integers(16))
        length = round(generator.uniform(*PRESS_MS) * PER_MS)
        twist = generator.uniform(*TWIST_DB)
        pause = round(generator.uniform(*PAUSE_MS) * PER_MS)
        sound = np.zeros(length)
        for hertz, down in ((LOW_HZ[key // 4], max(twist, 0.0)), (HIGH_HZ[key % 4], max(-twist, 0.0))):
            off = 1 + generator.uniform(-DEVIATION, DEVIATION)
            sound += 10 ** (-down / 20) * sine(hertz * off, length, generator)
        parts += [np.zeros(pause), sound]
        found.append(Press(LABELS[key], at + pause, at + pause + length))
        at += pause + length
    return np.concatenate([*parts, np.zeros(SAMPLE_RATE // 10)]), found


def cadence(hertz: Sequence[float], beats_ms: Sequence[float], seconds: float) -> NDArray[np.float64]:
    """The beats again and again: float64 (seconds * 16000,) in int16 quanta."""
    generator = np.random.default_rng(0)
    beats = [
        sum((sine(value, round(on * PER_MS), generator) for value in hertz), np.zeros(round(on * PER_MS)))
        for on in beats_ms[::2]
    ]
    parts = [
        part for beat, off in zip(beats, beats_ms[1::2], strict=True) for part in (beat, np.zeros(round(off * PER_MS)))
    ]
    period = np.concatenate(parts)
    length = round(seconds * SAMPLE_RATE)
    return np.tile(period, -(-length // len(period)))[:length]


def sine(hertz: float, length: int, generator: np.random.Generator) -> NDArray[np.float64]:
    wave: NDArray[np.float64] = PEAK * np.sin(
        2 * np.pi * (hertz * np.arange(length) / SAMPLE_RATE + generator.random())
    )
    return wave


def as_int16(signal: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.clip(np.rint(signal), -32_768, 32_767).astype(np.int16)
