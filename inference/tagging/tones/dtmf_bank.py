"""The eight frequencies of keys, measured every 5 ms.

Goertzel, "An algorithm for the evaluation of finite trigonometric series" (American Mathematical Monthly 65, 1958)
evaluates single terms of a DFT by a recursion; here the same terms are sums with precomputed weights, so that one
matrix product serves all frequencies and frames. Weights are integers: in float64 every sum of integer products below
2^53 is exact, so results are the same to the bit however the samples are cut and in whatever order BLAS adds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.tagging.tones.settings import SAMPLE_RATE, ToneSettings, amplitude

HOP: Final = SAMPLE_RATE // 200  # 80: 5 ms
KERNEL: Final = 2 * HOP  # 160: Hann windows of 10 ms at this hop add up to a constant
SPAN: Final = 4
"""Kernels that are judged together: 25 ms, with flanks of 5 ms."""
LEAD: Final = KERNEL + (SPAN - 1) * HOP  # 400: what a judged window covers
LOW_HZ: Final = (697.0, 770.0, 852.0, 941.0)
HIGH_HZ: Final = (1209.0, 1336.0, 1477.0, 1633.0)
KEYS: Final = (("1", "2", "3", "a"), ("4", "5", "6", "b"), ("7", "8", "9", "c"), ("star", "0", "pound", "d"))
"""Q.23: rows by low frequency, columns by high frequency."""

MIN_SHARE: Final = 0.7
"""Of the energy in a window: as much must lie in the two tones. White noise at 5 dB leaves them 0.76."""
MAX_HARMONIC: Final = 0.04  # -14 dB
"""Second harmonic of a high tone, over the tone: voiced speech has one, a tone generator has none (talk-off)."""

WINDOW_TOLERANCE: Final = 1.4
"""One window may be off by this times the tolerance, which the mean of a digit must keep: noise moves windows."""

_LINE_POINTS: Final = 512
_LINE_BIN_HZ: Final = SAMPLE_RATE / _LINE_POINTS  # 31.25
_LINE_END: Final = 129  # 4 kHz
_LINE_REACH: Final = 3
"""Bins on either side that a tone itself fills in a Hann window of 25 ms: 80 Hz."""
_LINE_WINDOW: Final = np.hanning(LEAD + 1)[:LEAD]
_LINE_SCALE: Final = float(4 / np.sum(_LINE_WINDOW) ** 2)
_ROUNDING: Final = 0.999
"""A necessary condition is this much wider than exact."""
_ONE: Final = 2.0**18
"""Weights are counted in this: |sample| < 2^15, so sums of 160 products stay below 2^41."""
_HERTZ: Final = np.array([*LOW_HZ, *HIGH_HZ, *(2 * hertz for hertz in HIGH_HZ)])
_TONES: Final = len(_HERTZ)  # 12
_TIMES: Final = np.arange(KERNEL) / SAMPLE_RATE
_WINDOW: Final = np.hanning(KERNEL + 1)[:KERNEL]
_COSINES: Final = np.rint(_ONE * _WINDOW[:, None] * np.cos(2 * np.pi * _TIMES[:, None] * _HERTZ))
_SINES: Final = np.rint(-_ONE * _WINDOW[:, None] * np.sin(2 * np.pi * _TIMES[:, None] * _HERTZ))
_WEIGHTS: Final = np.hstack([_COSINES[:HOP], _SINES[:HOP], _COSINES[HOP:], _SINES[HOP:]])  # (80, 48)
_SQUARES: Final = np.rint(1024 * _WINDOW).reshape(2, HOP).T.copy()  # squares < 2^30: sums stay below 2^48
_TO_AMPLITUDE: Final = 2 / (_ONE * _WINDOW.sum())
_TO_POWER: Final = 2 / (1024 * _WINDOW.sum())
_TURN: Final = 2 * np.pi * HOP / SAMPLE_RATE * _HERTZ
_TURN_RE: Final = np.cos(_TURN)
_TURN_IM: Final = -np.sin(_TURN)


@dataclass(frozen=True, slots=True)
class Kernels:
    """Float64 arrays, one row per kernel."""

    re: NDArray[np.float64]
    """(n, 12): amplitude of each frequency in int16 quanta, in phase with a cosine that begins at the kernel."""
    im: NDArray[np.float64]
    power: NDArray[np.float64]
    """(n,): of a sine it is its amplitude squared."""


@dataclass(frozen=True, slots=True)
class Windows:
    """One row for each window of SPAN kernels."""

    hit: NDArray[np.bool_]
    """(n,): two tones of a key and little else."""
    low: NDArray[np.intp]
    """(n,): row of the strongest low tone."""
    high: NDArray[np.intp]
    drift_re: NDArray[np.float64]
    """(n, 8): product of neighbouring kernels, turned so that the nominal frequency is real and positive."""
    drift_im: NDArray[np.float64]
    share: NDArray[np.float64]
    """(n,): of the energy, in the two tones."""
    low_amplitude: NDArray[np.float64]
    """(n,), in int16 quanta."""
    high_amplitude: NDArray[np.float64]


def analyse(pcm: NDArray[np.int16]) -> Kernels:
    """Every kernel of int16 (n * HOP,), the first at its begin: n - 1 rows.

    A kernel is two hops, of which each is the first half of one kernel and the second of another.
    """
    hops = pcm.astype(np.float64).reshape(-1, HOP)
    halves = hops @ _WEIGHTS
    bins = halves[:-1, : 2 * _TONES] + halves[1:, 2 * _TONES :]
    squares = np.square(hops) @ _SQUARES
    power = squares[:-1, 0] + squares[1:, 1]
    return Kernels(bins[:, :_TONES] * _TO_AMPLITUDE, bins[:, _TONES:] * _TO_AMPLITUDE, power * _TO_POWER)


class Judge:
    """Which windows hold a key: levels, twist, frequencies, energy share and harmonics, for all windows at once."""

    def __init__(self, settings: ToneSettings) -> None:
        self._floor = amplitude(settings.min_level_dbfs) ** 2
        self._forward = 10 ** (settings.dtmf_forward_twist_db / 10)
        self._reverse = 10 ** (settings.dtmf_reverse_twist_db / 10)
        # The highest, 1633 Hz off by 2.8 %, turns by 1.44 from kernel to kernel: less than a right angle.
        self._tangent = np.tan(np.minimum(_TURN[:8] * settings.dtmf_tolerance * WINDOW_TOLERANCE, 1.5))

    def possible(self, kernels: Kernels, squares: NDArray[np.float64]) -> bool:
        """Whether any window may hold a key; `squares` (n, 8): squared amplitudes of the kernels.

        Cheap, and true of nearly no speech: what tones leave in phase is at most what they leave in any phase.
        """
        low, high = squares[:, :4].max(axis=1), squares[:, 4:].max(axis=1)
        count = len(low) - SPAN + 1
        total = np.stack((low, high, low + high, kernels.power))
        low, high, tones, power = sum((total[:, i : count + i] for i in range(SPAN)), np.zeros((4, count)))
        floor = SPAN * _ROUNDING * self._floor
        return bool(np.any((np.minimum(low, high) >= floor) & (tones >= _ROUNDING * MIN_SHARE * power)))

    def windows(self, kernels: Kernels) -> Windows:
        """(m,) windows of m + SPAN - 1 kernels.

        The strength of a tone is that of all SPAN kernels added in phase at the tone's own frequency, which the turn
        from kernel to kernel gives; so what is not one steady tone loses.
        """
        rows = np.arange(len(kernels.power) - SPAN + 1)
        drift_re, drift_im = _drift(kernels)
        drift = np.sqrt(drift_re * drift_re + drift_im * drift_im) + 1e-9
        strength = _coherent(kernels, drift_re / drift, drift_im / drift)
        power = sum(kernels.power[i : len(rows) + i] for i in range(SPAN)) / SPAN

        low = np.argmax(strength[:, :4], axis=1)
        high = np.argmax(strength[:, 4:], axis=1)
        low_power, high_power = strength[rows, low], strength[rows, 4 + high]
        harmonic = _harmonics(kernels)[rows, high]
        share = (low_power + high_power) / np.maximum(power, 1e-9)
        hit = (
            (np.minimum(low_power, high_power) >= self._floor)
            & (share >= MIN_SHARE)
            & (high_power <= self._forward * low_power)
            & (low_power <= self._reverse * high_power)
            & (harmonic <= MAX_HARMONIC * high_power)
        )
        for group, best in ((slice(0, 4), low), (slice(4, 8), high)):
            re, im = drift_re[rows, group.start + best], drift_im[rows, group.start + best]
            hit &= (re > 0) & (np.abs(im) <= self._tangent[group][best] * re)
        return Windows(hit, low, high, drift_re, drift_im, share, np.sqrt(low_power), np.sqrt(high_power))


def _drift(kernels: Kernels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(m, 8) each: the mean product of a kernel with the conjugate of the one before, over each window."""
    re, im = kernels.re[:, :8], kernels.im[:, :8]
    product_re = re[1:] * re[:-1] + im[1:] * im[:-1]
    product_im = im[1:] * re[:-1] - re[1:] * im[:-1]
    turned_re = product_re * _TURN_RE[:8] - product_im * _TURN_IM[:8]
    turned_im = product_re * _TURN_IM[:8] + product_im * _TURN_RE[:8]
    count = len(re) - SPAN + 1
    zero = np.zeros((count, 8))
    total_re = sum((turned_re[i : count + i] for i in range(SPAN - 1)), zero)
    total_im = sum((turned_im[i : count + i] for i in range(SPAN - 1)), zero)
    return total_re, total_im


