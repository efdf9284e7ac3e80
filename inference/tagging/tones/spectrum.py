"""What steady tones sound, measured every 20 ms over 100 ms.

The window must tell 440 from 480 Hz (ringback of North America): of a Hann window of 100 ms the first nulls are 20 Hz
from the peak, so 40 Hz apart is apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.tagging.tones.settings import SAMPLE_RATE

HOP: Final = SAMPLE_RATE // 50  # 320: 20 ms
WINDOW: Final = SAMPLE_RATE // 10  # 1600: 100 ms
_POINTS: Final = 2048
_BIN_HZ: Final = SAMPLE_RATE / _POINTS  # 7.8125
_LOWEST_BIN: Final = 13  # 101.6 Hz: mains hum is not counted
_END_BIN: Final = 512  # 4 kHz: what a telephone carries
_REACH: Final = 2
"""Bins on either side of a peak that are its main lobe: 2.5 * 7.8125 = 19.5 Hz."""
_WIDE: Final = 5
"""Bins on either side that hold a tone whose phase reverses within the window: 39 Hz."""
_HANN: Final = np.hanning(WINDOW + 1)[:WINDOW]
_TO_SQUARED_AMPLITUDE: Final = 4 / (_POINTS * float(np.sum(_HANN**2)))  # Parseval, one side of the spectrum

TONAL_SHARE: Final = 0.87
"""Of the energy from 100 Hz to 4 kHz: as much lies in a steady tone, or two. White noise at 10 dB leaves them 0.95."""
SINGLE_SECOND: Final = 0.05  # -13 dB
"""A single tone has no second peak above this share of it."""
PAIR_SECOND: Final = 0.1  # -10 dB
"""The weaker of two tones is at least this share of the stronger."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    power: NDArray[np.float64]
    """(499,): from _LOWEST_BIN on, such that a peak's main lobe adds up to the squared amplitude of its sine."""
    total: float


def spectrum(samples: NDArray[np.int16]) -> Spectrum:
    """Of int16 (WINDOW,)."""
    bins = np.fft.rfft(samples * _HANN, _POINTS)[_LOWEST_BIN:_END_BIN]
    power = (bins.real**2 + bins.imag**2) * _TO_SQUARED_AMPLITUDE
    return Spectrum(power, float(power.sum()))


def strength(heard: Spectrum, hertz: Sequence[float]) -> float:
    """What all of the window has at these frequencies in phase: their amplitude, up to a constant factor."""
    return math.sqrt(sum(float(heard.power[round(value / _BIN_HZ) - _LOWEST_BIN]) for value in hertz))


def energy(heard: Spectrum, hertz: Sequence[float]) -> float:
    """Squared amplitude around these frequencies, in whatever phases."""
    bins = [round(value / _BIN_HZ) - _LOWEST_BIN for value in hertz]
    return float(heard.power[max(0, bins[0] - _WIDE) : bins[-1] + _WIDE + 1].sum())


def tones(heard: Spectrum, floor: float) -> tuple[float, ...]:
    """The one frequency that sounds, or the two, in Hz and ascending; () for anything else.

    `floor` is the least squared amplitude of each.
    """
    if heard.total < floor:
        return ()
    power = heard.power
    first = int(np.argmax(power))
    best = _lobe(power, first)
    if best < floor or 2 * best < TONAL_SHARE * heard.total:
        return ()
    rest = power.copy()
    rest[max(0, first - _REACH) : first + _REACH + 1] = 0
    # What is left of the first's flanks is no peak of its own.
    for step in (-1, 1):
        at = first + step * (_REACH + 1)
        while 0 <= at < len(power) and power[at] <= power[at - step]:
            rest[at] = 0
            at += step
    second = int(np.argmax(rest))
    other = _lobe(rest, second)
    if other <= SINGLE_SECOND * best:
        return (_peak_hertz(power, first),) if best >= TONAL_SHARE * heard.total else ()
    if other < max(floor, PAIR_SECOND * best) or best + other < TONAL_SHARE * heard.total:
        return ()
    low, high = sorted((_peak_hertz(power, first), _peak_hertz(power, second)))
    return low, high


def _lobe(power: NDArray[np.float64], peak: int) -> float:
    return float(power[max(0, peak - _REACH) : peak + _REACH + 1].sum())


def _peak_hertz(power: NDArray[np.float64], peak: int) -> float:
    """By a parabola through the logarithms of the peak and its neighbours."""
    if not 0 < peak < len(power) - 1:
        return (peak + _LOWEST_BIN) * _BIN_HZ
    left, top, right = np.log(power[peak - 1 : peak + 2] + 1e-12).tolist()
    curvature = left - 2 * top + right
    shift = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    return float((peak + shift + _LOWEST_BIN) * _BIN_HZ)
