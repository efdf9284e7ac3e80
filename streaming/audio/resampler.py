"""A client's rate becomes 16 kHz, in a stream, with little delay.

Every output sample is a windowed-sinc interpolation of the input around it (Crochiere and Rabiner, *Multirate Digital
Signal Processing*, 1983, ch. 4; Kaiser's window and his formula for its length). Rates are rational, so the pattern
of phases repeats: a fixed block of input always meets the same weights, which are some small matrices per rate.

The delay is half the filter: 6.3 ms at 8 kHz, 3.2 ms from 16 kHz up, beside the block being filled (10 ms at the
rates of the protocol). soxr's streams, whose FFT stages work on long blocks, hold up to 115 ms at 8 kHz and 40 ms at
44.1 kHz, which every interim and every endpoint would wait for.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd, pi
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.audio.clock import SAMPLE_RATE, input_to_clock
from streaming.audio.formats import to_int16

STOPBAND_DB: Final = 80.0
TRANSITION: Final = 0.1
"""Width of the transition band as a share of the lower Nyquist frequency, at which it ends."""
KAISER_BETA: Final = 0.1102 * (STOPBAND_DB - 8.7)  # 7.86
_BLOCK_OUT: Final = SAMPLE_RATE // 100  # 160: 10 ms
_GROUP_OUT: Final = 10
"""Output samples that share one window of the input: few, so that the matrices hold hardly any zeros."""
_MAX_BLOCK_IN: Final = 960
_EMPTY: Final = np.zeros(0, np.int16)


class _Filter(NamedTuple):
    block_in: int
    """Samples of one input block."""
    half: int
    """Input samples on either side that an output sample looks at."""
    window_at: NDArray[np.intp]
    """int (groups, width): where in half + block_in + half samples each group of outputs looks."""
    weights: NDArray[np.float32]
    """float32 (groups, _GROUP_OUT, width)"""


class StreamingResampler:
    """Mono float samples at `rate` to int16 at 16 kHz, in pieces of any length.

    The output does not depend on how the input is cut, to the bit: the weights are only ever applied to whole blocks
    at fixed positions. After `flush` there are exactly `floor(samples_in * 16000 / rate)` output samples, so the
    sample clock stays straight over a stream of any length. Input at 16 kHz is only rounded, without delay.

    Raises:
        ValueError: the rate is out of range, or shares too small a factor with 16000.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._filter = _design(rate) if rate != SAMPLE_RATE else None
        self._samples_in = 0
        self._samples_out = 0
        self._flushed = False
        if self._filter is not None:
            self._window = np.zeros(2 * self._filter.half + self._filter.block_in, np.float32)
            self._filled = self._filter.half  # silence before the first sample
            self._grouped = np.zeros((*self._filter.window_at.shape, 1), np.float32)

    @property
    def delay_samples(self) -> int:
        """The most input that is held back, in samples at 16 kHz: half the filter and one block."""
        if self._filter is None:
            return 0
        return ceil((self._filter.half + self._filter.block_in) * SAMPLE_RATE / self.rate)

    @property
    def lookahead(self) -> int:
        """Input samples that a block of outputs needs beside its own: those that follow them."""
        return self._filter.half if self._filter else 0

    def history(self) -> NDArray[np.float32]:
        """The newest input, which outputs to come are made from: float32 (n,)."""
        return self._window[: self._filled].copy() if self._filter else np.zeros(0, np.float32)

    def restore(self, samples_in: int, samples_out: int, history: NDArray[np.float32]) -> None:
        """Goes on where another one was. Raises ValueError: the history is not one of this rate."""
        self._samples_in, self._samples_out = samples_in, samples_out
        if self._filter is None:
            return
        if len(history) >= len(self._window):
            raise ValueError("a resampler's history is shorter than its window")
        self._filled = len(history)
        self._window[: self._filled] = history

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.int16]:
        """Takes float32 (n,), returns int16 (m,) at 16 kHz: all that is certain now."""
        if self._flushed:
            raise RuntimeError("the resampler is flushed; a new stream takes a new one")
        self._samples_in += len(samples)
        return self._convert(samples)

    def flush(self) -> NDArray[np.int16]:
        """Returns the rest, as if silence followed. Nothing can be fed afterwards."""
        self._flushed = True
        if self._filter is None:
            return _EMPTY
        missing = input_to_clock(self._samples_in, self.rate) - self._samples_out
        silence = np.zeros(self._filter.half + self._filter.block_in, np.float32)
        return self._convert(silence)[:missing]

    def _convert(self, samples: NDArray[np.float32]) -> NDArray[np.int16]:
        if self._filter is None:
            return to_int16(samples)
        blocks = []
        at = 0
        while at < len(samples):
            taken = min(len(self._window) - self._filled, len(samples) - at)
            self._window[self._filled : self._filled + taken] = samples[at : at + taken]
            self._filled += taken
            at += taken
            if self._filled == len(self._window):
                blocks.append(self._convert_block(self._filter))
        if not blocks:
            return _EMPTY
        out = to_int16(np.concatenate(blocks))
        self._samples_out += len(out)
        return out

    def _convert_block(self, design: _Filter) -> NDArray[np.float32]:
        # Same shapes and the same memory each time: BLAS promises no order of summation beyond that.
        np.take(self._window, design.window_at, out=self._grouped[:, :, 0], mode="clip")
        out: NDArray[np.float32] = np.matmul(design.weights, self._grouped).ravel()
        self._filled -= design.block_in
        self._window[: self._filled] = self._window[design.block_in :].copy()
        return out


@lru_cache(maxsize=16)
def _design(rate: int) -> _Filter:
    factor = gcd(rate, SAMPLE_RATE)
    out_period, in_period = SAMPLE_RATE // factor, rate // factor
    periods = max(1, _BLOCK_OUT // out_period)
    block_out, block_in = out_period * periods, in_period * periods
    if not 4_000 <= rate <= 96_000 or block_in > _MAX_BLOCK_IN:
        raise ValueError(f"cannot resample {rate} Hz; use 8000, 16000, 24000, 44100 or 48000")

    stop_hz = min(rate, SAMPLE_RATE) / 2
    width_hz = TRANSITION * stop_hz
    cutoff = 2 * (stop_hz - width_hz / 2) / rate  # as a share of the input's Nyquist frequency
    # Kaiser: taps = (A - 7.95) / (2.285 * transition in radians per sample); half of them on either side
    half = (STOPBAND_DB - 7.95) / (2.285 * 2 * pi * width_hz / rate) / 2

    side = ceil(half)
    at = (np.arange(block_out) * (block_in / block_out)).reshape(-1, _GROUP_OUT, 1)
    first = np.floor(at[:, 0]).astype(np.intp) - side  # of each group's window
    width = 2 * side + ceil(_GROUP_OUT * block_in / block_out) + 1
    inputs = first + np.arange(width)
    distance = at - inputs[:, None, :]
    inside = np.clip(1 - (distance / half) ** 2, 0, None)
    window = np.where(np.abs(distance) <= half, np.i0(KAISER_BETA * np.sqrt(inside)), 0)
    weights = window * np.sinc(cutoff * distance)
    weights /= weights.sum(axis=2, keepdims=True)  # a constant stays that constant in every phase
    # The last window may reach beyond the block's samples, where its weights are 0.
    window_at = np.minimum(inputs + side, 2 * side + block_in - 1)
    return _Filter(block_in, side, window_at, weights.astype(np.float32))
