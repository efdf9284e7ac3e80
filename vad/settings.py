"""How speech is found and cut, and the vad's own measure of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

SAMPLE_RATE: Final = 16_000
FRAME_SAMPLES: Final = 512
"""What a detector looks at: 32 ms at 16 kHz."""
GRID_SAMPLES: Final = 320
"""Segments begin and end on multiples of this, 20 ms: one frame of the encoders that they are cut for."""

DetectorName = Literal["cascade", "silero", "webrtc"]

_RANGES: Final = {
    "threshold": (0.05, 0.95),
    "min_speech_ms": (0, 2_000),
    "min_silence_ms": (100, 5_000),
    "max_utterance_ms": (2_000, 29_000),
    "no_speech_ms": (0, 3_600_000),
    "pre_roll_ms": (0, 2_000),
    "pad_ms": (0, 2_000),
}


def ms_to_samples(ms: int) -> int:
    return ms * (SAMPLE_RATE // 1000)


def grid_floor(sample: int) -> int:
    return sample // GRID_SAMPLES * GRID_SAMPLES


def grid_ceil(sample: int) -> int:
    return -grid_floor(-sample)


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Names, units and ranges are those of the native protocol's `endpointing`.

    Raises:
        ValueError: a value is out of its range; the message names the field and the range.
    """

    detector: DetectorName = "cascade"
    threshold: float = 0.5
    """Probability from which a frame can begin speech."""
    min_speech_ms: int = 96
    """Shorter speech is taken for noise."""
    min_silence_ms: int = 1000
    """Trailing silence that ends an utterance."""
    max_utterance_ms: int = 28_000
    """A longer one is split at its quietest point."""
    no_speech_ms: int = 0
    """Say so after this long without speech; 0 is never."""
    pre_roll_ms: int = 300
    """Audio kept before the first speech."""
    pad_ms: int = 400
    """Audio kept after the last speech; more than `min_silence_ms` has no effect."""

    def __post_init__(self) -> None:
        if self.detector not in get_args(DetectorName):
            raise ValueError(f"detector must be one of {', '.join(get_args(DetectorName))}, not {self.detector!r}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be from {low} to {high}, not {value}")
