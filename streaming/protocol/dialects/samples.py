"""Audio bytes of any cut, placed on the sample clock."""

from __future__ import annotations

from streaming.protocol.messages import Audio, AudioFormat
from streaming.protocol.native import sample_frame_bytes


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