def _coherent(kernels: Kernels, unit_re: NDArray[np.float64], unit_im: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, 8): amplitude squared of each tone over each window, at the frequency that the unit phasors (m, 8) give."""
    count = len(unit_re)
    # From the nominal turn of one hop back to the tone's own.
    step_re = unit_re * _TURN_RE[:8] + unit_im * _TURN_IM[:8]
    step_im = unit_re * _TURN_IM[:8] - unit_im * _TURN_RE[:8]
    sum_re, sum_im = kernels.re[:count, :8].copy(), kernels.im[:count, :8].copy()
    turn_re, turn_im = step_re, step_im
    for i in range(1, SPAN):
        re, im = kernels.re[i : count + i, :8], kernels.im[i : count + i, :8]
        sum_re += re * turn_re - im * turn_im
        sum_im += re * turn_im + im * turn_re
        turn_re, turn_im = turn_re * step_re - turn_im * step_im, turn_re * step_im + turn_im * step_re
    strength: NDArray[np.float64] = (sum_re * sum_re + sum_im * sum_im) / SPAN**2
    return strength


def _harmonics(kernels: Kernels) -> NDArray[np.float64]:
    """(m, 4): mean power of the second harmonics of the high tones over each window."""
    power = kernels.re[:, 8:] ** 2 + kernels.im[:, 8:] ** 2
    count = len(power) - SPAN + 1
    total: NDArray[np.float64] = sum((power[i : count + i] for i in range(SPAN)), np.zeros((count, 4)))
    return total / SPAN


def line_beside(window: NDArray[np.int16], low_hz: float, high_hz: float) -> float:
    """The strongest line beside two tones in int16 (LEAD,): its amplitude squared.

    Noise has none: at 10 dB it is 24 dB below the tones. Voices have the neighbours of both among their harmonics.
    """
    bins = np.fft.rfft(window * _LINE_WINDOW, _LINE_POINTS)[:_LINE_END]
    power = bins.real**2 + bins.imag**2
    for hertz in (low_hz, high_hz):
        at = round(hertz / _LINE_BIN_HZ)
        power[at - _LINE_REACH : at + _LINE_REACH + 1] = 0
    return float(power.max()) * _LINE_SCALE
