"""A session's audio on its way in: messages in line, then placed samples of every channel. Pure.

Order of calls: `put` a message; `place_next` and `take` in turns until `busy` is False; `flush` at the end.
"""

from __future__ import annotations

from collections import deque

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.pool.interface import BLOCK_SAMPLES
from streaming.audio.clock import clock_to_input, frame_bytes
from streaming.audio.timeline import ChannelTimelines, GapFound, GapTooLongError, Placed
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Audio, AudioFormat


class IntakeState(msgspec.Struct, frozen=True, array_like=True):
    """Nothing that was placed waits to be taken."""

    expected_sample: int
    silence: int
    """Samples of a gap that are still to be placed, at the client's rate."""
    histories: list[bytes]


class Intake:
    """Takes whole messages, works in pieces of half a second, so that no call is long whatever the client sends.

    A piece ends where it is all that the samples before a multiple of BLOCK_SAMPLES are made from: there, and nothing
    of it is left over.
    """

    def __init__(self, audio: AudioFormat) -> None:
        self._frame_bytes = frame_bytes(audio.encoding, audio.channels)
        self._piece_samples = clock_to_input(BLOCK_SAMPLES, audio.sample_rate)
        self._timelines = ChannelTimelines(audio)
        self._raw: deque[Audio] = deque()
        self._silence = 0
        self._placed: list[list[NDArray[np.int16]]] = [[] for _ in range(audio.channels)]

    @property
    def expected_sample(self) -> int:
        """Position of the next sample that the client has not sent yet, of a gap that of its end; at its rate."""
        return self._timelines.expected_sample + self._silence

    @property
    def busy(self) -> bool:
        """There is something to place or to take."""
        return bool(self._raw) or self._silence > 0 or self.available > 0

    @property
    def available(self) -> int:
        """Placed samples at 16 kHz that all channels have."""
        return min(sum(map(len, pieces)) for pieces in self._placed)

    def put(self, audio: Audio) -> None:
        """Puts a message in line. Raises ProtocolError (`bad_audio`)."""
        if len(audio.data) % self._frame_bytes:
            raise ProtocolError("bad_audio", f"audio must be a multiple of {self._frame_bytes} bytes")
        if audio.data:
            self._raw.append(audio)

    def place_next(self) -> GapFound | None:
        """Decodes and places half a second, once all that was placed is taken.

        Returns:
            The gap that begins there, if one does.

        Raises:
            ProtocolError: `bad_audio`; what is in line is dropped.
        """
        if self.available:
            return None
        gap = None
        if not self._silence and self._raw:
            try:
                gap = self._timelines.gap_before(self._raw[0].first_sample)
            except GapTooLongError as error:
                self._raw.clear()
                raise ProtocolError("bad_audio", str(error)) from None
            self._silence = gap.to_input - gap.from_input if gap else 0
        if self._silence:
            self._place_silence()
        elif self._raw:
            self._place_message(self._raw[0])
        return gap

    def flush(self) -> None:
        """Places what resampling held back. Nothing can be put afterwards."""
        self._keep(self._timelines.flush())

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

    def state(self) -> IntakeState:
        """At a multiple of BLOCK_SAMPLES, or after `flush`. Messages in line are not in it: they come again."""
        assert not any(self._placed), "what was placed is not all taken"
        return IntakeState(self._timelines.expected_sample, self._silence, self._timelines.histories())

    def restore(self, state: IntakeState, position: int) -> None:
        """Goes on where another one was, at a position at 16 kHz. Raises ValueError: the state is damaged."""
        if state.silence < 0 or state.expected_sample < 0:
            raise ValueError("an intake's positions are not negative")
        self._timelines.restore(state.expected_sample, position, state.histories)
        self._silence = state.silence

    def _place_silence(self) -> None:
        samples = min(self._silence, self._piece_left)
        self._silence -= samples
        self._keep(self._timelines.silence(samples))

    def _place_message(self, audio: Audio) -> None:
        """What is new of a message and belongs to the piece."""
        frames = len(audio.data) // self._frame_bytes
        expected = self._timelines.expected_sample
        new, until = expected - audio.first_sample, expected - audio.first_sample + self._piece_left
        if new < frames:
            data = audio.data[new * self._frame_bytes : until * self._frame_bytes]
            self._keep(self._timelines.receive(expected, data))
        if until >= frames:
            self._raw.popleft()

    @property
    def _piece_left(self) -> int:
        """Input samples up to the end of the piece that is being placed."""
        done = self._timelines.expected_sample - self._timelines.lookahead
        return self._piece_samples - done % self._piece_samples

    def _keep(self, placed: list[Placed]) -> None:
        for piece in placed:
            self._placed[piece.channel].append(piece.pcm)
