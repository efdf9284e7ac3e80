"""Sessions that this gateway's viewers watch: for each one a reader of the store's log, whoever runs the session.

The order of calls: a viewer enters `Watchers.watch` and reads `Watched.said` to its end. The first viewer of a
session starts its reader, which loads the log and then waits for more; the last one to leave ends it. The viewers
share what it reads (`SessionView`) and none of them holds anything up. `Watchers.close` ends them all.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from session_store.store import (
    EventsTrimmed,
    NoSession,
    SessionRecord,
    SessionStore,
    StoredEvent,
    StoreError,
    StoreUnavailable,
)
from streaming.protocol.errors import ProtocolError
from streaming.protocol.watching import decode_said, decode_start
from streaming.session.view import Cursor, Said, SessionView

log = logging.getLogger(__name__)

WAIT_S = 10.0
"""How long one call of the store may wait for something new; then the record is looked at."""
RETRY_S = 1.0
MAX_RETRIES = 60
KEEPALIVE_S = 15.0
"""Proxies end connections on which nothing comes for longer, many after a minute."""
RETRY_AFTER_MS = 5_000
_SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Watched:
    """One session, read for all of its viewers."""

    def __init__(self, store: SessionStore, session: str) -> None:
        self.session = session
        self.viewers = 0
        self.over = False
        """Nothing more comes."""
        self.failure: ProtocolError | None = None
        """Why, if not by the session's end."""
        self._store = store
        self._view: SessionView | None = None
        self._loaded = asyncio.Event()
        self._changed = asyncio.Event()
        self._reader = asyncio.create_task(self._read(), name="a watched session's reader")

    @property
    def view(self) -> SessionView:
        """Once it is `loaded`."""
        assert self._view is not None
        return self._view

    async def loaded(self) -> None:
        """Returns when what was said so far is there. Raises ProtocolError (`no_session`, `store_unavailable`)."""
        await self._loaded.wait()
        if self._view is None:
            raise self.failure or ProtocolError("internal", "the session could not be read")

    async def said(self, after: int) -> AsyncGenerator[Said | None, None]:
        """What a viewer is to be sent that has read up to number `after`; None after KEEPALIVE_S without anything.

        Ends with the session. Raises ProtocolError: `no_session` (it expired), `store_unavailable`, `draining`.
        """
        cursor = Cursor(after)
        while True:
            # Both before `take`: while its messages are being sent, more may be said.
            changed, over = self._changed, self.over
            waiting = cursor.take(self.view)[::-1]
            while waiting:
                yield waiting.pop()
            if over:
                if self.failure is not None:
                    raise self.failure
                return
            try:
                async with asyncio.timeout(KEEPALIVE_S):
                    await changed.wait()
            except TimeoutError:
                yield None

    def end(self, failure: ProtocolError | None = None) -> None:
        """Tells the viewers that nothing more comes."""
        if not self.over:
            self.over, self.failure = True, failure
            self._loaded.set()
            self._tell()
        self._reader.cancel()

    async def closed(self) -> None:
        self.end()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self) -> None:
        failure: ProtocolError | None = None
        try:
            view = await self._load()
            self._view = view
            self._loaded.set()
            while not view.done:
                await self._follow(view)
        except NoSession:
            failure = _unknown()
        except (StoreError, msgspec.DecodeError) as error:
            log.warning("a watched session cannot be read: %s", type(error).__name__)
            failure = _unreadable()
        except Exception:
            log.exception("the reader of session %s failed", self.session)
            failure = ProtocolError("internal", "the server failed; its log has the details")
        self.end(failure)

    async def _load(self) -> SessionView:
        record = await find(self._store, self.session)
        view = SessionView(self.session, decode_start(record.start))
        await self._catch_up(view)
        # A session that is over has nothing to wait for, whatever its log lost.
        view.done = view.done or record.done
        return view

    async def _follow(self, view: SessionView) -> None:
        """Waits for what comes next, or finds that nothing will."""
        events = await self._wait(view)
        if events:
            self._apply(view, events)
            self._tell()
        elif (await find(self._store, self.session)).done:
            await self._catch_up(view)
            view.done = True

    async def _wait(self, view: SessionView) -> tuple[StoredEvent, ...]:
        for _ in range(MAX_RETRIES):
            try:
                return await self._store.wait_events(self.session, view.last_seq, WAIT_S)
            except EventsTrimmed as gone:
                view.lose(gone.first_seq)
                self._tell()
            except StoreUnavailable:
                await asyncio.sleep(RETRY_S)
        raise StoreUnavailable("the store was away for too long")

    async def _catch_up(self, view: SessionView) -> None:
        while True:
            try:
                self._apply(view, await self._store.read_events(self.session, view.last_seq))
            except EventsTrimmed as gone:
                view.lose(gone.first_seq)
                continue
            return

    def _apply(self, view: SessionView, events: Iterable[StoredEvent]) -> None:
        for event in events:
            view.apply(event.seq, decode_said(event.data))

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Watchers:
    """All of one gateway's viewers.

    Args:
        store: asked for at each use.
        max_sessions: watched at once; each has a reader.
        count: told how many viewers there are.
    """

    def __init__(
        self,
        store: Callable[[], SessionStore],
        *,
        max_sessions: int,
        max_viewers: int,
        count: Callable[[int], None] = lambda viewers: None,
    ) -> None:
        self._store = store
        self._max_sessions = max_sessions
        self._max_viewers = max_viewers
        self._count = count
        self._watched: dict[str, Watched] = {}
        self._viewers = 0
        self._closed = False

    @asynccontextmanager
    async def watch(self, session: str) -> AsyncIterator[Watched]:
        """A session for one viewer, loaded.

        Raises:
            ProtocolError: `no_session`, `store_unavailable`, `overloaded`, `draining`.
        """
        watched = self._join(session)
        try:
            await watched.loaded()
            yield watched
        finally:
            await self._leave(watched)

    async def record(self, session: str) -> SessionRecord:
        """What the store keeps of a session. Raises ProtocolError."""
        try:
            return await find(self._store(), session)
        except NoSession:
            raise _unknown() from None
        except StoreError:
            raise _unreadable() from None

    def close(self) -> None:
        """Sends all viewers away, to another gateway."""
        self._closed = True
        for watched in list(self._watched.values()):
            watched.end(_draining())

    def _join(self, session: str) -> Watched:
        if self._closed:
            raise _draining()
        if not _SESSION_ID.fullmatch(session):
            raise _unknown()
        watched = self._watched.get(session)
        if self._viewers >= self._max_viewers or (watched is None and len(self._watched) >= self._max_sessions):
            raise ProtocolError("overloaded", "too many viewers are here already", retry_after_ms=RETRY_AFTER_MS)
        if watched is None or (watched.over and watched.failure is not None):
            watched = self._watched[session] = Watched(self._store(), session)
        watched.viewers += 1
        self._viewers += 1
        self._count(self._viewers)
        return watched

    async def _leave(self, watched: Watched) -> None:
        watched.viewers -= 1
        self._viewers -= 1
        self._count(self._viewers)
        if not watched.viewers:
            if self._watched.get(watched.session) is watched:
                del self._watched[watched.session]
            await watched.closed()


async def find(store: SessionStore, session: str) -> SessionRecord:
    """Raises NoSession, StoreUnavailable, BadRecord."""
    found = await store.get(session)
    if found is None:
        raise NoSession(session)
    return found.record


def _unknown() -> ProtocolError:
    return ProtocolError("no_session", "there is no such session, or it has expired")


def _unreadable() -> ProtocolError:
    return ProtocolError("store_unavailable", "the session cannot be read at the moment", retry_after_ms=RETRY_AFTER_MS)


def _draining() -> ProtocolError:
    return ProtocolError("draining", "the server is shutting down: connect again")
