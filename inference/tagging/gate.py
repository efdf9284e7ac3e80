"""Which blocks outside speech are worth an encoder pass: a cheap look at level and novelty. Pure numpy.

A block is *quiet* where nothing in it rises above the floor of hearing. Sound that goes on unchanged was heard once
and need not be heard again: after LISTEN_BLOCKS of it, a block is *steady* until its spectrum changes, but for two
blocks in every RELISTEN_BLOCKS. All else is *active*.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Verdict = Literal["quiet", "steady", "active"]

QUIET_DBFS: Final = -58.0
"""Of the loudest 20 ms: room noise of a headset or a line lies below."""
LISTEN_BLOCKS: Final = 8
RELISTEN_BLOCKS: Final = 20
RELISTEN_FOR: Final = 2
NOVEL_DB: Final = 5.0
"""A band that differs by more from its running mean is news."""
_FRAME: Final = 320
_EDGES: Final = (0, 250, 500, 1000, 1500, 2000, 3000, 4000, 8000)  # Hz
_FLOOR_DB: Final = -75.0  # of a band; what is below it differs by nothing
_FOLLOW: Final = 0.2  # of the running mean, per block


class GateState(msgspec.Struct, frozen=True, array_like=True):
    mean_db: list[float]
    unchanged: int


class SoundGate:
    """Order of calls: `judge` for each block of one channel in turn."""

    def __init__(self) -> None:
        self._mean_db: NDArray[np.float64] | None = None
        self._unchanged = 0

    def judge(self, pcm: NDArray[np.int16]) -> Verdict:
        """Takes a block, int16 (n,) at 16 kHz, n a multiple of 320."""
        frames = pcm.astype(np.float64).reshape(-1, _FRAME) / 32768
        loudest = float((frames**2).mean(axis=1).max())
        if 10 * np.log10(loudest + 1e-12) < QUIET_DBFS:
            self._mean_db, self._unchanged = None, 0
            return "quiet"
        bands = _bands_db(frames)
        if self._mean_db is None or np.abs(bands - self._mean_db).max() > NOVEL_DB:
            self._unchanged = 0
        else:
            self._unchanged += 1
        self._mean_db = bands if self._mean_db is None else self._mean_db + _FOLLOW * (bands - self._mean_db)
        heard = self._unchanged - LISTEN_BLOCKS
        return "steady" if heard >= 0 and heard % RELISTEN_BLOCKS < RELISTEN_BLOCKS - RELISTEN_FOR else "active"

    def state(self) -> GateState:
        return GateState([] if self._mean_db is None else self._mean_db.tolist(), self._unchanged)

    def restore(self, state: GateState) -> None:
        """Raises ValueError: the state is damaged."""
        if len(state.mean_db) not in (0, len(_EDGES) - 1):
            raise ValueError("a sound gate's state has another number of bands")
        self._mean_db = np.array(state.mean_db) if state.mean_db else None
        self._unchanged = state.unchanged


def _bands_db(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean level of each band over the frames, dB, (8,)."""
    power = (np.abs(np.fft.rfft(frames * np.hanning(_FRAME), axis=1)) ** 2).mean(axis=0) / _FRAME**2
    hz = np.fft.rfftfreq(_FRAME, 1 / 16_000)
    sums = np.array([power[(hz >= low) & (hz < high)].sum() for low, high in pairwise(_EDGES)])
    levels: NDArray[np.float64] = np.maximum(10 * np.log10(sums + 1e-12), _FLOOR_DB)
    return levels
