"""What counts as a tone, and the detectors' own measure of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SAMPLE_RATE: Final = 16_000
SAMPLES_PER_MS: Final = SAMPLE_RATE // 1000  # 16
FULL_SCALE: Final = 32_767.0
"""Peak of a sine at 0 dBFS, which is also what levels are counted from."""

_RANGES: Final = {
    "min_level_dbfs": (-60.0, -10.0),
    "dtmf_tolerance": (0.015, 0.035),
    "dtmf_forward_twist_db": (4.0, 12.0),
    "dtmf_reverse_twist_db": (8.0, 12.0),
    "dtmf_min_ms": (23.0, 40.0),
    "dtmf_min_pause_ms": (10.0, 40.0),
    "beep_alone_ms": (100.0, 3_000.0),
}


@dataclass(frozen=True, slots=True)
class ToneSettings:
    """Defaults lie between what ITU-T Q.24 (annex A) asks to be accepted and what it asks to be refused.

    Raises:
        ValueError: a value is out of its range; the message names the field and the range.
    """

    min_level_dbfs: float = -45.0
    """Of each component, as the level of a sine; weaker tones are not there."""
    dtmf_tolerance: float = 0.02
    """Largest deviation of a component from its nominal frequency. Q.24: 1.5 % is accepted, 3.5 % is not."""
    dtmf_forward_twist_db: float = 6.0
    """How much the high frequency may be above the low one. Q.24: 4 dB or more."""
    dtmf_reverse_twist_db: float = 10.0
    """How much the low frequency may be above the high one. Q.24: 8 dB or more."""
    dtmf_min_ms: float = 31.5
    """Shorter signals are not digits. Q.24: 40 ms is accepted, 23 ms is not."""
    dtmf_min_pause_ms: float = 22.0
    """Shorter interruptions are part of the digit. Q.24: 10 ms does not split, 40 ms does."""
    beep_alone_ms: float = 600.0
    """A single tone is a beep when as long as this no tone follows it."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be from {low:g} to {high:g}, not {value}")


def amplitude(level_dbfs: float) -> float:
    """Peak of a sine of this level, in int16 quanta."""
    return float(FULL_SCALE * 10 ** (level_dbfs / 20))
