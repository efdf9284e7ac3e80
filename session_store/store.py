"""What a session leaves behind so that it outlives its connection and its gateway: the contract of every store.

A writer first takes the session's *lease* and hands it in with each write. Each granted lease has a higher token
than all before it, and a write with any but the newest one is refused (a *fencing token*: a gateway that slept through
its lease cannot write over its successor). Reads need no lease.

PCM is mono s16le at 16 kHz; positions are samples of the channel. Events are numbered 1, 2, 3 ... as on the wire.
A session expires `ttl_s` after its last write; then everything of it is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

RECORD_FORMAT = 1
BYTES_PER_SAMPLE = 2


class StoreError(Exception):
    """Something the store refused; nothing was changed."""


class NoSession(StoreError):
    """The session was never there, was deleted, or has expired."""


class LeaseHeld(StoreError):
    """Another owner holds the lease and did not let it run out."""


class StaleLease(StoreError):
    """The lease was released, or somebody else has taken the session since."""


class Conflict(StoreError):
    """The record is not at the version that the writer expected."""


class StoreFull(StoreError):
    """No room: too many sessions, or too many bytes in all. Try again later."""


class TooLarge(StoreError):
    """One record or event is larger than the store takes."""


class EventsTrimmed(StoreError):
    """Events that the reader asked for are gone; `first_seq` is the oldest one left, or the next to come."""

    def __init__(self, first_seq: int) -> None:
        super().__init__(f"the oldest event left is {first_seq}")
        self.first_seq = first_seq


class BadRecord(StoreError):
    """A stored record is damaged or of a format that this version does not read."""


@dataclass(frozen=True)
class Limits:
    max_sessions: int = 1_000
    max_record_bytes: int = 64 << 10
    max_pcm_bytes: int = 4 << 20
    """Of one channel: 4 MiB are 131 s. The oldest goes first."""
    max_pcm_chunks: int = 4_096
    """Of one channel; only gaps make many. The oldest goes first."""
    max_channels: int = 2
    max_events: int = 10_000
    """Of one session. The oldest goes first."""
    max_event_bytes: int = 256 << 10
    max_events_bytes: int = 4 << 20
    """Of all events of one session. The oldest goes first."""
    max_total_bytes: int = 1 << 30
    ttl_s: float = 300.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise ValueError(f"{name} must be positive, not {value}")


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a session beside its audio and its events."""

    format: int = RECORD_FORMAT
    session: str
    start: bytes
    """The client's `start`, as the protocol's codec wrote it; the store does not look inside."""
    resume_token_hash: bytes = b""
    next_sample: int = 0
    """First input sample that is not durable yet."""
    last_seq: int = 0
    next_utterance: int = 0
    next_word_id: int = 0
    done: bool = False
    """`summary` was sent; there is nothing to resume but the reading of events."""


@dataclass(frozen=True)
class Versioned:
    record: SessionRecord
    version: int
    """1 for the first put; 0 means that there is no record."""


@dataclass(frozen=True)
class Lease:
    session: str
    owner: str
    token: int


@dataclass(frozen=True)
class PcmChunk:
    first_sample: int
    pcm: bytes

    @property
    def end_sample(self) -> int:
        return self.first_sample + len(self.pcm) // BYTES_PER_SAMPLE


@dataclass(frozen=True)
class StoredEvent:
    seq: int
    data: bytes


class SessionStore(Protocol):
    """Every write raises StaleLease where its lease is not the newest, and NoSession where the session is gone."""

    async def acquire(self, session: str, owner: str, ttl_s: float, *, take_over: bool = False) -> Lease:
        """The right to write, for `ttl_s`; makes the session if there is none.

        The owner that holds it already gets a new lease, and with `take_over` so does anybody else.
        Raises LeaseHeld, StoreFull.
        """

    async def renew(self, lease: Lease, ttl_s: float) -> None:
        """Holds the lease for `ttl_s` from now."""

    async def release(self, lease: Lease) -> None:
        """Gives the lease back; the session stays until it expires."""

    async def delete(self, lease: Lease) -> None:
        """Removes everything of the session."""

    async def get(self, session: str) -> Versioned | None:
        """None: no such session, or nothing was put yet. Raises BadRecord."""

    async def put(self, lease: Lease, record: SessionRecord, *, expected_version: int) -> int:
        """Writes the record if it is at `expected_version` (0: not there yet); returns the new version.

        Raises Conflict, TooLarge, StoreFull.
        """

    async def append_pcm(self, lease: Lease, channel: int, first_sample: int, pcm: bytes) -> int:
        """Adds audio to the channel's tail; returns the first sample still kept.

        What lies before the tail's end is ignored (so an append may be repeated); a gap stays a gap.
        Raises ValueError (odd byte count, negative position, channel out of range), StoreFull.
        """

    async def read_pcm(self, session: str, channel: int) -> tuple[PcmChunk, ...]:
        """The tail in rising, non-overlapping chunks, cut anywhere; empty where there is none. Raises NoSession."""

    async def trim_pcm(self, lease: Lease, channel: int, before_sample: int) -> None:
        """Forgets the audio before that sample."""

    async def append_event(self, lease: Lease, seq: int, data: bytes) -> None:
        """Adds event `seq`, which must be the one after the last; one that is there already is ignored.

        Raises ValueError (a number is left out), TooLarge, StoreFull.
        """

    async def read_events(self, session: str, after_seq: int) -> tuple[StoredEvent, ...]:
        """All events with a higher number, in order. Raises EventsTrimmed where some of them are gone, NoSession."""

    async def trim_events(self, lease: Lease, up_to_seq: int) -> None:
        """Forgets the events up to and including that number."""


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[SessionRecord] = msgspec.msgpack.Decoder(SessionRecord)


class _Format(msgspec.Struct):
    format: int


_format_decoder: msgspec.msgpack.Decoder[_Format] = msgspec.msgpack.Decoder(_Format)


def encode_record(record: SessionRecord) -> bytes:
    return _encoder.encode(record)


def decode_record(data: bytes) -> SessionRecord:
    """Raises BadRecord. Fields of a later minor change are ignored; a later `format` is refused."""
    try:
        found = _format_decoder.decode(data).format
        if found != RECORD_FORMAT:
            raise BadRecord(f"record format {found}; this version reads {RECORD_FORMAT}")
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadRecord(str(error)) from None
