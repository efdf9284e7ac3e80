"""The reference store: one process, nothing durable beyond it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

from session_store.store import (
    BYTES_PER_SAMPLE,
    AudioBlock,
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
    Versioned,
    check_audio,
    check_events,
    decode_record,
    encode_within,
)


@dataclass
class _Tail:
    start: int
    pcm: bytearray = field(default_factory=bytearray)

    @property
    def end(self) -> int:
        return self.start + len(self.pcm) // BYTES_PER_SAMPLE


@dataclass(frozen=True)
class _Growth:
    channel: int
    tail: _Tail
    """As it is before; an empty one where it begins anew."""
    fresh: bytes
    start: int
    """Of the tail that it grows into."""
    more_bytes: int


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
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced, where somebody who waits should look again."""

    @property
    def size_bytes(self) -> int:
        return len(self.record) + self.events_bytes + sum(len(tail.pcm) for tail in self.tails.values())

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


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
            found = self._sessions[session] = _Session(expires_s=now)
        elif found.owner not in (None, owner) and now < found.lease_until_s and not take_over:
            raise LeaseHeld(f"the lease is held for another {found.lease_until_s - now:.1f} s")
        self._last_token += 1
        found.owner, found.token, found.lease_until_s = owner, self._last_token, now + ttl_s
        self._live_on(found)
        return Lease(session, owner, found.token)

    async def renew(self, lease: Lease, ttl_s: float) -> None:
        found = self._leased(lease)
        found.lease_until_s = self._clock() + ttl_s
        self._live_on(found)

    async def release(self, lease: Lease) -> None:
        found = self._leased(lease)
        found.owner, found.lease_until_s = None, 0.0
        self._live_on(found)

    async def delete(self, lease: Lease) -> None:
        self._leased(lease)
        self._forget(lease.session)

    async def get(self, session: str) -> Versioned | None:
        found = self._find(session)
        if found is None or not found.version:
            return None
        return Versioned(decode_record(found.record), found.version)

    async def commit(
        self, lease: Lease, record: SessionRecord, *, expected_version: int, audio: AudioBlock | None = None
    ) -> int:
        data = encode_within(record, self.limits)
        if audio is not None:
            check_audio(audio, self.limits)
        found = self._leased(lease)
        if found.version != expected_version:
            raise Conflict(f"the record is at version {found.version}, not {expected_version}")
        growths = self._growths(found.tails, audio) if audio is not None else []
        self._make_room(sum(growth.more_bytes for growth in growths) + len(data) - len(found.record))
        for growth in growths:
            growth.tail.pcm += growth.fresh
            del growth.tail.pcm[: (growth.start - growth.tail.start) * BYTES_PER_SAMPLE]
            growth.tail.start = growth.start
            found.tails[growth.channel] = growth.tail
        found.record = data
        found.version += 1
        self._live_on(found)
        return found.version

    async def read_pcm(self, session: str, channel: int) -> PcmChunk:
        tail = self._existing(session).tails.get(channel)
        return PcmChunk(tail.start, bytes(tail.pcm)) if tail else PcmChunk(0, b"")

    async def append_events(self, lease: Lease, events: Sequence[StoredEvent]) -> None:
        check_events(events, self.limits)
        found = self._leased(lease)
        if not events:
            return
        if found.last_seq and events[0].seq > found.last_seq + 1:
            raise ValueError(f"event {events[0].seq} after event {found.last_seq}")
        fresh = [StoredEvent(event.seq, bytes(event.data)) for event in events if event.seq > found.last_seq]
        count = len(found.events) + len(fresh)
        size_bytes = found.events_bytes + sum(len(event.data) for event in fresh)
        dropped = 0
        for event in chain(found.events, fresh):
            if count - dropped <= self.limits.max_events and size_bytes <= self.limits.max_events_bytes:
                break
            size_bytes -= len(event.data)
            dropped += 1
        self._make_room(size_bytes - found.events_bytes)
        found.events.extend(fresh)
        for _ in range(dropped):
            found.events.popleft()
        found.events_bytes = size_bytes
        found.last_seq = max(found.last_seq, events[-1].seq)
        self._live_on(found)
        found.wake()

    async def read_events(self, session: str, after_seq: int) -> tuple[StoredEvent, ...]:
        found = self._existing(session)
        if found.events and after_seq + 1 < found.events[0].seq:
            raise EventsTrimmed(found.events[0].seq)
        return tuple(event for event in found.events if event.seq > after_seq)

    async def wait_events(self, session: str, after_seq: int, timeout_s: float) -> tuple[StoredEvent, ...]:
        try:
            async with asyncio.timeout(timeout_s):
                while not (events := await self.read_events(session, after_seq)):
                    await self._existing(session).changed.wait()
                return events
        except TimeoutError:
            return await self.read_events(session, after_seq)

    async def aclose(self) -> None:
        """Nothing is open."""

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
        """The session, for a write with its newest lease."""
        found = self._existing(lease.session)
        if found.token != lease.token or found.owner is None:
            raise StaleLease(lease.session)
        return found

    def _live_on(self, found: _Session) -> None:
        found.expires_s = max(self._clock() + self.limits.ttl_s, found.lease_until_s)

    def _make_room(self, more_bytes: int) -> None:
        """Accounts for what is about to be stored. Raises StoreFull."""
        if self._total_bytes + more_bytes > self.limits.max_total_bytes:
            self._drop_expired()
        if more_bytes > 0 and self._total_bytes + more_bytes > self.limits.max_total_bytes:
            raise StoreFull(f"{self._total_bytes} bytes are stored already")
        self._total_bytes += more_bytes

    def _growths(self, tails: dict[int, _Tail], audio: AudioBlock) -> list[_Growth]:
        """What the audio makes of the tails."""
        cap_samples = self.limits.max_pcm_bytes // BYTES_PER_SAMPLE
        growths = []
        for channel in range(self.limits.max_channels):
            pcm = audio.pcm[channel] if channel < len(audio.pcm) else b""
            old = tail = tails.get(channel)
            if pcm and (tail is None or audio.first_sample > tail.end):
                tail = _Tail(audio.first_sample)
            if tail is None:
                continue
            fresh = pcm[(tail.end - audio.first_sample) * BYTES_PER_SAMPLE :] if pcm else b""
            end = tail.end + len(fresh) // BYTES_PER_SAMPLE
            start = min(max(tail.start, audio.needed_from, end - cap_samples), end)
            more_bytes = (end - start) * BYTES_PER_SAMPLE - (len(old.pcm) if old else 0)
            growths.append(_Growth(channel, tail, fresh, start, more_bytes))
        return growths

    def _drop_expired(self) -> None:
        now = self._clock()
        for session in [name for name, found in self._sessions.items() if now >= found.expires_s]:
            self._forget(session)

    def _forget(self, session: str) -> None:
        found = self._sessions.pop(session)
        self._total_bytes -= found.size_bytes
        found.wake()
