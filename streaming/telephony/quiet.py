"""When nobody speaks, and when both do. Pure.

**Silence** is when nobody speaks, whatever else is heard. **Dead air** is silence without music, call progress tones
or a hold on any channel, for at least its threshold. **Talk-over** is when both speak; all of it counts.
"""

from __future__ import annotations

import msgspec

from streaming.telephony.events import CallEvent, Kind
from streaming.telephony.settings import LISTED_SILENCE
from streaming.telephony.spans import Spans


class Stretch(msgspec.Struct, array_like=True):
    """A state of the line that is told once it has lasted for its threshold."""

    kind: Kind
    since: int | None = None
    told: bool = False

    def due(self, threshold_samples: int) -> int | None:
        """When its threshold passes; None: it does not last, or was told."""
        return None if self.since is None or self.told else self.since + threshold_samples

    def tell(self) -> list[CallEvent]:
        assert self.since is not None
        self.told = True
        return [CallEvent(kind=self.kind, phase="start", start_sample=self.since)]

    def end(self, at: int) -> tuple[int | None, list[CallEvent]]:
        """(where it began, or None; what is to be told)."""
        since, told = self.since, self.told
        self.since, self.told = None, False
        if since is None or not told:
            return since, []
        return since, [CallEvent(kind=self.kind, phase="end", start_sample=since, end_sample=max(since, at))]


class Quiet(msgspec.Struct, array_like=True):
    """Order of calls: `speaking` when the number of those who speak changes, `occupied` and `free` for what keeps
    silence from being dead, in the order of the clock; `pass_threshold` when `due` says so."""

    silence: Spans
    dead_air: Spans
    talk_over: Spans
    dead: Stretch
    both: Stretch
    quiet_since: int | None = 0
    occupied_by: list[str] = []
    """What plays or rings."""

    @classmethod
    def new(cls) -> Quiet:
        dead, both = Stretch("dead_air", since=0), Stretch("talk_over")
        return cls(silence=Spans(), dead_air=Spans(), talk_over=Spans(), dead=dead, both=both)

    def speaking(self, count: int, at: int, dead_air_samples: int) -> list[CallEvent]:
        """From here on so many speak."""
        events: list[CallEvent] = []
        if count == 2:
            self.both.since = at
        elif self.both.since is not None:
            since, events = self.both.end(at)
            if since is not None:
                self.talk_over.add(since, at)
        if count and self.quiet_since is not None:
            events += self._end_dead_air(at, dead_air_samples)
            self.silence.add(self.quiet_since, at, listed=at - self.quiet_since >= LISTED_SILENCE)
            self.quiet_since = None
        elif not count and self.quiet_since is None:
            self.quiet_since = at
            self._begin_dead_air(at)
        return events

    def occupied(self, what: str, at: int, dead_air_samples: int) -> list[CallEvent]:
        """Something plays or rings since `at`, which may be a moment that has passed already."""
        if what not in self.occupied_by:
            self.occupied_by.append(what)
        return self._end_dead_air(at, dead_air_samples)

    def free(self, what: str, at: int) -> None:
        """It does no longer."""
        if what in self.occupied_by:
            self.occupied_by.remove(what)
            self._begin_dead_air(at)

    def due(self, dead_air_samples: int, talk_over_samples: int) -> int | None:
        """When the next threshold passes."""
        moments = (self.dead.due(dead_air_samples), self.both.due(talk_over_samples))
        return min((moment for moment in moments if moment is not None), default=None)

    def pass_threshold(self, at: int, dead_air_samples: int) -> list[CallEvent]:
        dead = self.dead.due(dead_air_samples) == at
        return self.dead.tell() if dead else self.both.tell()

    def finish(self, at: int, dead_air_samples: int) -> list[CallEvent]:
        """The call is over."""
        since, events = self.both.end(at)
        if since is not None:
            self.talk_over.add(since, at)
        events += self._end_dead_air(at, dead_air_samples)
        if self.quiet_since is not None:
            self.silence.add(self.quiet_since, at, listed=at - self.quiet_since >= LISTED_SILENCE)
            self.quiet_since = None
        return events

    def _begin_dead_air(self, at: int) -> None:
        if self.quiet_since is not None and not self.occupied_by and self.dead.since is None:
            self.dead.since = max(at, self.quiet_since)

    def _end_dead_air(self, at: int, dead_air_samples: int) -> list[CallEvent]:
        since, events = self.dead.end(at)
        if since is not None and at - since >= dead_air_samples:
            self.dead_air.add(since, at)
        return events
