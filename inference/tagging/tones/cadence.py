"""Bursts become named tones: dial tone, ringback, busy, reorder, SIT, fax, beep.

What is said when, counted from the tone's begin. A burst is seen to open 100 to 160 ms after its begin, and to close
60 to 80 ms after its end; the positions that are told do not wait.

- dial tone and ringback of two frequencies, which nothing else has: `start` with the name after 500 and 300 ms.
- everything else: `start` as `tone` after 200 ms, then one `update` with the name when it is certain: EU dial
  tone after 1.25 s; ringback of one frequency when its first ring has ended; busy and reorder at the second burst
  (where UK busy and UK reorder begin alike, at the end of the second); SIT when its third tone opens; CNG at the end
  of a burst; CED after 2.5 s; a beep when `beep_alone_ms` have gone by after it. `start_sample` stays that of the
  first burst.
- `end` when the next burst of the cadence is overdue, or another tone begins; its `end_sample` is the end of the last.
"""

from __future__ import annotations

from typing import Final

import msgspec

from inference.tagging.tones.bursts import Burst, Change, Faded, Opened
from inference.tagging.tones.events import Phase, ToneEvent, Value
from inference.tagging.tones.plans import (
    BEEP_HZ,
    BEEP_MS,
    BEEP_SWING,
    BEEP_WEAKEST,
    CED_MS,
    CONTINUOUS_MS,
    PAIR_MS,
    SIT_GAP_MS,
    SIT_HZ,
    SIT_MS,
    Cadence,
    family,
    matches,
    sit_kind,
)
from inference.tagging.tones.settings import SAMPLES_PER_MS, ToneSettings

REMEMBERED_BURSTS: Final = 4
"""The longest cadence has two bursts a period."""
SAME: Final = 0.015
"""Of a frequency: bursts this near are one cadence."""
STARTED_MS: Final = 200.0
"""From its begin until a tone of unknown kind is told of: voices rarely keep one that long."""
UNNAMED_GAP_MS: Final = 900.0
"""Longest silence within a cadence of unknown kind whose frequencies are known: UK reorder has 0.525 s."""
REPEATED_GAP_MS: Final = 2000.0
"""A tone that comes again within this is no beep."""
MELODY_MS: Final = 100.0
"""After a beep no other tone follows within this."""
OVERDUE: Final = 1.2
"""Times the longest silence of a cadence, after which it is over."""
CONTINUOUS_GAP_MS: Final = 300.0
SEEN_MS: Final = 200.0
"""A burst is seen this long after its begin at most: until then silence is not certain."""


class _Track(msgspec.Struct):
    """One tone, from its first burst on."""

    hertz: list[float]
    bursts: list[Burst]
    label: str = "tone"
    plan: str = ""
    kind: str = ""
    started: bool = False
    """The client knows of it."""
    again: bool = False
    """It was there a little before, or has come twice: no beep."""
    note: bool = False
    """It fades, or another tone follows at once: no beep."""
    start_sample: int = 0
    sit: int = 0
    """Tones of a SIT so far."""
    gap_ms: float = UNNAMED_GAP_MS
    """A longer silence ends it."""


class CadenceState(msgspec.Struct, array_like=True):
    track: _Track | None = None
    last_hertz: list[float] = []
    """Of the last tone that ended."""
    last_end: int = 0


