"""Sources of audio as chunks of bytes in a session's format."""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncIterable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tympan_client.errors import TympanError
from tympan_client.options import SAMPLE_RATES, AudioFormat, Encoding, SessionOptions

Samples = npt.NDArray[Any]
Chunk = bytes | bytearray | memoryview | Samples
SyncSource = str | os.PathLike[str] | Chunk | Iterable[Chunk]
Source = SyncSource | AsyncIterable[Chunk]

CHUNK_MS = 100
"""Length of the chunks that files and whole arrays are read in."""

WAVE_PCM, WAVE_FLOAT, WAVE_ALAW, WAVE_MULAW, WAVE_EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_SENT_AS_IT_IS: dict[tuple[int, int], Encoding] = {
    (WAVE_PCM, 16): "s16le",
    (WAVE_FLOAT, 32): "f32le",
    (WAVE_ALAW, 8): "alaw",
    (WAVE_MULAW, 8): "mulaw",
}
_AS_FLOAT = {(WAVE_PCM, 24), (WAVE_PCM, 32)}


def encode_samples(chunk: Chunk, audio: AudioFormat) -> bytes:
    """Bytes as they are; an array in the session's encoding (s16le or f32le).

    Args:
        chunk: float (in [-1, 1]) or int16, shape (n,) interleaved, or (n, channels).
        audio: the session's format.
    Raises:
        TympanError: `bad_audio` for another dtype or shape, or another encoding than those two.
    """
    if not isinstance(chunk, np.ndarray):
        return bytes(chunk)
    if chunk.ndim > 2 or (chunk.ndim == 2 and chunk.shape[1] != audio.channels):
        raise TympanError("bad_audio", f"an array of shape {chunk.shape} is not ({audio.channels}-channel) audio")
    if audio.encoding not in ("s16le", "f32le"):
        raise TympanError("bad_audio", f"arrays cannot be sent as {audio.encoding}; give bytes, or choose s16le")
    if chunk.dtype == np.int16:
        floats = chunk.astype(np.float32) / 32768 if audio.encoding == "f32le" else None
    elif np.issubdtype(chunk.dtype, np.floating):
        floats = chunk.astype(np.float32)
    else:
        raise TympanError("bad_audio", f"an array of {chunk.dtype} is not audio; give float in [-1, 1] or int16")
    if floats is None:
        return chunk.astype("<i2").tobytes()
    if audio.encoding == "f32le":
        return floats.astype("<f4").tobytes()
    return np.clip(np.rint(floats * 32768), -32768, 32767).astype("<i2").tobytes()


def declare_wav(source: object, options: SessionOptions) -> SessionOptions:
    """`options` with the audio format of the WAV file where the source is the path of one; else unchanged."""
    if not isinstance(source, str | os.PathLike):
        return options
    return replace(options, audio=replace(WavFile.open(source).audio, labels=options.audio.labels))


def chunks_of(source: SyncSource, audio: AudioFormat) -> Iterator[Chunk]:
    """The source in chunks; an iterable's own, else of CHUNK_MS.

    Raises:
        TympanError: `bad_audio`, also for a WAV file in another format than the session's.
    """
    if isinstance(source, str | os.PathLike):
        wav = WavFile.open(source)
        if replace(wav.audio, labels=None) != replace(audio, labels=None):
            raise TympanError("bad_audio", f"{wav.path} is {wav.audio}, the session was opened for {audio}")
        return wav.chunks()
    if isinstance(source, bytes | bytearray | memoryview | np.ndarray):
        return cut(encode_samples(source, audio), audio)
    return iter(source)


def cut(data: bytes, audio: AudioFormat) -> Iterator[bytes]:
    """`data` in chunks of CHUNK_MS."""
    step = audio.sample_rate * CHUNK_MS // 1000 * audio.bytes_per_frame
    return (data[at : at + step] for at in range(0, len(data), step))


@dataclass(frozen=True, slots=True)
class WavFile:
    """A WAV file that can be sent: PCM of 16, 24 or 32 bits, float, mu-law or A-law, 1 or 2 channels."""

    path: Path
    audio: AudioFormat
    data_offset: int
    data_bytes: int
    wave_format: tuple[int, int]
    """(format tag, bits per sample)"""

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> WavFile:
        """Raises TympanError: `bad_audio`, with what is wrong and what helps."""
        path = Path(path)
        try:
            with path.open("rb") as file:
                return cls._read(path, file)
        except OSError as error:
            raise TympanError("bad_audio", f"{path}: {error.strerror or error}") from None
        except (struct.error, EOFError):
            raise TympanError("bad_audio", f"{path}: not a WAV file, or cut off in its header") from None

    def chunks(self) -> Iterator[bytes]:
        """The audio in the encoding of `audio`, in chunks of CHUNK_MS."""
        bytes_per_frame = self.wave_format[1] // 8 * self.audio.channels
        step = self.audio.sample_rate * CHUNK_MS // 1000 * bytes_per_frame
        left = self.data_bytes // bytes_per_frame * bytes_per_frame
        with self.path.open("rb") as file:
            file.seek(self.data_offset)
            while left and (data := file.read(min(step, left))):
                left -= len(data)
                whole = data[: len(data) // bytes_per_frame * bytes_per_frame]
                yield _integers_to_float(whole, self.wave_format[1]) if self.wave_format in _AS_FLOAT else whole

    @classmethod
    def _read(cls, path: Path, file: BinaryIO) -> WavFile:
        if file.read(4) != b"RIFF" or not file.read(4) or file.read(4) != b"WAVE":
            raise TympanError("bad_audio", f"{path}: not a WAV file; `tympan transcribe` reads other formats")
        tag = bits = channels = rate = 0
        while True:
            name, size = struct.unpack("<4sI", file.read(8))
            if name == b"data":
                break
            body = file.read(size + size % 2)
            if name == b"fmt ":
                tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
                if tag == WAVE_EXTENSIBLE:
                    tag = struct.unpack("<H", body[24:26])[0]
        if (tag, bits) not in _SENT_AS_IT_IS and (tag, bits) not in _AS_FLOAT:
            raise TympanError("bad_audio", f"{path}: WAV format {tag} with {bits} bits is not supported")
        if rate not in SAMPLE_RATES or channels not in (1, 2):
            rates = ", ".join(map(str, SAMPLE_RATES))
            raise TympanError(
                "bad_audio",
                f"{path}: {channels} channels at {rate} Hz; wanted: 1 or 2 channels at {rates} Hz",
            )
        encoding = _SENT_AS_IT_IS.get((tag, bits), "f32le")
        audio = AudioFormat(encoding=encoding, sample_rate=rate, channels=channels)
        return cls(path, audio, file.tell(), size, (tag, bits))


def _integers_to_float(data: bytes, bits: int) -> bytes:
    """Little-endian integers of 24 or 32 bits as f32le in [-1, 1]."""
    if bits == 24:  # each into the upper three bytes of an int32
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data = padded.tobytes()
    return (np.frombuffer(data, "<i4").astype(np.float64) / 2**31).astype("<f4").tobytes()
