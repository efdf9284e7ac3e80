"""Bytes of a client's encoding become float samples: s16le, f32le, and G.711 µ-law and A-law."""

from __future__ import annotations

from typing import Final, assert_never

import numpy as np
from numpy.typing import NDArray

from streaming.audio.clock import frame_bytes
from streaming.protocol.messages import Encoding

FULL_SCALE: Final = 32_768.0
"""One in float is this in int16."""


class AudioFormatError(ValueError):
    """Audio bytes that cannot be samples of the declared format. The message says what would be right."""


def decode(data: bytes, encoding: Encoding, channels: int) -> NDArray[np.float32]:
    """Decodes interleaved samples.

    In f32le, not-a-number and infinities become 0 and the rest is clipped to [-1, 1].

    Returns:
        float32 (channels, n), in [-1, 1], at the rate of the input.

    Raises:
        AudioFormatError: the bytes are not a whole number of sample frames.
    """
    _check_whole_frames(data, encoding, channels)
    interleaved = _decode_samples(data, encoding).reshape(-1, channels)
    return interleaved.transpose()


def as_int16(data: bytes, channels: int) -> NDArray[np.int16]:
    """Interleaved s16le as it is: int16 (channels, n). Raises AudioFormatError."""
    _check_whole_frames(data, "s16le", channels)
    return np.frombuffer(data, "<i2").reshape(-1, channels).transpose()


def _check_whole_frames(data: bytes, encoding: Encoding, channels: int) -> None:
    size = frame_bytes(encoding, channels)
    if len(data) % size:
        raise AudioFormatError(
            f"audio of {len(data)} bytes is not a whole number of sample frames: "
            f"{encoding} with {channels} channel{'s' if channels > 1 else ''} takes a multiple of {size} bytes"
        )


def _decode_samples(data: bytes, encoding: Encoding) -> NDArray[np.float32]:
    match encoding:
        case "s16le":
            return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(FULL_SCALE)
        case "f32le":
            samples: NDArray[np.float32] = np.frombuffer(data, "<f4").astype(np.float32)
            samples[~np.isfinite(samples)] = 0
            return samples.clip(-1.0, 1.0)
        case "mulaw":
            return _MULAW[np.frombuffer(data, np.uint8)]
        case "alaw":
            return _ALAW[np.frombuffer(data, np.uint8)]
        case _:
            assert_never(encoding)


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """float32 in [-1, 1] to int16: halves round to the even neighbour, what is beyond the range is clipped."""
    rounded: NDArray[np.float32] = np.rint(samples * np.float32(FULL_SCALE))
    return rounded.clip(-32_768, 32_767).astype(np.int16)


def _mulaw_table() -> NDArray[np.float32]:
    """The 256 values of ITU-T G.711 µ-law on the 16-bit scale: 14-bit values shifted left by 2.

    All bits of the character are inverted on the line; then sign (set: negative), 3 bits of segment, 4 bits of step.
    """
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    segment, step = code >> 4 & 0x07, code & 0x0F
    magnitude = (((step << 3) + 0x84) << segment) - 0x84  # 0x84: the bias of 33 steps, shifted left by 2
    return _scaled(np.where(code & 0x80, -magnitude, magnitude))


def _alaw_table() -> NDArray[np.float32]:
    """The 256 values of ITU-T G.711 A-law on the 16-bit scale: 13-bit values shifted left by 3.

    Even bits of the character are inverted on the line; then sign (set: positive), 3 bits of segment, 4 bits of step.
    The first two segments share one step size.
    """
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment, step = code >> 4 & 0x07, code & 0x0F
    low = (step << 4) + 8
    magnitude = np.where(segment == 0, low, (low + 0x100) << np.maximum(segment - 1, 0))
    return _scaled(np.where(code & 0x80, magnitude, -magnitude))


def _scaled(values: NDArray[np.int32]) -> NDArray[np.float32]:
    return (values / FULL_SCALE).astype(np.float32)


_MULAW: Final = _mulaw_table()
_ALAW: Final = _alaw_table()
