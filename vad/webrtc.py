"""WebRTC's voice activity detector: Gaussian mixtures over six sub-band energies. Cheap, and easily fooled by music."""

from __future__ import annotations

import numpy as np
import webrtcvad
from numpy.typing import NDArray

from vad.settings import FRAME_SAMPLES, SAMPLE_RATE

_SUB_FRAME_BYTES = SAMPLE_RATE // 100 * 2  # 320: 10 ms, the shortest frame that it takes


class WebrtcDetector:
    """The share of voiced 10 ms sub-frames among those that end in the frame.

    512 samples are 3.2 sub-frames: what is left over waits for the next frame, so that sub-frames lie on one grid
    and every sample is looked at once.
    """

    frame_samples = FRAME_SAMPLES

    def __init__(self, mode: int = 2) -> None:
        """`mode` is 0 (takes most for speech) to 3 (takes least)."""
        self.mode = mode
        self.reset()

    def reset(self) -> None:
        self._vad = webrtcvad.Vad(self.mode)
        self._waiting = b""

    def probability(self, frame: NDArray[np.int16]) -> float:
        data = self._waiting + frame.tobytes()
        whole = len(data) // _SUB_FRAME_BYTES
        voiced = sum(
            bool(self._vad.is_speech(data[at : at + _SUB_FRAME_BYTES], SAMPLE_RATE))
            for at in range(0, whole * _SUB_FRAME_BYTES, _SUB_FRAME_BYTES)
        )
        self._waiting = data[whole * _SUB_FRAME_BYTES :]
        return voiced / whole
