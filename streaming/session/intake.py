"""A session's audio on its way in: messages in line, then placed samples of every channel. Pure.

Order of calls: `put` a message; `place_next` and `take` in turns until `busy` is False; `flush` at the end.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from streaming.audio.clock import frame_bytes
from streaming.audio.formats import AudioFormatError
from streaming.audio.timeline import ChannelTimelines, GapFound, GapTooLongError, Placed
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Audio, AudioFormat


class Intake:
    """Takes whole messages, works in pieces of half a second, so that no call is long whatever the client sends."""

    def __init__(self, audio: AudioFormat) -> None:
        self._frame_bytes = frame_bytes(audio.encoding, audio.channels)
        self._piece_samples = audio.sample_rate // 2
        self._timelines = ChannelTimelines(audio)
        self._raw: deque[Audio] = deque()
        self._placed: list[list[NDArray[np.int16]]] = [[] for _ in range(audio.channels)]

    @property
    def expected_sample(self) -> int:
        """Position of the next sample, at the client's rate."""
        return self._timelines.expected_sample

    @property
    def busy(self) -> bool:
        """There is something to place or to take."""
        return bool(self._raw) or self.available > 0

    @property
    def available(self) -> int:
        """Placed samples at 16 kHz that all channels have."""
        return min(sum(map(len, pieces)) for pieces in self._placed)

    def put(self, audio: Audio) -> None:
        """Puts a message in line. Raises ProtocolError (`bad_audio`)."""
        samples, rest = divmod(len(audio.data), self._frame_bytes)
        if rest:
            raise ProtocolError("bad_audio", f"audio must be a multiple of {self._frame_bytes} bytes")
        for first in range(0, samples, self._piece_samples):
            data = audio.data[first * self._frame_bytes : (first + self._piece_samples) * self._frame_bytes]
            self._raw.append(Audio(first_sample=audio.first_sample + first, data=data))

    def place_next(self) -> list[GapFound]:
        """Decodes and places half a second, once all that was placed is taken.

        Returns:
            The gap before it, if there is one.

        Raises:
            ProtocolError: `bad_audio`; what is in line is dropped.
        """
        if self.available or not self._raw:
            return []
        audio = self._raw.popleft()
        try:
            found = self._timelines.receive(audio.first_sample, audio.data)
        except (AudioFormatError, GapTooLongError) as error:
            self._raw.clear()
            raise ProtocolError("bad_audio", str(error)) from None
        for placed in found:
            if isinstance(placed, Placed):
                self._placed[placed.channel].append(placed.pcm)
        return [gap for gap in found if isinstance(gap, GapFound)]

    def flush(self) -> None:
        """Places what resampling held back. Nothing can be put afterwards."""
        for rest in self._timelines.flush():
            self._placed[rest.channel].append(rest.pcm)

    def take(self, channel: int, samples: int) -> NDArray[np.int16]:
        """Removes the next samples of a channel, at most `available` of them: int16 (samples,) at 16 kHz."""
        pieces = self._placed[channel]
        taken: list[NDArray[np.int16]] = []
        while samples:
            piece = pieces[0]
            taken.append(piece[:samples])
            if len(piece) > samples:
                pieces[0] = piece[samples:]
            else:
                pieces.pop(0)
            samples -= len(taken[-1])
        return taken[0] if len(taken) == 1 else np.concatenate(taken)
