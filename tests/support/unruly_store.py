"""A memory store that fails when it is told to."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from session_store.memory import MemoryStore
from session_store.store import AudioBlock, Lease, Limits, SessionRecord, StoredEvent, StoreError, StoreUnavailable

_Result = TypeVar("_Result")


def loop_time() -> float:
    return asyncio.get_running_loop().time()


class UnrulyStore(MemoryStore):
    """Every call can be slow, refused, or done without an answer."""

    def __init__(self, limits: Limits | None = None, clock: Callable[[], float] = loop_time) -> None:
        super().__init__(clock, limits)
        self.latency_s = 0.0
        self.error: StoreError | None = None
        """Of every call."""
        self.unanswered = 0
        """So many of the next writes are done, and nobody hears of it."""
        self.writes: list[str] = []
        """What was done, in order."""

    def fail(self) -> None:
        self.error = StoreUnavailable("away")

    def mend(self) -> None:
        self.error = None

    def forget(self) -> None:
        """As a server that was restarted empty; the tokens of its leases rise all the same."""
        for session in list(self._sessions):
            self._forget(session)

    def remember(self) -> Callable[[], None]:
        """Brings back what is there now, as a server does that was restarted from an older copy."""
        sessions = copy.deepcopy({name: vars(found) | {"changed": None} for name, found in self._sessions.items()})

        def bring_back() -> None:
            for name, fields in sessions.items():
                vars(self._sessions[name]).update(fields | {"changed": asyncio.Event()})

        return bring_back

    async def acquire(self, session: str, owner: str, ttl_s: float, *, take_over: bool = False) -> Lease:
        await self._before()
        return self._after(await super().acquire(session, owner, ttl_s, take_over=take_over))

    async def renew(self, lease: Lease, ttl_s: float) -> None:
        await self._before()
        await super().renew(lease, ttl_s)
        self.writes.append("renew")

    async def release(self, lease: Lease) -> None:
        await self._before()
        await super().release(lease)
        self.writes.append("release")

    async def get(self, session: str) -> Any:
        await self._before()
        return await super().get(session)

    async def commit(
        self, lease: Lease, record: SessionRecord, *, expected_version: int, audio: AudioBlock | None = None
    ) -> int:
        await self._before()
        version = await super().commit(lease, record, expected_version=expected_version, audio=audio)
        self.writes.append(f"record {record.last_seq}" + (" done" if record.done else ""))
        return self._after(version)

    async def append_events(self, lease: Lease, events: Sequence[StoredEvent]) -> None:
        await self._before()
        await super().append_events(lease, events)
        if events:
            self.writes.append(f"events {events[0].seq} to {events[-1].seq}")
        self._after(None)

    async def _before(self) -> None:
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if self.error is not None:
            raise self.error

    def _after(self, result: _Result) -> _Result:
        if self.unanswered:
            self.unanswered -= 1
            raise StoreUnavailable("no answer")
        return result
