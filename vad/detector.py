"""What every speech detector can do."""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

State = TypeVar("State", bound=msgspec.Struct)
RECENT_FRAMES: Final = 16
"""The newest frames, 512 ms, that a detector may ask for again when its state is restored."""


class DetectorError(RuntimeError):
    """A detector cannot be made here. The message says what is missing and how to get it."""


class BadStateError(ValueError):
    """Bytes that are no state of this detector, or audio that is not the one behind it."""


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

    def state(self) -> bytes:
        """What the answers from here on depend on, beside the newest RECENT_FRAMES frames."""
        ...

    def restore(self, state: bytes, recent: NDArray[np.int16]) -> None:
        """Goes on where the detector was whose `state` it is.

        A state of another version of the detector's library is not taken: the detector begins anew and hears
        `recent`, to be adapted to the sound.

        Args:
            recent: int16 (n,), the newest frames before it, RECENT_FRAMES of them or all that there were.

        Raises:
            BadStateError: it is damaged.
        """
        ...


def decode_state(data: bytes, kind: type[State]) -> State:
    """Raises BadStateError."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise BadStateError(f"the detector's state cannot be read: {error}") from None
