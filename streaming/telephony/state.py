"""All that a call model knows, beside its settings. Plain records."""

from __future__ import annotations

from typing import Literal

import msgspec

from streaming.telephony.floor import Floor
from streaming.telephony.hold import Hold
from streaming.telephony.keywords import Spotter
from streaming.telephony.quiet import Quiet
from streaming.telephony.sounds import Log, Sound
from streaming.telephony.spans import Spans

SoundPhase = Literal["start", "update", "end", "instant"]
OFF, SOUND, ON = 0, 1, 2
"""In this order where several are at one position."""


class Edge(msgspec.Struct, frozen=True, array_like=True):
    """A fact that is not worked off yet."""

    at: int
    order: int
    channel: int
    label: str = ""
    phase: SoundPhase = "instant"
    start: int = 0
    end: int | None = None


class Hit(msgspec.Struct, frozen=True, array_like=True):
    """A keyword in a final."""

    phrase: int
    utterance: int
    start: int
    end: int


class Side(msgspec.Struct, array_like=True):
    """What is known of one channel beside its talk."""

    hold: Hold
    spotter: Spotter
    told_offset: int = 0
    """Where the speech ends that was told last."""
    open: list[Sound] = []
    """Sounds that have begun; their `end` is nothing yet."""
    holds: Spans = msgspec.field(default_factory=Spans)
    keys: Log = msgspec.field(default_factory=Log)
    tones: Log = msgspec.field(default_factory=Log)
    hits: list[Hit] = []
    hits_dropped: int = 0


class CallState(msgspec.Struct, array_like=True):
    floor: Floor
    quiet: Quiet
    sides: list[Side]
    edges: list[Edge] = []
    position: int = 0
    """Everything before it is worked off."""
    finished: bool = False
    hit_counts: list[int] = []
    """Of each phrase."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CallState)


def encode(state: CallState) -> bytes:
    return _encoder.encode(state)


def decode(data: bytes) -> CallState:
    """Raises ValueError: it is damaged."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the call's state cannot be read: {error}") from None
