"""A session's place in the store: its lease, the version of its record, and the writes that need them.

Each record names its writer, and whoever resumes a session writes the record before anything else. So a writer that
was refused can tell whether the store lost something of its own or somebody else had the session since.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from session_store.store import (
    AudioBlock,
    BadRecord,
    Lease,
    LeaseHeld,
    SessionRecord,
    SessionStore,
    StoredEvent,
    StoreError,
    TooLarge,
)
from streaming.session.effects import StoreAudio

log = logging.getLogger(__name__)

LEASE_S = 60.0


class Holding:
    """Order of calls: `acquire`, unless there is a lease to begin with, and again after a write was refused; then the
    writes; `release`. All of them raise StoreError as the store does, writes also ValueError."""

    def __init__(
        self, store: SessionStore, record: SessionRecord, owner: str, lease: Lease | None, version: int
    ) -> None:
        self._store = store
        self._record = record
        """As it was written last."""
        self._owner = owner
        self._lease = lease
        self._version = version

    async def acquire(self) -> bool:
        """Takes the lease, and learns the stored version. False: somebody else has the session, or had it since."""
        session = self._record.session
        try:
            self._lease = await self._store.acquire(session, self._owner, LEASE_S)
        except LeaseHeld:
            return False
        try:
            found = await self._store.get(session)
        except BadRecord:
            await self.begin_anew()
            return True
        if found is not None and found.version > self._version and found.record.owner != self._owner:
            await self.release()
            return False
        self._version = found.version if found else 0
        return True

    async def begin_anew(self) -> None:
        """Leaves nothing of the session in the store."""
        await self._store.delete(self._held)
        self._lease = await self._store.acquire(self._record.session, self._owner, LEASE_S)
        self._version = 0

    async def append(self, events: Sequence[StoredEvent]) -> None:
        """A message that the store does not take leaves its number behind, so that those after it have their places."""
        try:
            await self._store.append_events(self._held, events)
        except TooLarge as error:
            if len(events) == 1:
                log.error("a message was left out of a session's log: %s", error)
                await self._store.append_events(self._held, [StoredEvent(events[0].seq, b"")])
                return
            for event in events:
                await self.append([event])

    async def commit(self, block: StoreAudio) -> None:
        """Writes a snapshot and its audio."""
        record = msgspec.structs.replace(self._record, state=block.state, last_seq=block.last_seq)
        await self._put(record, AudioBlock(block.first_sample, block.pcm, block.needed_from))

    async def claim(self) -> None:
        """Writes the record as it is, in this owner's name."""
        await self._put(self._record)

    async def finish(self) -> None:
        """Writes that the session has said all."""
        await self._put(msgspec.structs.replace(self._record, done=True))

    async def renew(self) -> None:
        await self._store.renew(self._held, LEASE_S)

    async def release(self) -> None:
        """Gives the lease back, if there is one."""
        if self._lease is None:
            return
        try:
            await self._store.release(self._lease)
        except StoreError as error:
            log.info("a lease could not be given back: %s", error)

    @property
    def _held(self) -> Lease:
        assert self._lease is not None, "nothing is written without a lease"
        return self._lease

    async def _put(self, record: SessionRecord, audio: AudioBlock | None = None) -> None:
        record = msgspec.structs.replace(record, owner=self._owner)
        self._version = await self._store.commit(self._held, record, expected_version=self._version, audio=audio)
        self._record = record
