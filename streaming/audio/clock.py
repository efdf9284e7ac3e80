"""The sample clock: the only place that converts milliseconds, samples and bytes.

A position on the clock is an int: samples at 16 kHz since the channel began. Positions at a client's own rate are
called *input* positions. All arithmetic is on integers and rounds down, so converting never drifts.
"""

from __future__ import annotations

from typing import Final

from streaming.protocol.messages import Encoding

SAMPLE_RATE: Final = 16_000
"""Samples a second on the clock."""
SAMPLES_PER_MS: Final = SAMPLE_RATE // 1000  # 16

_SAMPLE_BYTES: Final[dict[Encoding, int]] = {"s16le": 2, "f32le": 4, "mulaw": 1, "alaw": 1}


def ms_to_samples(ms: int) -> int:
    """Samples at 16 kHz in `ms` milliseconds."""
    return ms * SAMPLES_PER_MS


def samples_to_ms(samples: int) -> int:
    """Whole milliseconds in `samples` samples at 16 kHz, rounded down."""
    return samples // SAMPLES_PER_MS


def input_to_clock(input_sample: int, rate: int) -> int:
    """The clock position of a position at `rate` samples a second, rounded down."""
    return input_sample * SAMPLE_RATE // rate


def clock_to_input(sample: int, rate: int) -> int:
    """The position at `rate` samples a second of a clock position, rounded down."""
    return sample * rate // SAMPLE_RATE


def frame_bytes(encoding: Encoding, channels: int) -> int:
    """Bytes of one sample frame: one sample of every channel, interleaved."""
    return _SAMPLE_BYTES[encoding] * channels
