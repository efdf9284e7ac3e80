"""One session's side of the store: audio and messages in order, tried again after a failure.

A store that fails never stops a session: what could not be written waits here, in order and bounded, and goes first
the next time. Until it is written, nothing after it counts as durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

import msgspec

from session_store.store import Lease, SessionRecord, SessionStore, StoreError
from streaming.session.effects import StoreAudio

log = logging.getLogger(__name__)

LEASE_S = 60.0
MAX_UNWRITTEN = 4096


class _EventWrite(msgspec.Struct, frozen=True):
    seq: int
    data: bytes


class DurableSession:
    """Order of calls: `open`, then `audio` and `event` at any time, `renew` at least once in LEASE_S, `close`.

    Nothing raises StoreError: False says that the session is not durable now.
    """

    def __init__(self, store: SessionStore, session: str, owner: str, start: bytes) -> None:
        self._store = store
        self._owner = owner
        self._record = SessionRecord(session=session, start=start)
        self._version = 0
        self._lease: Lease | None = None
        self._unwritten: deque[StoreAudio | _EventWrite] = deque()
        self._given_up = False
        self._one_at_a_time = asyncio.Lock()

    async def open(self) -> bool:
        """Takes the lease and leaves the first record."""
        return await self._flush()

    async def audio(self, block: StoreAudio) -> bool:
        """Stores one block of every channel; True: it is durable, with all before it."""
        return await self._write(block)

    async def event(self, seq: int, data: bytes) -> bool:
        """Stores a message as it leaves."""
        return await self._write(_EventWrite(seq, data))

    async def renew(self) -> bool:
        """Keeps the session from expiring while nothing is written."""
        async with self._one_at_a_time:
            try:
                if self._lease is not None:
                    await self._store.renew(self._lease, LEASE_S)
            except StoreError as error:
                return self._failed(error)
        return await self._flush()

    async def close(self) -> None:
        """Removes the session from the store."""
        async with self._one_at_a_time:
            try:
                if self._lease is not None:
                    await self._store.delete(self._lease)
            except StoreError as error:
                self._failed(error)

    async def _write(self, write: StoreAudio | _EventWrite) -> bool:
        if self._given_up:
            return False
        if len(self._unwritten) >= MAX_UNWRITTEN:
            log.warning("a session is not durable any more: the store failed for too long")
            self._given_up = True
            self._unwritten.clear()
            return False
        self._unwritten.append(write)
        return await self._flush()

    async def _flush(self) -> bool:
        if self._given_up:
            return False
        async with self._one_at_a_time:
            try:
                lease = await self._leased()
                while self._unwritten:
                    await self._carry_out(lease, self._unwritten[0])
                    self._unwritten.popleft()
            except StoreError as error:
                return self._failed(error)
        return True

    async def _leased(self) -> Lease:
        if self._lease is None:
            self._lease = await self._store.acquire(self._record.session, self._owner, LEASE_S)
            await self._put(self._lease)
        return self._lease

    async def _carry_out(self, lease: Lease, write: StoreAudio | _EventWrite) -> None:
        if isinstance(write, _EventWrite):
            await self._store.append_event(lease, write.seq, write.data)
            self._record = msgspec.structs.replace(self._record, last_seq=write.seq)
            return
        for channel, pcm in enumerate(write.pcm):
            if pcm:
                await self._store.append_pcm(lease, channel, write.first_sample, pcm)
            await self._store.trim_pcm(lease, channel, write.needed_from)
        self._record = msgspec.structs.replace(self._record, next_sample=write.ack_sample)
        await self._put(lease)

    async def _put(self, lease: Lease) -> None:
        self._version = await self._store.put(lease, self._record, expected_version=self._version)

    def _failed(self, error: StoreError) -> bool:
        log.warning("the store refused a write: %s", type(error).__name__)
        return False
