"""What every speech detector can do."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class DetectorError(RuntimeError):
    """A detector cannot be made here. The message says what is missing and how to get it."""


class SpeechDetector(Protocol):
    """The state of one stream. Frames come in order, without gaps, from the stream's begin or the last `reset`."""

    frame_samples: int
    """Samples of one frame: 512, 32 ms at 16 kHz."""

    def probability(self, frame: NDArray[np.int16]) -> float:
        """The probability, 0 to 1, that the frame, int16 (512,) at 16 kHz, is speech."""
        ...

    def reset(self) -> None:
        """Forgets everything: the next frame begins a stream."""
        ...
