"""What is told while a call goes on."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["dead_air", "talk_over", "hold", "interruption", "keyword"]
Phase = Literal["start", "end", "instant"]
HoldReason = Literal["music", "beeps"]


class CallEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A `start` is told when its threshold has passed, and is followed by one `end` with the same `start_sample`."""

    kind: Kind
    phase: Phase = "instant"
    channel: int | None = None
    """Who interrupts, who said the keyword, where the music is; None: all channels."""
    start_sample: int
    end_sample: int | None = None
    phrase: int | None = None
    """Of a keyword: its place among those that were asked for."""
    utterance: int | None = None
    """Of a keyword: where it ends."""
    reason: HoldReason | None = None
    """Of a hold."""
