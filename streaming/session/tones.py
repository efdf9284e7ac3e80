"""Telephone tones of one channel, as messages. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.tagging.tones import ToneDetector, ToneEvent, ToneState
from inference.tagging.tones.detector import GRID, TAIL
from streaming.audio.clock import samples_to_ms
from streaming.protocol.messages import Event
from streaming.session.effects import Effect, Send

TONE_SAMPLES: Final = 800
"""50 ms: a divisor of BLOCK_SAMPLES."""


class ChannelTones:
    """Order of calls: `feed` with samples that follow one another, in pieces that end at every multiple of
    TONE_SAMPLES; `finish` at the end.

    What is heard is said at these positions only, so that it stands among all messages in the order of the clock.
    """

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._detector = ToneDetector()
        self._waiting: list[NDArray[np.int16]] = []

    def feed(self, pcm: NDArray[np.int16], position: int) -> list[Effect]:
        """Takes int16 (n,) at 16 kHz, which end at `position`."""
        self._waiting.append(pcm)
        return [] if position % TONE_SAMPLES else self._say(self._detector.feed(self._take()))

    def finish(self) -> list[Effect]:
        """No more audio comes."""
        return self._say([*self._detector.feed(self._take()), *self._detector.flush()])

    def _take(self) -> NDArray[np.int16]:
        pieces, self._waiting = self._waiting, []
        return np.concatenate([np.empty(0, np.int16), *pieces]) if len(pieces) != 1 else pieces[0]

    @property
    def recent_from(self) -> int:
        """A restore needs the audio from here on."""
        return max(0, self._detector.position - TAIL - GRID)

    def state(self) -> ToneState:
        """At a multiple of TONE_SAMPLES. Without the audio, which is kept anyhow."""
        assert not self._waiting, "a snapshot stands where tones were heard up to"
        return msgspec.structs.replace(self._detector.state(), audio=b"")

    def restore(self, state: ToneState, recent: NDArray[np.int16]) -> None:
        """Goes on where another one was.

        Args:
            recent: int16 (n,), the audio from its `recent_from`, or from earlier on, up to its position.

        Raises:
            ValueError: the state is damaged.
        """
        needed = TAIL + (state.position - state.origin) % GRID
        audio = np.concatenate((np.zeros(needed, np.int16), recent))[-needed:]
        self._detector.restore(msgspec.structs.replace(state, audio=audio.astype("<i2").tobytes()))

    def _say(self, events: Iterable[ToneEvent]) -> list[Effect]:
        return [Send(_wire(self._channel, event)) for event in events]


def _wire(channel: int, event: ToneEvent) -> Event:
    return Event(
        label=event.label,
        channel=channel,
        start_ms=samples_to_ms(event.start_sample),
        end_ms=None if event.end_sample is None else samples_to_ms(event.end_sample),
        phase=event.phase,
        source="tones",
    )
