"""Sounds and tones of one channel, from wire events to what they mean for a call. Pure."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from streaming.telephony.spans import MAX_LISTED
from streaming.transcript.text import fold

MUSIC: Final = frozenset({"music", "hold_music", "background_music"})
PROGRESS: Final = frozenset({"dial_tone", "ringback", "busy", "reorder", "sit", "fax_cng", "fax_ced"})
BEEP: Final = "beep"
KEY: Final = "dtmf_"
MAX_OPEN: Final = 64
"""Sounds that have begun and not ended; beyond it the oldest is taken to have ended where it began."""
_KEYS: Final = {"star": "*", "pound": "#", "masked": "?"}

Meaning = Literal["music", "progress", "beep", "key", "other"]


class Sound(msgspec.Struct, frozen=True, array_like=True):
    """Something heard on a channel; samples at 16 kHz."""

    label: str
    start: int
    end: int


class Log(msgspec.Struct, array_like=True):
    """Sounds in the order in which they were told, the first MAX_LISTED."""

    sounds: list[Sound] = []
    dropped: int = 0

    def add(self, sound: Sound) -> None:
        if len(self.sounds) < MAX_LISTED:
            self.sounds.append(sound)
        else:
            self.dropped += 1


def plain(label: str) -> str:
    """A label as it is compared: `Hold music` and `hold_music` are the same."""
    return "_".join(fold(part) for part in label.replace("_", " ").split())


def meaning(label: str) -> Meaning:
    """Of a plain label."""
    if label.startswith(KEY):
        return "key"
    if label in MUSIC:
        return "music"
    if label in PROGRESS:
        return "progress"
    return "beep" if label == BEEP else "other"


def key(label: str) -> str:
    """`dtmf_5` is 5, `dtmf_star` is *, `dtmf_masked` is ?."""
    name = label.removeprefix(KEY)
    return _KEYS.get(name, name.upper())
