"""Audio files of any kind, by PyAV, as s16le at 16 kHz with one or two channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
from tympan_client import AudioFormat

from streaming.cli.errors import UserError

SAMPLE_RATE = 16_000
CHUNK_SAMPLES = SAMPLE_RATE // 10
Channels = Literal["mix", "split"]


@dataclass(frozen=True)
class MediaFile:
    """A file with sound, checked to be readable at its begin."""

    path: Path
    channels: int
    """Of the audio that `chunks` gives."""
    duration_ms: int | None
    """As the container says; None where it does not."""

    @classmethod
    def open(cls, path: Path, channels: Channels = "mix") -> MediaFile:
        """Raises UserError: the file is missing, is not readable as audio, or has no sound in it."""
        if not path.exists():
            raise UserError(f"{path}: there is no such file")
        if not path.is_file():
            raise UserError(f"{path}: is not a file")
        if not path.stat().st_size:
            raise UserError(f"{path}: is empty")
        try:
            with av.open(str(path)) as container:
                if not container.streams.audio:
                    raise UserError(f"{path}: has no audio track")
                stream = container.streams.audio[0]
                split = channels == "split" and stream.channels == 2
                return cls(path, 2 if split else 1, _duration_ms(container, stream))
        except (av.error.FFmpegError, OSError) as error:
            raise UserError(f"{path}: cannot be read as audio ({_reason(error)})") from None

    @property
    def audio(self) -> AudioFormat:
        """What `chunks` gives."""
        return AudioFormat(sample_rate=SAMPLE_RATE, channels=self.channels)

    def chunks(self) -> Iterator[bytes]:
        """The whole file, CHUNK_SAMPLES at a time, the last chunk as long as it is.

        Raises:
            UserError: at the end of what could be read, when the file is broken there; or at once, when it is empty.
        """
        step = CHUNK_SAMPLES * self.audio.bytes_per_frame
        pending, samples = bytearray(), 0
        failure = ""
        try:
            for decoded in self._decoded():
                pending += decoded
                samples += len(decoded) // self.audio.bytes_per_frame
                while len(pending) >= step:
                    yield bytes(pending[:step])
                    del pending[:step]
        except (av.error.FFmpegError, OSError) as error:
            failure = _reason(error)
        if pending:
            yield bytes(pending)
        if failure and samples:
            raise UserError(f"{self.path}: is broken after {samples / SAMPLE_RATE:.1f} s ({failure})")
        if not samples:
            raise UserError(f"{self.path}: has no sound in it" + (f" ({failure})" if failure else ""))

    def _decoded(self) -> Iterator[bytes]:
        layout = "stereo" if self.channels == 2 else "mono"
        resampler = av.AudioResampler(format="s16", layout=layout, rate=SAMPLE_RATE)
        with av.open(str(self.path)) as container:
            for frame in container.decode(audio=0):
                for ready in resampler.resample(frame):
                    yield _samples(ready, self.channels)
            for ready in resampler.resample(None):
                yield _samples(ready, self.channels)


def _samples(frame: Any, channels: int) -> bytes:
    return bytes(frame.planes[0])[: frame.samples * channels * 2]  # a plane may be padded


def _duration_ms(container: Any, stream: Any) -> int | None:
    if stream.duration and stream.time_base:
        return int(stream.duration * stream.time_base * 1000)
    return container.duration // 1000 if container.duration else None  # in microseconds


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
