"""Which tones mean what: frequencies and cadences of the plans that are known.

- us: North American Precise Tone Plan (Bellcore GR-506-CORE; ITU-T E.180 supplement 2).
- uk: British Telecom SIN 350, as in E.180 supplement 2.
- eu: 425 Hz of ITU-T E.180 and ETSI TR 101 041; and France's ringback.
- jp: Japan's ringback, without its modulation.
- T.30: CNG 1100 Hz ± 38 Hz, 0.5 s on and 3 s off; CED 2100 Hz ± 15 Hz, 2.6 to 4 s. V.25 and V.8 reverse its phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BEEP_HZ: Final = (400.0, 2000.0)
BEEP_MS: Final = (145.0, 1515.0)
"""From 0.15 to 1.5 s, give or take what the measurement may be off by."""
BEEP_WEAKEST: Final = 0.75
"""A beep keeps its level, within 2.5 dB; a note that is struck does not."""
BEEP_SWING: Final = 0.004
"""A beep keeps its frequency; what is sung or blown does not."""
PAIR_MS: Final = {"dial_tone": 500.0, "ringback": 300.0}
"""How long two tones must sound until they are this: chords of music pass sooner. A UK ring lasts 400 ms."""
CED_HZ: Final = 2100.0
CED_MS: Final = 2535.0
"""T.30: 2.6 s at least; 2.5 % for clocks."""
CONTINUOUS_MS: Final = 1250.0
"""No cadence of 425 Hz is on for longer than 1 s."""


@dataclass(frozen=True, slots=True)
class Cadence:
    label: str
    plan: str
    hertz: tuple[float, ...]
    beats_ms: tuple[float, ...]
    """On, off, on, off ...; () is continuous."""


CADENCES: Final = (
    Cadence("dial_tone", "us", (350, 440), ()),
    Cadence("dial_tone", "uk", (350, 450), ()),
    Cadence("dial_tone", "eu", (425,), ()),
    Cadence("ringback", "us", (440, 480), (2000, 4000)),
    Cadence("ringback", "uk", (400, 450), (400, 200, 400, 2000)),
    Cadence("ringback", "eu", (425,), (1000, 4000)),
    Cadence("ringback", "eu", (440,), (1500, 3500)),
    Cadence("ringback", "jp", (400,), (1000, 2000)),
    Cadence("busy", "us", (480, 620), (500, 500)),
    Cadence("busy", "uk", (400,), (375, 375)),
    Cadence("busy", "eu", (425,), (500, 500)),
    Cadence("reorder", "us", (480, 620), (250, 250)),
    Cadence("reorder", "us", (480, 620), (300, 200)),
    Cadence("reorder", "us", (480, 620), (200, 300)),
    Cadence("reorder", "uk", (400,), (400, 350, 225, 525)),
    Cadence("reorder", "eu", (425,), (250, 250)),
    Cadence("reorder", "eu", (425,), (200, 200)),
    Cadence("fax_cng", "", (1100,), (500, 3000)),
    Cadence("fax_ced", "", (CED_HZ,), ()),
)
"""480 ms and 240 ms, which some exchanges play, lie within the tolerance of 500 and 250."""

SIT_HZ: Final = ((900.0, 1000.0), (1350.0, 1450.0), (1750.0, 1850.0))
"""E.180: 950, 1400 and 1800 Hz, ± 50 each."""
SIT_MS: Final = (200.0, 460.0)
"""E.180: 330 ms ± 70. Bellcore: 276 or 380."""
SIT_GAP_MS: Final = 60.0
"""E.180: 30 ms at most."""
_SIT_LOW: Final = (913.8, 1370.6)
_SIT_HIGH: Final = (985.2, 1428.5)
_SIT_TOLERANCE: Final = 0.01
_SIT_LONG_MS: Final = 328.0  # half-way between 276 and 380
_SIT_KINDS: Final = {
    ("LL", "SS"): "intercept",
    ("LL", "LL"): "no_circuit",
    ("HH", "LL"): "no_circuit",
    ("HL", "LS"): "vacant_code",
    ("HL", "SL"): "reorder",
    ("LH", "SL"): "reorder",
}
"""Bellcore's coding: which of two frequencies (low, high) and lengths (short, long) the first two tones have."""

PAIRS: Final = tuple({cadence.hertz for cadence in CADENCES if len(cadence.hertz) == 2})
SINGLES: Final = tuple({cadence.hertz for cadence in CADENCES if len(cadence.hertz) == 1})


def family(hertz: Sequence[float]) -> tuple[Cadence, ...]:
    """The cadences with the frequencies that are nearest to these, within 1.5 % (CNG: 38 Hz); () where none is."""
    same = [cadence for cadence in CADENCES if len(cadence.hertz) == len(hertz)]
    distances = {cadence.hertz: _distance(cadence.hertz, hertz) for cadence in same}
    nearest = min(distances, key=lambda known: distances[known])
    return tuple(cadence for cadence in same if cadence.hertz == nearest) if distances[nearest] <= 1 else ()


def _distance(known: tuple[float, ...], hertz: Sequence[float]) -> float:
    """1 is the end of the tolerance."""
    if known == (1100,):
        return abs(hertz[0] - known[0]) / 39  # and what the measurement may be off by
    return max(abs(heard - value) / (0.015 * value) for heard, value in zip(hertz, known, strict=True))


def matches(cadence: Cadence, intervals_ms: Sequence[float], first_is_on: bool) -> bool:
    """Whether measured intervals, on and off in turn, may be a part of the cadence: each within 15 % and 15 ms."""
    beats = cadence.beats_ms
    return any(
        all(
            abs(measured - beats[(first + i) % len(beats)]) <= 0.15 * beats[(first + i) % len(beats)] + 15
            for i, measured in enumerate(intervals_ms)
        )
        for first in range(0 if first_is_on else 1, len(beats), 2)
    )


def sit_kind(hertz: Sequence[float], lengths_ms: Sequence[float]) -> str:
    """What a SIT says, from its first two tones; "unspecified" where they are not of Bellcore's code."""
    tones = ""
    for value, low, high in zip(hertz, _SIT_LOW, _SIT_HIGH, strict=False):
        near = [name for name, at in (("L", low), ("H", high)) if abs(value - at) <= _SIT_TOLERANCE * at]
        tones += near[0] if near else "?"
    lengths = "".join("L" if length > _SIT_LONG_MS else "S" for length in lengths_ms[:2])
    return _SIT_KINDS.get((tones, lengths), "unspecified")
