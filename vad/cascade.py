"""Two detectors in a row: a cheap one decides whether the good one needs to run at all."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from vad.detector import RECENT_FRAMES, BadStateError, SpeechDetector, decode_state
from vad.settings import FRAME_SAMPLES

HOLD_FRAMES: Final = 32
"""The detector stays awake this long after the gate last saw voice: 1024 ms, through the pauses of an utterance."""
WARM_UP_FRAMES: Final = RECENT_FRAMES
"""Frames before the one that wakes the detector, which it hears first: 512 ms."""


class _State(msgspec.Struct, frozen=True, array_like=True):
    gate: bytes
    detector: bytes
    awake_frames: int
    asleep_frames: int
    """How many of the newest frames the detector has not heard and will hear when it wakes."""


class CascadeDetector:
    """The probability of `detector` while `gate` has seen voice in the last `HOLD_FRAMES` frames, 0 otherwise.

    ::

        gate      . . . . . . . . v v v . v . . . . . . . . . .
        detector            w w w p p p p p p p p p p 0 0 0 0 0
                            warm-up ^ wakes           ^ sleeps

    When it wakes, the detector goes on from the state in which it fell asleep and hears the last frames before the
    voice, so that an onset that the gate notices late is not met by a cold network. It is not reset: Silero's state
    has adapted to the speaker's level, and quiet speech is lost without it. All of this follows from the samples.
    """

    frame_samples = FRAME_SAMPLES

    def __init__(self, gate: SpeechDetector, detector: SpeechDetector) -> None:
        self._gate = gate
        self._detector = detector
        self.reset()

    def reset(self) -> None:
        self._gate.reset()
        self._detector.reset()
        self._asleep: deque[NDArray[np.int16]] = deque(maxlen=WARM_UP_FRAMES)
        self._awake_frames = 0

    @property
    def awake(self) -> bool:
        """Whether the detector ran on the last frame."""
        return self._awake_frames > 0

    def probability(self, frame: NDArray[np.int16]) -> float:
        if self._gate.probability(frame) > 0:
            if not self.awake:
                self._wake()
            self._awake_frames = HOLD_FRAMES
        elif self.awake:
            self._awake_frames -= 1
        if self.awake:
            return self._detector.probability(frame)
        self._asleep.append(frame.copy())
        return 0.0

    def state(self) -> bytes:
        state = _State(self._gate.state(), self._detector.state(), self._awake_frames, len(self._asleep))
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes, recent: NDArray[np.int16]) -> None:
        known = decode_state(state, _State)
        if not 0 <= known.asleep_frames <= min(WARM_UP_FRAMES, len(recent) // FRAME_SAMPLES):
            raise BadStateError("the frames that the detector has not heard are not there")
        self._gate.restore(known.gate, recent)
        self._detector.restore(known.detector, recent)
        self._awake_frames = known.awake_frames
        unheard = recent[len(recent) - known.asleep_frames * FRAME_SAMPLES :].reshape(-1, FRAME_SAMPLES)
        self._asleep = deque((frame.copy() for frame in unheard), maxlen=WARM_UP_FRAMES)

    def _wake(self) -> None:
        for earlier in self._asleep:
            self._detector.probability(earlier)
        self._asleep.clear()
