"""One session's side of the store: its messages and snapshots, written in order by a task of its own.

A store that fails never stops a session. While it fails, messages are kept here, bounded, and nobody waits for them;
snapshots are not kept, since the newest one can be had again. When the store is back, the session is written anew: the
messages that its log lacks, then the newest snapshot with all of the audio that it needs.

    keeping ──▶ a write fails ──▶ broken ──▶ everything is written anew ──▶ keeping
                                        └──▶ somebody else has the session now ──▶ over
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from session_store.store import (
    Conflict,
    Lease,
    NoSession,
    SessionRecord,
    SessionStore,
    StaleLease,
    StoredEvent,
    StoreError,
)
from streaming.session.effects import StoreAudio
from streaming.session.holding import Holding

log = logging.getLogger(__name__)

MAX_UNLOGGED = 4096
"""Messages kept while the store is away; beyond it the oldest go."""
MAX_APPENDED = 256
"""Kept messages in one write, so that none takes long."""
MAX_WAITING_BLOCKS = 8
"""Snapshots on their way to a store that is slow: 4 s of audio."""
FLUSH_S = 2.0
"""How long the end of a session waits for its last writes."""
RETRY_S = (0.1, 0.25, 0.5, 1.0)
"""Pauses between tries to write a session anew; the last one again and again."""


class StoreListener(Protocol):
    """Who hears of what became of the writes. The calls never wait."""

    def on_stored(self, block: StoreAudio) -> None:
        """The snapshot is in the store, and every message before it."""

    def on_store_failed(self) -> None:
        """From here on the session is not durable, until the next `on_stored`. Said again for each try that fails."""

    def on_taken_over(self) -> None:
        """Somebody else has resumed the session: nothing may be sent any more. Said once."""

    def whole_block(self) -> StoreAudio | None:
        """The newest snapshot with all the audio that it needs."""


@dataclass(slots=True, eq=False)
class _Events:
    events: Sequence[StoredEvent]
    written: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Renewal:
    pass


@dataclass(frozen=True, slots=True)
class _Claim:
    pass


@dataclass(frozen=True, slots=True)
class _End:
    pass


_Write = _Events | StoreAudio | _Renewal | _Claim | _End


class DurableSession:
    """Order of calls: `start`; `events`, `block`, `renew` at any time; `close`."""

    def __init__(
        self,
        store: SessionStore,
        record: SessionRecord,
        owner: str,
        listener: StoreListener,
        *,
        lease: Lease | None = None,
        version: int = 0,
    ) -> None:
        """
        Args:
            record: of a new session without `state`; of a resumed one as it was read.
            owner: of this very connection of the session.
            lease, version: of a resumed session.
        """
        self._holding = Holding(store, record, owner, lease, version)
        self._listener = listener
        self._queue: deque[_Write] = deque()
        self._unlogged: deque[StoredEvent] = deque(maxlen=MAX_UNLOGGED)
        self._waiters: list[asyncio.Future[None]] = []
        """Of messages in `_unlogged`."""
        self._broken = lease is None
        """All of the session must be written: the store has lost it, or it is new."""
        self._following = lease is not None
        """Snapshots are put in line: all before them are in the store, or on the way there."""
        self.away = False
        """The store is known to fail: nobody waits for it."""
        self._over = False
        self._work = asyncio.Event()
        self._progress = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when the session is in the store, or the store is known to fail."""
        if not self._broken:
            self._put(_Claim())
        self._writer = asyncio.create_task(self._run(), name="a session's writes")
        await self._written()

    async def events(self, events: Sequence[StoredEvent]) -> None:
        """Returns when the messages are in the log, or the store is known to fail: then they may be sent."""
        if self._over:
            return
        if self.away:
            self._unlogged.extend(events)
            return
        write = _Events(events, asyncio.get_running_loop().create_future())
        self._put(write)
        await write.written

    def block(self, block: StoreAudio) -> None:
        """Puts a snapshot in line; `on_stored` follows, unless the store fails."""
        if not self._over and self._following:
            self._put(block)

    def renew(self) -> None:
        """Keeps the session from expiring while nothing is written."""
        if not self._over and not self._broken:
            self._put(_Renewal())

    @property
    def waiting_blocks(self) -> int:
        return sum(isinstance(write, StoreAudio) for write in self._queue)

    async def wait_for_room(self) -> None:
        """Returns when another snapshot may be put in line."""
        while self.waiting_blocks >= MAX_WAITING_BLOCKS:
            self._progress.clear()
            await self._progress.wait()

    async def close(self, *, done: bool) -> None:
        """Writes what waits, for FLUSH_S at most, and gives the lease back. The session stays for its time to live.

        Args:
            done: `summary` was said.
        """
        if done and not self._over:
            self._put(_End())
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._written()
        except TimeoutError:
            log.warning("a session's last writes were given up: the store is too slow")
        self._over = True
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        self._void_writes()
        self._let_go()
        if not self._broken:
            await self._holding.release()

    # -- the writer -------------------------------------------------------------------------------------------------

    def _put(self, write: _Write) -> None:
        self._queue.append(write)
        self._work.set()

    async def _run(self) -> None:
        tries = 0
        while not self._over:
            if not self._broken and not self._queue:
                self._work.clear()
                await self._work.wait()
                continue
            try:
                written = await (self._write_anew() if self._broken else self._write_next())
            except Exception as error:
                log.exception("a session's writes failed")
                self._break(error)
                written = False
            self._progress.set()
            tries = 0 if written else tries + 1
            if tries and not self._over:
                await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S)) - 1])

    async def _written(self) -> None:
        """Returns when all is in the store, or the store is known to fail."""
        while (self._queue or self._broken) and not (self._over or self.away):
            self._progress.clear()
            await self._progress.wait()

    async def _write_next(self) -> bool:
        """The next write in line, or the knowledge that the session must be written anew."""
        write = self._queue[0]
        try:
            match write:
                case _Events():
                    await self._append_queued()
                    return True
                case StoreAudio():
                    await self._holding.commit(write)
                case _Renewal():
                    await self._holding.renew()
                case _Claim():
                    await self._holding.claim()
                case _End():
                    await self._holding.finish()
        except (StoreError, ValueError) as error:
            self._break(error)
            return True
        self._queue.popleft()
        if isinstance(write, StoreAudio):
            self._listener.on_stored(write)
        return True

    async def _append_queued(self) -> None:
        """All messages at the head of the line in one write."""
        writes: list[_Events] = []
        for write in self._queue:
            if not isinstance(write, _Events):
                break
            writes.append(write)
        await self._holding.append([event for write in writes for event in write.events])
        for write in writes:
            self._queue.popleft()
            if not write.written.done():
                write.written.set_result(None)

    def _break(self, error: Exception) -> None:
        """The session must be written anew. Where the store has lost something, or somebody else has the lease, that is
        tried at once, and nobody need know; else nobody waits any longer."""
        self._broken = True
        self._void_writes()
        if not isinstance(error, StaleLease | NoSession | Conflict | ValueError):
            log.warning("the store refused a write: %s", error)
            self._go_away()

    def _void_writes(self) -> None:
        """Takes the line apart: messages are kept; snapshots are not, as the newest one can be had again."""
        for write in self._queue:
            if isinstance(write, _Events):
                self._unlogged.extend(write.events)
                self._waiters.append(write.written)
        self._queue = deque(write for write in self._queue if isinstance(write, _End))
        self._following = False
        self._progress.set()

    def _go_away(self) -> None:
        self.away = True
        self._let_go()
        self._listener.on_store_failed()

    def _let_go(self) -> None:
        """Nobody waits for a message to be logged."""
        for written in self._waiters:
            if not written.done():
                written.set_result(None)
        self._waiters.clear()
        self._progress.set()

    # -- the whole session anew ---------------------------------------------------------------------------------------

    async def _write_anew(self) -> bool:
        """False: the store still fails."""
        try:
            if await self._holding.acquire():
                await self._write_whole()
            else:
                self._end_taken_over()
        except (StoreError, ValueError) as error:
            if not self.away:
                log.warning("a session is not durable: %s", error)
            self._void_writes()
            self._go_away()
            return False
        return True

    async def _write_whole(self) -> None:
        self._void_writes()
        while self._unlogged:
            await self._append_kept()
            self._void_writes()
        # Now every message that has a number is in the log, as the snapshot demands.
        block = self._listener.whole_block()
        self._following = True
        await (self._holding.commit(block) if block is not None else self._holding.claim())
        self._broken = self.away = False
        if self._unlogged:  # said during the last write
            self._queue.appendleft(_Events(tuple(self._unlogged), asyncio.get_running_loop().create_future()))
            self._unlogged.clear()
        if block is not None:
            self._listener.on_stored(block)
        self._let_go()

    async def _append_kept(self) -> None:
        events = tuple(islice(self._unlogged, MAX_APPENDED))
        try:
            await self._holding.append(events)
        except ValueError:  # messages between the log's end and these are gone: the log begins anew
            await self._holding.begin_anew()
            await self._holding.append(events)
        while self._unlogged and self._unlogged[0].seq <= events[-1].seq:
            self._unlogged.popleft()

    def _end_taken_over(self) -> None:
        self._over = True
        self._void_writes()
        self._queue.clear()
        self._let_go()
        self._listener.on_taken_over()
