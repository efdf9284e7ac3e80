"""A session's writer over a store, with a core that says and hears what the test wants."""

from __future__ import annotations

import asyncio
from typing import Any

from session_store.store import SessionRecord, StoredEvent
from streaming.session.durable import DurableSession
from streaming.session.effects import StoreAudio
from streaming.session.holding import LEASE_S
from tests.support.unruly_store import UnrulyStore

BLOCK = 8
"""Samples of a block, here."""


class Talker:
    """A session's core and runner, as its writer sees them: it says messages, and hands out snapshots."""

    def __init__(
        self, store: UnrulyStore, owner: str = "gateway-1", *, limits_to: int = 1 << 30, **resumed: Any
    ) -> None:
        """`limits_to`: samples of the tail that a snapshot needs."""
        record = resumed.pop("record", None) or SessionRecord(session="s", start=b"start", token_hash=b"hash")
        self.store = store
        self.durable = DurableSession(store, record, owner, self, **resumed)
        self.position = 0
        self.last_seq = record.last_seq
        self.heard: list[str] = []
        """What became of the writes."""
        self.sent: list[int] = []
        """Messages that may have gone to the client."""
        self._needs = limits_to
        self._newest: StoreAudio | None = None

    async def say(self, count: int = 1, data: bytes = b"said") -> None:
        events = [StoredEvent(self.last_seq + 1 + at, data) for at in range(count)]
        self.last_seq += count
        await self.durable.events(events)
        self.sent += [event.seq for event in events]

    def hear(self) -> None:
        """Another block of audio."""
        first, self.position = self.position, self.position + BLOCK
        self._newest = self._block(first)
        self.durable.block(self._newest)

    def _block(self, first: int, newest: StoreAudio | None = None) -> StoreAudio:
        """From a sample on up to the newest snapshot, or to a new one here."""
        until = newest.ack_sample if newest else self.position
        last_seq = newest.last_seq if newest else self.last_seq
        pcm = b"".join(sample.to_bytes(2, "little") for sample in range(first, until))
        return StoreAudio(first, (pcm,), max(0, until - self._needs), until, 0, last_seq, b"state %d" % until)

    # -- the store's listener
    def on_stored(self, block: StoreAudio) -> None:
        self.heard.append(f"stored {block.ack_sample}")

    def on_store_failed(self) -> None:
        if self.heard[-1:] != ["failed"]:
            self.heard.append("failed")

    def on_taken_over(self) -> None:
        self.heard.append("taken over")

    def whole_block(self) -> StoreAudio | None:
        if self._newest is None:
            return None
        return self._block(max(0, self._newest.ack_sample - self._needs), self._newest)


async def check_whole(store: UnrulyStore, talker: Talker, first_seq: int = 1) -> None:
    """All that was said and heard can be read, and a core can be restored from it."""
    found = await store.get("s")
    assert found is not None
    tail = await store.read_pcm("s", 0)
    assert found.record.state == b"state %d" % talker.position
    assert tail.end_sample == talker.position
    assert tail.first_sample <= max(0, talker.position - talker._needs)
    assert tail.pcm == b"".join(sample.to_bytes(2, "little") for sample in range(tail.first_sample, tail.end_sample))
    log = await store.read_events("s", first_seq - 1)
    assert [event.seq for event in log] == list(range(first_seq, talker.last_seq + 1))


async def begun(store: UnrulyStore, **options: Any) -> Talker:
    """A session with two messages and two blocks, all of it stored."""
    talker = Talker(store, **options)
    await talker.durable.start()
    await talker.say()
    talker.hear()
    await talker.say()
    talker.hear()
    await asyncio.sleep(0.01)
    assert talker.heard == [f"stored {BLOCK}", f"stored {2 * BLOCK}"]
    await check_whole(store, talker)
    return talker


async def takes_over(store: UnrulyStore, owner: str = "gateway-2") -> Talker:
    """Another gateway resumes the session."""
    lease = await store.acquire("s", owner, LEASE_S, take_over=True)
    found = await store.get("s")
    assert found is not None
    talker = Talker(store, owner, record=found.record, lease=lease, version=found.version)
    talker.last_seq = (await store.read_events("s", 0))[-1].seq
    talker.position = (await store.read_pcm("s", 0)).end_sample
    await talker.durable.start()
    return talker
