"""What the wire says of a call as a whole. `docs/calls.md` has the definitions; `_ms` is on the session's clock."""

from __future__ import annotations

import msgspec


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    pass


class CallSpan(_Part, frozen=True, kw_only=True):
    start_ms: int
    end_ms: int
    channel: int | None = None
    """None: all channels."""


class CallSpans(_Part, frozen=True, kw_only=True):
    """All spans of one kind. The list has the first ones; `count`, `total_ms` and `longest_ms` are of all."""

    count: int = 0
    total_ms: int = 0
    longest_ms: int = 0
    spans: list[CallSpan] = []
    dropped: int = 0
    """Not in the list, as it was full."""


class CallRole(_Part, frozen=True, kw_only=True):
    """One channel."""

    channel: int
    role: str
    """Its label, or `channel 0`, `channel 1`."""
    talk_ms: int
    share: float
    """Of all talk, 0 to 1."""
    words: int
    """Of finals."""
    words_per_minute: float
    """Of talk; 0 where there is none."""
    turns: int
    longest_monologue: CallSpan | None
    interruptions: int
    """Those that it made."""
    backchannels: int


class CallSound(_Part, frozen=True, kw_only=True):
    """A key or a tone."""

    label: str
    channel: int
    start_ms: int
    end_ms: int


class CallKeyword(_Part, frozen=True, kw_only=True):
    phrase: str
    """As it was asked for."""
    count: int


class CallHit(_Part, frozen=True, kw_only=True):
    """A keyword in a final."""

    phrase: str
    channel: int
    utterance: int
    start_ms: int
    end_ms: int


class CallAccount(_Part, frozen=True, kw_only=True):
    audio_ms: int
    roles: list[CallRole]
    talk_over: CallSpans
    silence: CallSpans
    dead_air: CallSpans
    hold: CallSpans
    keys: list[CallSound]
    """DTMF: `0` to `9`, `*`, `#`, `A` to `D`; `?` is a masked one."""
    tones: list[CallSound]
    """Of the call's progress, and beeps."""
    keywords: list[CallKeyword]
    hits: list[CallHit]
    dropped: dict[str, int] = {}
    """Of `keys`, `tones` and `hits`: how many are not in their list, as it was full."""
