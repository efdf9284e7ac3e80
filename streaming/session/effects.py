"""What the session core asks its shell to do, in order. Plain records."""

from __future__ import annotations

import msgspec

from inference.pool.interface import Job, StreamSpec
from streaming.protocol.messages import ServerMessage, Summary


class Send(msgspec.Struct, frozen=True):
    """A message for the client. The outbox numbers it when it leaves."""

    message: ServerMessage


class OpenStream(msgspec.Struct, frozen=True):
    stream: str
    spec: StreamSpec


class Append(msgspec.Struct, frozen=True):
    """Audio of an utterance for the engine: mono s16le at 16 kHz, next to what was appended before."""

    stream: str
    utterance: int
    first_sample: int
    pcm: bytes


class Submit(msgspec.Struct, frozen=True):
    """A decode, wanted by `deadline` (seconds on the session's clock)."""

    job: Job
    deadline: float


class Discard(msgspec.Struct, frozen=True):
    """The utterance is done: the engine may forget it."""

    stream: str
    utterance: int


class CloseStream(msgspec.Struct, frozen=True):
    stream: str


class StoreAudio(msgspec.Struct, frozen=True):
    """One block of every channel for the durable tail. When it is stored, tell the core `stored(ack_sample)`."""

    first_sample: int
    """At 16 kHz."""
    pcm: tuple[bytes, ...]
    """Mono s16le at 16 kHz, one per channel, all of one length."""
    ack_sample: int
    """At the client's rate: what is durable then."""
    needed_from: int
    """At 16 kHz: the tail before this is needed for nothing any more."""


class Finished(msgspec.Struct, frozen=True):
    """Everything is decoded and sent but the summary, whose cost fields the shell fills in."""

    summary: Summary


Effect = Send | OpenStream | Append | Submit | Discard | CloseStream | StoreAudio | Finished
