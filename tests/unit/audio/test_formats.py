import hashlib

import numpy as np
import pytest

from streaming.audio.formats import AudioFormatError, decode, to_int16
from streaming.protocol.messages import Encoding

EVERY_BYTE = bytes(range(256))


def as_int16(encoding: Encoding) -> list[int]:
    return [int(value) for value in to_int16(decode(EVERY_BYTE, encoding, 1)[0])]


def test_s16le_spans_minus_one_to_almost_one() -> None:
    samples = decode(np.array([-32768, 0, 16384, 32767], "<i2").tobytes(), "s16le", 1)
    assert samples.shape == (1, 4)
    assert samples.tolist() == [[-1.0, 0.0, 0.5, 32767 / 32768]]


def test_interleaved_channels_come_apart() -> None:
    samples = decode(np.array([1, -1, 2, -2, 3, -3], "<i2").tobytes(), "s16le", 2)
    assert (samples * 32768).tolist() == [[1, 2, 3], [-1, -2, -3]]


def test_broken_floats_become_silence_and_loud_ones_are_clipped() -> None:
    data = np.array([np.nan, np.inf, -np.inf, 2.5, -2.5, 0.25], "<f4").tobytes()
    assert decode(data, "f32le", 1).tolist() == [[0, 0, 0, 1, -1, 0.25]]


def test_mulaw_is_g711_over_all_256_characters() -> None:
    """The digest is of ffmpeg's decoding of the bytes 0 to 255 to s16le."""
    values = as_int16("mulaw")
    assert (values[0x00], values[0x7F], values[0x80], values[0xFF]) == (-32124, 0, 32124, 0)
    digest = hashlib.sha256(np.array(values, "<i2").tobytes()).hexdigest()
    assert digest == "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827"


def test_alaw_is_g711_over_all_256_characters() -> None:
    """The digest is of ffmpeg's decoding of the bytes 0 to 255 to s16le."""
    values = as_int16("alaw")
    assert (values[0x55], values[0xD5], values[0x2A], values[0xAA]) == (-8, 8, -32256, 32256)
    digest = hashlib.sha256(np.array(values, "<i2").tobytes()).hexdigest()
    assert digest == "e04788d110e58ff8c70c93b8480190d973e3b67876b6119abbaec766cc75c174"


@pytest.mark.parametrize(
    ("encoding", "channels", "size", "right"),
    [("s16le", 1, 3, "multiple of 2"), ("s16le", 2, 6, "multiple of 4"), ("f32le", 2, 12, "8"), ("mulaw", 2, 1, "2")],
)
def test_half_a_sample_frame_is_refused_with_what_would_be_right(
    encoding: Encoding, channels: int, size: int, right: str
) -> None:
    with pytest.raises(AudioFormatError, match=right):
        decode(bytes(size), encoding, channels)


def test_no_bytes_are_no_samples() -> None:
    assert decode(b"", "f32le", 2).shape == (2, 0)


def test_int16_rounds_halves_to_even_and_clips() -> None:
    samples = np.array([0.5, 1.5, -0.5, 40_000, -40_000], np.float32) / np.float32(32768)
    assert to_int16(samples).tolist() == [0, 2, 0, 32767, -32768]
