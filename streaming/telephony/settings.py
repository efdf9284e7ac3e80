"""Thresholds of a call model. Samples are at 16 kHz."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SECOND: Final = 16_000

LISTED_SILENCE: Final = 2 * _SECOND
"""Shorter silences count, but are not listed."""
MONOLOGUE_PAUSE: Final = 2 * _SECOND
"""A longer pause of one's own ends a monologue."""
HOLD_GAP: Final = 10 * _SECOND
"""What may break a hold without ending it: an announcement, the end of a tune."""
BEEP_PERIOD: Final = (round(4.5 * _SECOND), 60 * _SECOND)
"""Of hold tones. Cisco's "Tone on Hold" comes every 5 s or more rarely, by default every 10 s."""
BEEP_JITTER: Final = _SECOND // 2
"""How much two periods of a hold tone may differ."""
PHRASE_PAUSE: Final = 2 * _SECOND
"""A phrase may go on in the next utterance after no more than this."""


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Raises ValueError: a threshold is below 0, or a keyword has no letter or digit."""

    dead_air_samples: int = 5 * _SECOND
    """Nobody speaks, nothing plays and nothing rings for so long: dead air."""
    talk_over_samples: int = 2 * _SECOND
    """Both speak for so long: talk-over."""
    interruption_samples: int = 2 * _SECOND
    """Who begins while the other speaks, and the other ends within this: an interruption."""
    hold_samples: int = 3 * _SECOND
    """Music without the channel's own speech for so long: a hold."""
    keywords: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        thresholds = (self.dead_air_samples, self.talk_over_samples, self.interruption_samples, self.hold_samples)
        if min(thresholds) < 0:
            raise ValueError("a call's thresholds start at 0")
        if not all(any(char.isalnum() for char in keyword) for keyword in self.keywords):
            raise ValueError("a keyword needs at least one letter or digit")
