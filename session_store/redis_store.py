"""The production store: what a session leaves behind lies in a Redis (6.2 or newer), for every gateway to find.

The layout is in `keys`; each write is one Lua script, so it happens whole or not at all, and the server's clock decides
what has expired. Redis bounds the store as a whole by its `maxmemory`, which should refuse (`noeviction`): a write that
finds no room is StoreUnavailable, and nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NoReturn

from redis.exceptions import RedisError

from session_store import scripts
from session_store.batch import Argument, Batcher, Call, Wire, unavailable
from session_store.keys import all_keys, events_key, pcm_key, session_key
from session_store.scripts import Script
from session_store.store import (
    BYTES_PER_SAMPLE,
    AudioBlock,
    BadRecord,
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
    Versioned,
    check_audio,
    check_events,
    decode_record,
    encode_within,
)

BLOCK_S = 1.0
"""Longest wait of one blocking read: after it the session is looked at again."""
MAX_BLOCKED = 64
"""Connections that wait for events. Where more wait, they take turns."""


class RedisStore:
    """A SessionStore in Redis. `connect.open_store` makes it.

    Args:
        timeout_s: no call takes longer, and no `wait_events` longer than that behind its own timeout.
    """

    def __init__(self, wire: Wire, limits: Limits | None = None, timeout_s: float = 1.0) -> None:
        self.limits = limits or Limits()
        self._wire = wire
        self._timeout_s = timeout_s
        self._batcher = Batcher(wire, timeout_s)
        self._blocked = asyncio.Semaphore(MAX_BLOCKED)
        self._ttl_ms = _ms(self.limits.ttl_s)

    async def acquire(self, session: str, owner: str, ttl_s: float, *, take_over: bool = False) -> Lease:
        arguments = (owner, _ms(ttl_s), self._ttl_ms, int(take_over))
        status, value = await self._run(scripts.ACQUIRE, session, arguments)
        if status == b"HELD":
            raise LeaseHeld(f"the lease is held for another {value / 1000:.1f} s")
        return Lease(session, owner, int(value))

    async def renew(self, lease: Lease, ttl_s: float) -> None:
        await self._run(scripts.RENEW, lease.session, (lease.token, _ms(ttl_s), self._ttl_ms))

    async def release(self, lease: Lease) -> None:
        await self._run(scripts.RELEASE, lease.session, (lease.token, self._ttl_ms))

    async def delete(self, lease: Lease) -> None:
        await self._run(scripts.DELETE, lease.session, (lease.token,))

    async def get(self, session: str) -> Versioned | None:
        try:
            _, record, version = await self._read(scripts.READ_RECORD, session, [session_key(session)], ())
        except NoSession:
            return None
        return Versioned(decode_record(record), int(version)) if version else None

    async def commit(
        self, lease: Lease, record: SessionRecord, *, expected_version: int, audio: AudioBlock | None = None
    ) -> int:
        arguments: list[Argument] = [lease.token, self._ttl_ms, expected_version, encode_within(record, self.limits)]
        if audio is not None:
            arguments += self._audio_arguments(audio)
        status, version = await self._run(scripts.COMMIT, lease.session, arguments)
        if status == b"CONFLICT":
            raise Conflict(f"the record is at version {version}, not {expected_version}")
        return int(version)

    async def read_pcm(self, session: str, channel: int) -> PcmChunk:
        keys = [session_key(session), pcm_key(session, channel)]
        _, first, end, pieces = await self._read(scripts.READ_PCM, session, keys, (channel,))
        first_sample, end_sample = int(first), int(end)
        pcm = b"".join(fields[1] for _, fields in pieces)
        wanted_bytes = (end_sample - first_sample) * BYTES_PER_SAMPLE
        if len(pcm) < wanted_bytes:
            raise BadRecord("a part of the audio is missing: does the Redis evict keys?")
        # The oldest piece may reach back behind what was trimmed.
        return PcmChunk(first_sample, pcm[len(pcm) - wanted_bytes :])

    async def append_events(self, lease: Lease, events: Sequence[StoredEvent]) -> None:
        check_events(events, self.limits)
        if not events:
            return
        caps = (self.limits.max_events, self.limits.max_events_bytes)
        arguments: list[Argument] = [lease.token, self._ttl_ms, *caps, events[0].seq]
        arguments += [event.data for event in events]
        status, *last = await self._run(scripts.APPEND_EVENTS, lease.session, arguments)
        if status == b"HOLE":
            raise ValueError(f"event {events[0].seq} after event {last[0]}")

    async def read_events(self, session: str, after_seq: int) -> tuple[StoredEvent, ...]:
        keys = [session_key(session), events_key(session)]
        status, found = await self._read(scripts.READ_EVENTS, session, keys, (after_seq,))
        if status == b"TRIMMED":
            raise EventsTrimmed(found)
        return tuple(StoredEvent(int(name.partition(b"-")[0]), fields[1]) for name, fields in found)

    async def wait_events(self, session: str, after_seq: int, timeout_s: float) -> tuple[StoredEvent, ...]:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        while True:
            found = await self.read_events(session, after_seq)
            if found or (left_s := until_s - loop.time()) <= 0:
                return found
            await self._block(events_key(session), after_seq, min(left_s, BLOCK_S))

    async def aclose(self) -> None:
        await self._batcher.aclose()
        await self._wire.aclose()

    def _audio_arguments(self, audio: AudioBlock) -> list[Argument]:
        check_audio(audio, self.limits)
        cap_samples = self.limits.max_pcm_bytes // BYTES_PER_SAMPLE
        # Only the end of a block larger than the whole tail can be kept.
        skip_samples = max(0, audio.samples - cap_samples)
        pcm = [channel[skip_samples * BYTES_PER_SAMPLE :] for channel in audio.pcm]
        return [audio.first_sample + skip_samples, audio.needed_from, cap_samples, self.limits.max_pcm_pieces, *pcm]

    async def _run(self, script: Script, session: str, arguments: Sequence[Argument]) -> list[Any]:
        return await self._read(script, session, all_keys(session, self.limits.max_channels), arguments)

    async def _read(self, script: Script, session: str, keys: list[str], arguments: Sequence[Argument]) -> list[Any]:
        answer: list[Any] = await self._batcher.call(Call(script, keys, arguments))
        if answer[0] in (b"NO_SESSION", b"STALE"):
            _refuse(answer[0], session)
        return answer

    async def _block(self, key: str, after_seq: int, wait_s: float) -> None:
        """Returns when there may be an event, and after `wait_s` at the latest."""
        wait_ms = max(1, round(wait_s * 1000))  # 0 would wait for ever
        command = ("XREAD", "COUNT", 1, "BLOCK", wait_ms, "STREAMS", key, f"{max(0, after_seq)}-0")
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        try:
            async with asyncio.timeout_at(until_s):
                await self._blocked.acquire()
        except TimeoutError:
            return
        try:
            async with asyncio.timeout_at(until_s + self._timeout_s):
                await self._wire.block(key, command)
        except (RedisError, OSError, TimeoutError) as error:
            raise unavailable(error) from None
        finally:
            self._blocked.release()


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _refuse(status: bytes, session: str) -> NoReturn:
    raise NoSession(session) if status == b"NO_SESSION" else StaleLease(session)
