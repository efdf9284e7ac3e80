"""Whose turn it is: turns, monologues, interruptions, backchannels. Pure.

- An utterance that begins while the other is silent has the **turn**. So has one that begins while the other speaks
  and is still going on when the other ends. One that begins and ends while the other speaks is a **backchannel**.
- A **turn** is new when the turn before was the other's. A **monologue** goes on through pauses of its own of up to
  MONOLOGUE_PAUSE and through the other's backchannels.
- An **interruption**: one begins while the other speaks, and the other ends within the threshold, with the first one
  still speaking.
"""

from __future__ import annotations

import msgspec

from streaming.telephony.events import CallEvent
from streaming.telephony.settings import MONOLOGUE_PAUSE


class Role(msgspec.Struct, array_like=True):
    """What one channel has done so far."""

    speaking_since: int | None = None
    cut_in_at: int | None = None
    """Its utterance began there, while the other spoke, and it is not decided what that was."""
    silent_since: int = 0
    talk_samples: int = 0
    turns: int = 0
    interruptions: int = 0
    """Those that it made."""
    backchannels: int = 0
    monologue_since: int = 0
    longest: tuple[int, int] = (0, 0)
    """Its longest monologue, from the first sample to before the second."""
    words: int = 0


class Floor(msgspec.Struct, array_like=True):
    """Order of calls: `begins` and `ends` of each channel in turns, in the order of the clock."""

    roles: list[Role]
    holder: int | None = None
    """Who had the last turn."""

    def begins(self, channel: int, at: int) -> None:
        role, other = self.roles[channel], self._other(channel)
        role.speaking_since = at
        if other is not None and other.speaking_since is not None:
            role.cut_in_at = at
        else:
            self._take_turn(channel, at)

    def ends(self, channel: int, at: int, within_samples: int) -> list[CallEvent]:
        """Interruptions that this end makes; `within_samples` is their threshold."""
        role = self.roles[channel]
        if role.speaking_since is None:
            return []
        role.talk_samples += at - role.speaking_since
        role.speaking_since = None
        role.silent_since = at
        if role.cut_in_at is not None:
            role.cut_in_at = None
            role.backchannels += 1
            return []
        if at - role.monologue_since > role.longest[1] - role.longest[0]:
            role.longest = (role.monologue_since, at)
        return self._hand_over(channel, at, within_samples)

    @property
    def speaking(self) -> int:
        """How many speak."""
        return sum(role.speaking_since is not None for role in self.roles)

    def _hand_over(self, channel: int, at: int, within_samples: int) -> list[CallEvent]:
        other = self._other(channel)
        if other is None or other.cut_in_at is None:
            return []
        began, other.cut_in_at = other.cut_in_at, None
        self._take_turn(1 - channel, began)
        if at - began > within_samples:
            return []
        other.interruptions += 1
        return [CallEvent(kind="interruption", channel=1 - channel, start_sample=began, end_sample=at)]

    def _take_turn(self, channel: int, at: int) -> None:
        role = self.roles[channel]
        if self.holder != channel:
            self.holder = channel
            role.turns += 1
            role.monologue_since = at
        elif at - role.silent_since > MONOLOGUE_PAUSE:
            role.monologue_since = at

    def _other(self, channel: int) -> Role | None:
        return self.roles[1 - channel] if len(self.roles) == 2 else None
