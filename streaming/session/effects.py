"""What the session core asks its shell to do, in order. Plain records."""

from __future__ import annotations

import msgspec

from inference.pool.interface import Job, StreamSpec
from streaming.protocol.messages import ServerMessage, Summary


class Send(msgspec.Struct, frozen=True):
    """A message is in the core's outbox: wake whoever reads it for the client. It is numbered as it leaves."""

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
    """A block of every channel for the durable tail, and the session as it stands at the block's end.

    Both are to be stored in one step, once every message up to `last_seq` is in the session's log. Then tell the core
    `stored(ack_sample, commands)`.
    """

    first_sample: int
    """At 16 kHz: the end of the block before."""
    pcm: tuple[bytes, ...]
    """Mono s16le at 16 kHz, one per channel, all of one length."""
    needed_from: int
    """At 16 kHz: the tail before this is needed for nothing any more."""
    ack_sample: int
    """At the client's rate: what the client must send again after a restore; it may forget what is before."""
    commands: int
    """How many of the client's commands are in the state."""
    last_seq: int
    """Number of the newest message that had left the outbox."""
    state: bytes
    """The core's snapshot: see `restore_core`."""


class SlowReader(msgspec.Struct, frozen=True):
    """The client does not read, and a message did not fit into the outbox any more: end the session."""

    reason: str


class Finished(msgspec.Struct, frozen=True):
    """Everything is decoded and sent but the summary, whose cost fields the shell fills in."""

    summary: Summary


Effect = Send | OpenStream | Append | Submit | Discard | CloseStream | StoreAudio | SlowReader | Finished
