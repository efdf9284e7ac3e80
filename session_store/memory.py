"""The reference store: one process, nothing durable beyond it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from session_store.store import (
    BYTES_PER_SAMPLE,
    Conflict,
    EventsTrimmed,
    Lease,
    LeaseHeld,
    Limits,
    NoSession,
    PcmChunk,
    SessionRecord,
    StaleLease,
    StoredEvent,
    StoreFull,
    TooLarge,
    Versioned,
    decode_record,
    encode_record,
)

_MERGED_BYTES = 16_000  # 0.5 s: pieces that follow each other are kept as one up to here


@dataclass
class _Tail:
    chunks: deque[PcmChunk] = field(default_factory=deque)
    size_bytes: int = 0
    end_sample: int = 0


@dataclass
class _Session:
    expires_s: float
    owner: str | None = None
    token: int = 0
    lease_until_s: float = 0.0
    record: bytes = b""
    version: int = 0
    tails: dict[int, _Tail] = field(default_factory=dict)
    events: deque[StoredEvent] = field(default_factory=deque)
    events_bytes: int = 0
    last_seq: int = 0

    @property
    def size_bytes(self) -> int:
        return len(self.record) + self.events_bytes + sum(tail.size_bytes for tail in self.tails.values())


class MemoryStore:
    """A SessionStore in a dictionary.

    Args:
        clock: seconds, monotonic; read at each call, so that a test can move it.
    """

    def __init__(self, clock: Callable[[], float], limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._clock = clock
        self._sessions: dict[str, _Session] = {}
        self._total_bytes = 0
        self._last_token = 0

    @property
    def sessions(self) -> int:
        self._drop_expired()
        return len(self._sessions)

    @property
    def total_bytes(self) -> int:
        """Of records, audio and events."""
        self._drop_expired()
        return self._total_bytes

    async def acquire(self, session: str, owner: str, ttl_s: float, *, take_over: bool = False) -> Lease:
        now = self._clock()
        found = self._find(session)
        if found is None:
            self._drop_expired()
            if len(self._sessions) >= self.limits.max_sessions:
                raise StoreFull(f"{self.limits.max_sessions} sessions are stored already")
            found = self._sessions[session] = _Session(expires_s=now + self.limits.ttl_s)
        elif found.owner not in (None, owner) and now < found.lease_until_s and not take_over:
            raise LeaseHeld(f"the lease is held for another {found.lease_until_s - now:.1f} s")
        self._last_token += 1
        found.owner, found.token = owner, self._last_token
        self._hold(found, ttl_s)
        return Lease(session, owner, found.token)

    async def renew(self, lease: Lease, ttl_s: float) -> None:
        self._hold(self._leased(lease), ttl_s)

    async def release(self, lease: Lease) -> None:
        self._leased(lease).owner = None

    async def delete(self, lease: Lease) -> None:
        self._leased(lease)
        self._forget(lease.session)

    async def get(self, session: str) -> Versioned | None:
        found = self._find(session)
        if found is None or not found.version:
            return None
        return Versioned(decode_record(found.record), found.version)

    async def put(self, lease: Lease, record: SessionRecord, *, expected_version: int) -> int:
        found = self._leased(lease)
        if found.version != expected_version:
            raise Conflict(f"the record is at version {found.version}, not {expected_version}")
        data = encode_record(record)
        if len(data) > self.limits.max_record_bytes:
            raise TooLarge(f"the record has {len(data)} bytes; at most {self.limits.max_record_bytes} are stored")
        self._make_room(len(data) - len(found.record))
        found.record = data
        found.version += 1
        return found.version

    async def append_pcm(self, lease: Lease, channel: int, first_sample: int, pcm: bytes) -> int:
        found = self._leased(lease)
        if len(pcm) % BYTES_PER_SAMPLE or first_sample < 0 or not 0 <= channel < self.limits.max_channels:
            raise ValueError(f"{len(pcm)} bytes at sample {first_sample} of channel {channel}")
        tail = found.tails.setdefault(channel, _Tail())
        known = max(0, tail.end_sample - first_sample)
        # Only the end of a chunk larger than the whole tail can be kept.
        skip_bytes = max(known * BYTES_PER_SAMPLE, len(pcm) - self._pcm_cap_bytes)
        fresh = pcm[skip_bytes:]
        if fresh:
            overflow = max(0, tail.size_bytes + len(fresh) - self._pcm_cap_bytes)
            self._make_room(len(fresh) - overflow)
            self._drop_pcm_bytes(tail, overflow)
            self._add_pcm(tail, PcmChunk(first_sample + skip_bytes // BYTES_PER_SAMPLE, bytes(fresh)))
        return tail.chunks[0].first_sample if tail.chunks else tail.end_sample

    async def read_pcm(self, session: str, channel: int) -> tuple[PcmChunk, ...]:
        tail = self._existing(session).tails.get(channel)
        return tuple(tail.chunks) if tail else ()

    async def trim_pcm(self, lease: Lease, channel: int, before_sample: int) -> None:
        tail = self._leased(lease).tails.get(channel)
        while tail and tail.chunks and tail.chunks[0].first_sample < before_sample:
            chunk = tail.chunks[0]
            drop_bytes = (min(chunk.end_sample, before_sample) - chunk.first_sample) * BYTES_PER_SAMPLE
            self._total_bytes -= drop_bytes
            self._drop_pcm_bytes(tail, drop_bytes)

    async def append_event(self, lease: Lease, seq: int, data: bytes) -> None:
        found = self._leased(lease)
        if seq > found.last_seq + 1:
            raise ValueError(f"event {seq} after event {found.last_seq}")
        if len(data) > min(self.limits.max_event_bytes, self.limits.max_events_bytes):
            raise TooLarge(f"the event has {len(data)} bytes; at most {self.limits.max_event_bytes} are stored")
        if seq <= found.last_seq:
            return
        self._make_room(len(data))
        found.events.append(StoredEvent(seq, bytes(data)))
        found.events_bytes += len(data)
        found.last_seq = seq
        while len(found.events) > self.limits.max_events or found.events_bytes > self.limits.max_events_bytes:
            self._drop_event(found)

    async def read_events(self, session: str, after_seq: int) -> tuple[StoredEvent, ...]:
        found = self._existing(session)
        first_seq = found.events[0].seq if found.events else found.last_seq + 1
        if after_seq + 1 < first_seq:
            raise EventsTrimmed(first_seq)
        return tuple(event for event in found.events if event.seq > after_seq)

    async def trim_events(self, lease: Lease, up_to_seq: int) -> None:
        found = self._leased(lease)
        while found.events and found.events[0].seq <= up_to_seq:
            self._drop_event(found)

    @property
    def _pcm_cap_bytes(self) -> int:
        return self.limits.max_pcm_bytes - self.limits.max_pcm_bytes % BYTES_PER_SAMPLE

    def _find(self, session: str) -> _Session | None:
        found = self._sessions.get(session)
        if found is not None and self._clock() >= found.expires_s:
            self._forget(session)
            return None
        return found

    def _existing(self, session: str) -> _Session:
        found = self._find(session)
        if found is None:
            raise NoSession(session)
        return found

    def _leased(self, lease: Lease) -> _Session:
        """The session, for a write with its newest lease; a write lets the session live on."""
        found = self._existing(lease.session)
        if found.token != lease.token or found.owner is None:
            raise StaleLease(lease.session)
        found.expires_s = self._clock() + self.limits.ttl_s
        return found

    def _hold(self, found: _Session, ttl_s: float) -> None:
        now = self._clock()
        found.lease_until_s = now + ttl_s
        found.expires_s = now + max(self.limits.ttl_s, ttl_s)

    def _make_room(self, more_bytes: int) -> None:
        """Accounts for what is about to be stored. Raises StoreFull."""
        if self._total_bytes + more_bytes > self.limits.max_total_bytes:
            self._drop_expired()
        if more_bytes > 0 and self._total_bytes + more_bytes > self.limits.max_total_bytes:
            raise StoreFull(f"{self._total_bytes} bytes are stored already")
        self._total_bytes += more_bytes

    def _add_pcm(self, tail: _Tail, chunk: PcmChunk) -> None:
        """Adds audio that is accounted for."""
        tail.size_bytes += len(chunk.pcm)
        last = tail.chunks[-1] if tail.chunks else None
        if last and last.end_sample == chunk.first_sample and len(last.pcm) + len(chunk.pcm) <= _MERGED_BYTES:
            tail.chunks.pop()
            chunk = PcmChunk(last.first_sample, last.pcm + chunk.pcm)
        tail.chunks.append(chunk)
        tail.end_sample = chunk.end_sample
        if len(tail.chunks) > self.limits.max_pcm_chunks:
            drop_bytes = len(tail.chunks[0].pcm)
            self._total_bytes -= drop_bytes
            self._drop_pcm_bytes(tail, drop_bytes)

    def _drop_pcm_bytes(self, tail: _Tail, drop_bytes: int) -> None:
        """Drops the oldest audio; the caller has accounted for it."""
        tail.size_bytes -= drop_bytes
        while drop_bytes:
            chunk = tail.chunks.popleft()
            if len(chunk.pcm) > drop_bytes:
                first_sample = chunk.first_sample + drop_bytes // BYTES_PER_SAMPLE
                tail.chunks.appendleft(PcmChunk(first_sample, chunk.pcm[drop_bytes:]))
                return
            drop_bytes -= len(chunk.pcm)

    def _drop_event(self, found: _Session) -> None:
        event = found.events.popleft()
        found.events_bytes -= len(event.data)
        self._total_bytes -= len(event.data)

    def _drop_expired(self) -> None:
        now = self._clock()
        for session in [name for name, found in self._sessions.items() if now >= found.expires_s]:
            self._forget(session)

    def _forget(self, session: str) -> None:
        self._total_bytes -= self._sessions.pop(session).size_bytes
