"""What a session leaves behind so that it outlives its connection and its gateway: the contract of every store.

A writer first takes the session's *lease* and hands it in with each write. Each granted lease has a higher token
than all before it, and a write with any but the newest one is refused (a *fencing token*: a gateway that slept through
its lease cannot write over its successor). Reads need no lease.

PCM is mono s16le at 16 kHz; positions are samples of the channel. Events are numbered 1, 2, 3 ... as on the wire.
A record describes the session as it stands at the end of its PCM: both are written in one step (`commit`).
A session expires `ttl_s` after its last write, but not before its lease; then everything of it is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

RECORD_FORMAT = 2
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


class StoreUnavailable(StoreError):
    """The store does not answer, or cannot write at the moment. Try again later.

    The one error after which a write may have happened all the same: its answer was lost.
    """


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
    max_sessions: int = 100_000
    """In a memory store, those that ended and wait for their expiry too. A Redis is bounded by its `maxmemory`."""
    max_record_bytes: int = 256 << 10
    max_pcm_bytes: int = 4 << 20
    """Of one channel: 4 MiB are 131 s. The oldest goes first."""
    max_pcm_pieces: int = 4_096
    """Of one channel, in a store that keeps pieces; only very small ones make many. The oldest goes first."""
    max_channels: int = 2
    max_events: int = 10_000
    """Of one session. The oldest goes first."""
    max_event_bytes: int = 256 << 10
    max_events_bytes: int = 4 << 20
    """Of all events of one session. The oldest goes first."""
    max_total_bytes: int = 1 << 30
    """In a memory store. A Redis is bounded by its `maxmemory`."""
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
    """The client's `start`; the store does not look inside, nor into `state`."""
    token_hash: bytes = b""
    """Of the resume token; empty: nobody can resume."""
    state: bytes = b""
    """The session core's snapshot at the end of the PCM; empty: there is none."""
    last_seq: int = 0
    """Of the newest event that the snapshot knows of."""
    done: bool = False
    """`summary` was sent; there is nothing to resume but the reading of events."""
    owner: str = ""
    """Of the lease that it was written with."""


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
class AudioBlock:
    """Audio that goes with a record."""

    first_sample: int
    pcm: tuple[bytes, ...]
    """One per channel, all of one length."""
    needed_from: int
    """The tail before this is forgotten, that of a channel without audio here too."""

    @property
    def samples(self) -> int:
        return len(self.pcm[0]) // BYTES_PER_SAMPLE if self.pcm else 0


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

    async def commit(
        self, lease: Lease, record: SessionRecord, *, expected_version: int, audio: AudioBlock | None = None
    ) -> int:
        """Writes the record if it is at `expected_version` (0: not there yet), and with it the audio that leads up to
        it, all or nothing; returns the new version.

        The audio follows each channel's tail, or begins it. What lies before the tail's end is ignored, also where the
        tail was trimmed; audio behind a hole starts the tail anew. The oldest audio goes where the tail grows over its
        limit.
        Raises Conflict, TooLarge, StoreFull, ValueError (odd or unequal byte counts, negative position, too many
        channels).
        """

    async def read_pcm(self, session: str, channel: int) -> PcmChunk:
        """The tail in one piece; empty (at 0) where there is none, and at its end where all of it was trimmed.

        Raises NoSession, BadRecord (a part of it is lost).
        """

    async def append_events(self, lease: Lease, events: Sequence[StoredEvent]) -> None:
        """Adds events, which must follow the last one without a hole; in a log without any, they may begin anywhere.

        All or nothing, but those that are there already are ignored. The oldest go where the log grows over its limits.
        Raises ValueError (a number is left out, or is not positive), TooLarge, StoreFull.
        """

    async def read_events(self, session: str, after_seq: int) -> tuple[StoredEvent, ...]:
        """All events with a higher number, in order.

        Raises EventsTrimmed where some of them are gone or the log begins later, NoSession.
        """

    async def wait_events(self, session: str, after_seq: int, timeout_s: float) -> tuple[StoredEvent, ...]:
        """The same, but waits for the first one, whoever writes it; empty when none came in time.

        Raises EventsTrimmed, NoSession, also where that comes true meanwhile.
        """

    async def aclose(self) -> None:
        """Ends the store's connections."""


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[SessionRecord] = msgspec.msgpack.Decoder(SessionRecord)


class _Format(msgspec.Struct):
    format: int


_format_decoder: msgspec.msgpack.Decoder[_Format] = msgspec.msgpack.Decoder(_Format)


class _Record1(msgspec.Struct):
    """Format 1: a session that could not be resumed."""

    session: str
    start: bytes
    resume_token_hash: bytes = b""
    last_seq: int = 0
    done: bool = False


_decoder_1: msgspec.msgpack.Decoder[_Record1] = msgspec.msgpack.Decoder(_Record1)


def encode_record(record: SessionRecord) -> bytes:
    return _encoder.encode(record)


def encode_within(record: SessionRecord, limits: Limits) -> bytes:
    """Raises TooLarge."""
    data = encode_record(record)
    if len(data) > limits.max_record_bytes:
        raise TooLarge(f"the record has {len(data)} bytes; at most {limits.max_record_bytes} are stored")
    return data


def decode_record(data: bytes) -> SessionRecord:
    """Raises BadRecord. A record of format 1 becomes one without a snapshot.

    Fields of a later minor change are ignored; a later `format` is refused.
    """
    try:
        found = _format_decoder.decode(data).format
        if found == 1:
            old = _decoder_1.decode(data)
            return SessionRecord(
                session=old.session,
                start=old.start,
                token_hash=old.resume_token_hash,
                last_seq=old.last_seq,
                done=old.done,
            )
        if found != RECORD_FORMAT:
            raise BadRecord(f"record format {found}; this version reads 1 to {RECORD_FORMAT}")
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadRecord(str(error)) from None


def check_audio(audio: AudioBlock, limits: Limits) -> None:
    """Raises ValueError for audio that no store takes."""
    if len(audio.pcm) > limits.max_channels:
        raise ValueError(f"audio of {len(audio.pcm)} channels; at most {limits.max_channels} are stored")
    sizes_bytes = {len(pcm) for pcm in audio.pcm}
    if len(sizes_bytes) > 1 or any(size % BYTES_PER_SAMPLE for size in sizes_bytes):
        raise ValueError(f"audio of {sorted(sizes_bytes)} bytes")
    if audio.first_sample < 0 or audio.needed_from < 0:
        raise ValueError(f"audio at sample {audio.first_sample}, needed from {audio.needed_from}")


def check_events(events: Sequence[StoredEvent], limits: Limits) -> None:
    """Raises ValueError where they do not follow each other, TooLarge."""
    max_bytes = min(limits.max_event_bytes, limits.max_events_bytes)
    for index, event in enumerate(events):
        if event.seq < 1:
            raise ValueError(f"event {event.seq}: the first one is 1")
        if event.seq != events[0].seq + index:
            raise ValueError(f"event {event.seq} after event {events[index - 1].seq}")
        if len(event.data) > max_bytes:
            raise TooLarge(f"the event has {len(event.data)} bytes; at most {max_bytes} are stored")
