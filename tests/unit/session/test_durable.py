"""The session's side of the store, over a store that can be made to fail."""

from typing import Any

import pytest

from session_store.memory import MemoryStore
from session_store.store import StoreError
from streaming.session.durable import DurableSession
from streaming.session.effects import StoreAudio


class FlakyStore(MemoryStore):
    broken = False

    async def append_pcm(self, *args: Any) -> int:
        if self.broken:
            raise StoreError("away")
        return await super().append_pcm(*args)

    async def append_event(self, *args: Any) -> None:
        if self.broken:
            raise StoreError("away")
        await super().append_event(*args)


def block(n: int, *, channels: int = 1, needed_from: int = 0) -> StoreAudio:
    pcm = tuple(bytes([n, channel] * 8_000) for channel in range(channels))
    return StoreAudio(n * 8_000, pcm, (n + 1) * 8_000, needed_from)


@pytest.fixture
def store() -> FlakyStore:
    return FlakyStore(lambda: 0.0)


async def test_audio_and_events_are_written_for_the_session(store: FlakyStore) -> None:
    durable = DurableSession(store, "s", "me", b"start")
    assert await durable.open()
    assert await durable.audio(block(0, channels=2))
    assert await durable.audio(block(1, channels=2))
    assert await durable.event(1, b"ready")
    assert b"".join(chunk.pcm for chunk in await store.read_pcm("s", 1)) == bytes([0, 1] * 8_000 + [1, 1] * 8_000)
    assert [event.data for event in await store.read_events("s", 0)] == [b"ready"]
    assert await durable.audio(block(2, channels=2))
    found = await store.get("s")
    assert found is not None
    assert (found.record.start, found.record.next_sample, found.record.last_seq) == (b"start", 24_000, 1)


async def test_what_is_needed_no_more_is_trimmed(store: FlakyStore) -> None:
    durable = DurableSession(store, "s", "me", b"")
    await durable.audio(block(0))
    await durable.audio(block(1, needed_from=9_000))
    assert (await store.read_pcm("s", 0))[0].first_sample == 9_000


async def test_what_a_failing_store_missed_is_written_when_it_is_back(store: FlakyStore) -> None:
    durable = DurableSession(store, "s", "me", b"")
    assert await durable.audio(block(0))
    store.broken = True
    assert not await durable.audio(block(1))
    assert not await durable.event(1, b"one")
    store.broken = False
    assert await durable.event(2, b"two")
    assert sum(len(chunk.pcm) for chunk in await store.read_pcm("s", 0)) == 32_000
    assert [event.data for event in await store.read_events("s", 0)] == [b"one", b"two"]


async def test_a_store_that_fails_for_too_long_is_given_up(store: FlakyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.session.durable.MAX_UNWRITTEN", 2)
    durable = DurableSession(store, "s", "me", b"")
    store.broken = True
    for n in range(3):
        assert not await durable.event(n + 1, b"")
    store.broken = False
    assert not await durable.audio(block(0)), "events are missing: it can never be whole again"


async def test_closing_leaves_nothing_behind(store: FlakyStore) -> None:
    durable = DurableSession(store, "s", "me", b"")
    await durable.audio(block(0))
    assert await durable.renew()
    await durable.close()
    assert store.sessions == 0
    assert store.total_bytes == 0
