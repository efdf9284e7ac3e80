"""What the first bytes of audio say: which container it is, and where the samples of a WAV file begin."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

MAX_SOURCE_CHANNELS: Final = 64
MAX_CHUNK_BYTES: Final = 1 << 16
MAX_WAV_CHUNKS: Final = 16
WAV_EXTENSIBLE: Final = 0xFFFE
UNKNOWN_WAV_SIZE: Final = 0x7FFF_0000
"""Who writes a stream does not know its size, and writes the largest, or 0."""
_WAV_FORMATS: Final = {
    (1, 16): "s16le",
    (1, 24): "s24le",
    (1, 32): "s32le",
    (3, 32): "f32le",
    (6, 8): "alaw",
    (7, 8): "mulaw",
}
"""(format tag, bits of a sample) -> FFmpeg's name"""


class Refusal(Exception):
    """`word` is one of `unreadable`, `too_large`, `too_long`."""

    def __init__(self, word: str, text: str) -> None:
        super().__init__(f"{word} {text}")


def demuxer_of(head: bytes) -> str | None:
    """FFmpeg's name of the container that begins so, if it is one that holds its audio itself."""
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[4:8] == b"ftyp":
        return "mov"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if len(head) >= 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        # ISO/IEC 11172-3 and 13818-7: twelve set bits; layer 0 is an ADTS frame of AAC.
        return "aac" if head[1] & 0xF6 == 0xF0 else "mp3"
    return None


_MAGIC = (
    (b"OggS", "ogg"),
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"fLaC", "flac"),
    (b"ID3", "mp3"),
    (b"#!AMR", "amr"),
    (b".snd", "au"),
    (b"caff", "caf"),
)


class WavSamples(NamedTuple):
    raw: str
    """FFmpeg's name of their format."""
    channels: int
    rate: int
    size: int | None
    """Bytes; None: up to the end of the stream."""


def wav_samples(read: Callable[[int], bytes]) -> WavSamples:
    """Reads the head of a WAV stream up to its samples. FFmpeg's own reader would keep the first 64 KiB to itself.

    Args:
        read: takes a size; returns at most so many bytes, none at the end.

    Raises:
        Refusal: the head is broken, or the samples are of another codec.
    """
    _exactly(read, 12)
    form: tuple[int, int, int, int] | None = None
    for _ in range(MAX_WAV_CHUNKS):
        name, size = struct.unpack("<4sI", _exactly(read, 8))
        if name == b"data":
            break
        if size > MAX_CHUNK_BYTES:
            raise Refusal("unreadable", "a chunk of its header is too long")
        chunk = _exactly(read, size + size % 2)
        if name == b"fmt " and size >= 16:
            tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
            if tag == WAV_EXTENSIBLE and size >= 26:
                (tag,) = struct.unpack_from("<H", chunk, 24)
            form = tag, bits, channels, rate
    else:
        raise Refusal("unreadable", "its header has no end")
    raw = _WAV_FORMATS.get(form[:2]) if form else None
    if form is None or raw is None or not 1 <= form[2] <= MAX_SOURCE_CHANNELS or not 1000 <= form[3] <= 384_000:
        raise Refusal("unreadable", "a live WAV stream must have linear, float or G.711 samples")
    return WavSamples(raw, form[2], form[3], size if 0 < size < UNKNOWN_WAV_SIZE else None)


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := read(size - len(data))):
            raise Refusal("unreadable", "it ends within its header")
        data += more
    return data
