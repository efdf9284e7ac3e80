"""Holds on one channel, told from its sound. Pure.

No signalling is at hand, so a hold is what a caller hears of one:

- **music**: music plays on the channel and the channel does not speak, for the threshold;
- **beeps**: silence with a hold tone in it: three beeps at a steady period (BEEP_PERIOD), the channel silent between
  them. Cisco's "Tone on Hold" repeats every few seconds, five or more; a tone that a recorder plays while people talk
  is none.

A hold begins where that began. What breaks it for up to HOLD_GAP (an announcement, the end of a tune) does not end it;
after that it has ended where it was broken. A silent hold without any tone cannot be told from dead air, and is that.
"""

from __future__ import annotations

import msgspec

from streaming.telephony.events import CallEvent, HoldReason
from streaming.telephony.settings import BEEP_JITTER, BEEP_PERIOD, HOLD_GAP


class Hold(msgspec.Struct, array_like=True):
    """Order of calls: `speech`, `music`, `beep` in the order of the clock, `pass_threshold` when `due` says so."""

    channel: int
    speaking: bool = False
    playing: bool = False
    since: int | None = None
    """What makes a hold has gone on since then."""
    reason: HoldReason = "music"
    open_since: int | None = None
    """A hold goes on since then ..."""
    broken_at: int | None = None
    """... and was broken there."""
    beeps: list[tuple[int, int]] = []
    """The newest beeps (begin, end) since the channel spoke, three at most."""

    def speech(self, speaking: bool, at: int) -> None:
        self.speaking = speaking
        if speaking:
            self.beeps.clear()
            self._break(at)
        elif self.playing:
            self._go_on(at, "music")

    def music(self, playing: bool, at: int) -> None:
        self.playing = playing
        if not playing:
            self._break(at)
        elif not self.speaking:
            self._go_on(at, "music")

    def beep(self, start: int, end: int) -> list[CallEvent]:
        if self.speaking:
            return []
        before, self.beeps = self.beeps, [*self.beeps[-2:], (start, end)]
        if self.playing:
            return []
        if self._period() is None:
            if self.reason == "beeps" and before:
                self._break(before[-1][1])
            return []
        if self.open_since is not None:
            self._go_on(start, "beeps")
            return []
        self.since = self.beeps[0][0]
        self.reason = "beeps"
        return self._open()

    def due(self, hold_samples: int) -> int | None:
        """When something is to be told, or must be decided."""
        if self.open_since is not None:
            if self.broken_at is not None:
                return self.broken_at + HOLD_GAP
            period = self._period()
            if self.reason == "beeps" and period is not None:
                return self.beeps[-1][0] + period + period // 4
            return None
        return None if self.since is None else self.since + hold_samples

    def pass_threshold(self) -> tuple[tuple[int, int] | None, list[CallEvent]]:
        """(a hold that has ended, or None; what is to be told)."""
        if self.open_since is None:
            return None, self._open()
        if self.broken_at is not None:
            return self.close(self.broken_at)
        self._break(self.beeps[-1][1])  # the next beep has not come
        self.beeps.clear()
        return None, []

    def close(self, at: int) -> tuple[tuple[int, int] | None, list[CallEvent]]:
        """Ends the hold, if there is one."""
        start = self.open_since
        if start is None:
            return None, []
        end = max(start, at if self.broken_at is None else self.broken_at)
        self.open_since = self.broken_at = None
        self.beeps.clear()
        return (start, end), [self._event("end", start, end)]

    def _open(self) -> list[CallEvent]:
        assert self.since is not None
        self.open_since = self.since
        return [self._event("start", self.since, None)]

    def _go_on(self, at: int, reason: HoldReason) -> None:
        if self.since is None:
            self.since = at
        self.reason = reason
        self.broken_at = None

    def _break(self, at: int) -> None:
        if self.since is not None and self.open_since is not None and self.broken_at is None:
            self.broken_at = at
        self.since = None

    def _period(self) -> int | None:
        """Of a hold tone."""
        if len(self.beeps) < 3:
            return None
        first, second, third = (start for start, _ in self.beeps)
        steady = abs((third - second) - (second - first)) <= BEEP_JITTER
        return third - second if steady and BEEP_PERIOD[0] <= third - second <= BEEP_PERIOD[1] else None

    def _event(self, phase: str, start: int, end: int | None) -> CallEvent:
        return CallEvent(
            kind="hold",
            phase="start" if phase == "start" else "end",
            channel=self.channel,
            start_sample=start,
            end_sample=end,
            reason=self.reason,
        )
