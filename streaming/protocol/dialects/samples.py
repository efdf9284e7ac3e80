"""Samples as clients name and cut them: the format that a session takes, and places on the sample clock."""

from __future__ import annotations

from typing import get_args

from streaming.protocol.dialect import Source
from streaming.protocol.messages import Audio, AudioFormat, Encoding, SampleRate
from streaming.protocol.native import sample_frame_bytes


def format_of(encoding: Encoding, rate: int, channels: int = 1) -> tuple[AudioFormat, Source | None]:
    """What the session is told of raw samples, and how they are converted first; None: it takes them as they come."""
    if rate in get_args(SampleRate):
        return AudioFormat(encoding=encoding, sample_rate=rate, channels=channels), None  # type: ignore[arg-type]
    return AudioFormat(channels=channels), Source(raw=encoding, sample_rate=rate, input_channels=channels)


class SampleClock:
    """One audio frame after the other, without gaps. A sample that a message cut apart waits for its rest."""

    def __init__(self, audio: AudioFormat) -> None:
        self.position = 0
        """First sample that has not come yet, at the rate of the audio."""
        self._frame_bytes = sample_frame_bytes(audio)
        self._torn = b""

    def take(self, data: bytes) -> list[Audio]:
        """One message, or none."""
        if self._torn:
            data = self._torn + data
        whole = len(data) // self._frame_bytes * self._frame_bytes
        self._torn = data[whole:]
        if not whole:
            return []
        audio = Audio(first_sample=self.position, data=data[:whole] if self._torn else data)
        self.position += whole // self._frame_bytes
        return [audio]