class CadenceTracker:
    """Give it each burst as it opens and closes, and then the time, in the order of the clock."""

    def __init__(self, settings: ToneSettings) -> None:
        self._alone_ms = settings.beep_alone_ms
        self.state = CadenceState()

    @property
    def idle(self) -> bool:
        return self.state.track is None

    def take(self, change: Change, at: int) -> list[ToneEvent]:
        if isinstance(change, Faded):
            if self.state.track is not None and self.state.track.bursts[-1].start_sample == change.start_sample:
                self.state.track.note = True
            return []
        return self._opened(change.burst, at) if isinstance(change, Opened) else self._closed(change.burst, at)

    def pass_time(self, at: int) -> list[ToneEvent]:
        """No more is known than that the clock stands at `at`."""
        track = self.state.track
        if track is None:
            return []
        burst = track.bursts[-1]
        if burst.end_sample is None:
            return self._sounding(track, (at - burst.start_sample) / SAMPLES_PER_MS, at)
        silence_ms = (at - burst.end_sample) / SAMPLES_PER_MS - SEEN_MS
        if silence_ms >= self._alone_ms and track.label == "tone" and not family(track.hertz) and not track.again:
            return [*self._beep(track, at), *self._end(track, at)]
        if silence_ms > track.gap_ms:
            return [*self._beep(track, at), *self._end(track, at)]
        return []

    def finish(self, at: int) -> list[ToneEvent]:
        """The audio ends, and so does what sounds."""
        track = self.state.track
        return [] if track is None else [*self._beep(track, at), *self._end(track, at)]

    def _opened(self, burst: Burst, at: int) -> list[ToneEvent]:
        track = self.state.track
        events: list[ToneEvent] = []
        if track is not None:
            gap_ms = (burst.start_sample - _end_of(track)) / SAMPLES_PER_MS
            if _continues_sit(track, burst, gap_ms):
                return self._next_of_sit(track, burst, at)
            if _near(track.hertz, burst.hertz) and gap_ms <= track.gap_ms and track.sit != len(SIT_HZ):
                track.bursts = [*track.bursts[1 - REMEMBERED_BURSTS :], burst]
                track.again = True
                return self._name_by_cadence(track, at)
            track.note = track.note or gap_ms < MELODY_MS
            events = [*self._beep(track, at), *self._end(track, at)]
        self._begin(burst)
        return events

    def _begin(self, burst: Burst) -> None:
        state = self.state
        since_ms = (burst.start_sample - state.last_end) / SAMPLES_PER_MS
        again = _near(state.last_hertz, burst.hertz) and since_ms <= REPEATED_GAP_MS
        track = _Track(burst.hertz, [burst], start_sample=burst.start_sample, again=again)
        track.sit = int(len(burst.hertz) == 1 and SIT_HZ[0][0] <= burst.hertz[0] <= SIT_HZ[0][1])
        state.track = track
        known = family(burst.hertz)
        if not known:
            track.gap_ms = REPEATED_GAP_MS if again else max(self._alone_ms, UNNAMED_GAP_MS)

    def _closed(self, burst: Burst, at: int) -> list[ToneEvent]:
        track = self.state.track
        if track is None or track.bursts[-1].start_sample != burst.start_sample:
            return []
        track.bursts[-1] = burst
        length_ms = _length_ms(burst)
        if not track.started and length_ms < BEEP_MS[0]:
            self.state.track = None
            return []
        events = self._start(track, at)
        if track.sit == len(SIT_HZ):
            return [*events, *self._end(track, at)]
        return events + self._name_by_cadence(track, at)

    def _sounding(self, track: _Track, length_ms: float, at: int) -> list[ToneEvent]:
        known = family(track.hertz)
        if len(track.hertz) == 2 and len({cadence.label for cadence in known}) == 1:  # nothing else has these two
            named = track.label != "tone" or length_ms < PAIR_MS[known[0].label]
            return [] if named else self._name(track, known[0], at)
        events = self._start(track, at) if length_ms >= STARTED_MS else []
        if track.label != "tone":
            return events
        for cadence in known:
            continuous = not cadence.beats_ms and length_ms >= (CED_MS if cadence.label == "fax_ced" else CONTINUOUS_MS)
            if continuous:
                return events + self._name(track, cadence, at)
        return events

    def _name_by_cadence(self, track: _Track, at: int) -> list[ToneEvent]:
        if track.label != "tone":
            return []
        intervals, first_is_on = _intervals(track.bursts)
        known = [
            cadence
            for cadence in family(track.hertz)
            if cadence.beats_ms and intervals and matches(cadence, intervals, first_is_on)
        ]
        if len({cadence.label for cadence in known}) != 1 or not (first_is_on or len(intervals) > 1):
            return []
        if len(intervals) == 1 and known[0].label in ("busy", "reorder"):
            return []
        return self._name(track, known[0], at)

    def _next_of_sit(self, track: _Track, burst: Burst, at: int) -> list[ToneEvent]:
        track.bursts = [*track.bursts[1 - REMEMBERED_BURSTS :], burst]
        track.sit += 1
        track.hertz = burst.hertz
        events = self._start(track, at)
        if track.sit < len(SIT_HZ):
            return events
        tones = track.bursts[-len(SIT_HZ) :]
        track.label = "sit"
        track.kind = sit_kind([tone.hertz[0] for tone in tones[:-1]], [_length_ms(tone) for tone in tones[:-1]])
        return [*events, _event(track, "update", None, at)]

    def _name(self, track: _Track, cadence: Cadence, at: int) -> list[ToneEvent]:
        track.label, track.plan = cadence.label, cadence.plan
        track.gap_ms = max(cadence.beats_ms[1::2], default=CONTINUOUS_GAP_MS / OVERDUE) * OVERDUE
        if track.started:
            return [_event(track, "update", None, at)]
        return self._start(track, at)

    def _beep(self, track: _Track, at: int) -> list[ToneEvent]:
        """It was one, where it was a single tone, alone, and as long as a beep."""
        burst = track.bursts[-1]
        alone = track.label == "tone" and not (track.again or track.note) and len(track.bursts) == 1 and not burst.cut
        if not (alone and len(track.hertz) == 1 and BEEP_HZ[0] <= track.hertz[0] <= BEEP_HZ[1]):
            return []
        if burst.end_sample is None or not BEEP_MS[0] <= _length_ms(burst) <= BEEP_MS[1]:
            return []
        if burst.weakest < BEEP_WEAKEST or burst.swing > BEEP_SWING:
            return []
        track.label = "beep"
        return [*self._start(track, at), _event(track, "update", None, at)]

    def _start(self, track: _Track, at: int) -> list[ToneEvent]:
        if track.started:
            return []
        track.started = True
        return [_event(track, "start", None, at)]

    def _end(self, track: _Track, at: int) -> list[ToneEvent]:
        self.state = CadenceState(None, track.hertz, _end_of(track) or at)
        end = _end_of(track) if track.bursts[-1].end_sample is not None else at
        return [_event(track, "end", end, at)] if track.started else []


def _continues_sit(track: _Track, burst: Burst, gap_ms: float) -> bool:
    if not 0 < track.sit < len(SIT_HZ) or len(burst.hertz) != 1 or track.bursts[-1].end_sample is None:
        return False
    low, high = SIT_HZ[track.sit]
    lasted = SIT_MS[0] <= _length_ms(track.bursts[-1]) <= SIT_MS[1]
    return low <= burst.hertz[0] <= high and lasted and gap_ms <= SIT_GAP_MS


def _near(one: list[float], other: list[float]) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= SAME * b for a, b in zip(one, other, strict=True))


def _end_of(track: _Track) -> int:
    """Of its last burst that has ended; 0 before."""
    return max((burst.end_sample for burst in track.bursts if burst.end_sample is not None), default=0)


def _length_ms(burst: Burst) -> float:
    return 0.0 if burst.end_sample is None else (burst.end_sample - burst.start_sample) / SAMPLES_PER_MS


def _intervals(bursts: list[Burst]) -> tuple[list[float], bool]:
    """Lengths of what is whole, on and off in turn, in ms, and whether the first is on."""
    intervals: list[float] = []
    first_is_on = not bursts[0].cut
    for i, burst in enumerate(bursts):
        if i:
            intervals.append((burst.start_sample - (bursts[i - 1].end_sample or 0)) / SAMPLES_PER_MS)
        if burst.end_sample is not None and (i or first_is_on):
            intervals.append(_length_ms(burst))
    return intervals, first_is_on


def _event(track: _Track, phase: Phase, end: int | None, at: int) -> ToneEvent:
    detail: dict[str, Value] = {"hz": [round(value, 1) for value in track.hertz]}
    if track.label == "sit":
        detail = {"hz": [round(burst.hertz[0], 1) for burst in track.bursts], "kind": track.kind}
    if track.plan:
        detail["plan"] = track.plan
    if track.label != "sit" and (track.bursts[0].end_sample is not None):
        intervals, first_is_on = _intervals(track.bursts)
        detail["on_ms"] = [round(value, 1) for value in intervals[0 if first_is_on else 1 :: 2]]
        detail["off_ms"] = [round(value, 1) for value in intervals[1 if first_is_on else 0 :: 2]]
    return ToneEvent(track.label, phase, track.start_sample, end, at, detail)
