"""What the memory store does beyond the contract: it is bounded as a whole."""

from __future__ import annotations

import pytest

from session_store.memory import MemoryStore
from session_store.store import AudioBlock, Lease, Limits, StoreFull
from tests.support.stored import block, events, piece, record

LIMITS = Limits(
    max_sessions=3,
    max_pcm_bytes=100,
    max_events=4,
    max_event_bytes=50,
    max_events_bytes=100,
    max_total_bytes=600,
    ttl_s=60.0,
)


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock, LIMITS)


@pytest.fixture
async def lease(store: MemoryStore) -> Lease:
    return await store.acquire("s", "g", 10.0)


async def test_no_more_sessions_than_the_limit_until_one_expires(
    store: MemoryStore, lease: Lease, clock: Clock
) -> None:
    await store.acquire("s2", "g", 10.0)
    await store.acquire("s3", "g", 10.0)
    with pytest.raises(StoreFull):
        await store.acquire("s4", "g", 10.0)
    await store.acquire("s3", "g", 10.0)
    clock.now_s += 60
    await store.acquire("s4", "g", 10.0)
    assert store.sessions == 1


async def test_a_full_store_refuses_what_grows_whole_and_lives_on(
    store: MemoryStore, lease: Lease, clock: Clock
) -> None:
    other = await store.acquire("s2", "g", 10.0)
    await store.commit(other, record(state=b"x" * 200), expected_version=0, audio=block(0, 50))
    await store.commit(lease, record(), expected_version=0, audio=block(0, 50))
    full_bytes = store.total_bytes
    with pytest.raises(StoreFull):
        await store.commit(lease, record(1, state=b"x" * 100), expected_version=1, audio=block(50, 100, channels=2))
    with pytest.raises(StoreFull):
        await store.append_events(lease, events(1, 2, b"x" * 50))
    assert store.total_bytes == full_bytes
    found = await store.get("s")
    assert found is not None
    assert found.version == 1
    assert await store.read_pcm("s", 0) == piece(0, 50)
    assert await store.read_events("s", 0) == ()

    assert await store.commit(lease, record(), expected_version=1, audio=block(50, 100)) == 2  # in place of older audio
    clock.now_s += 59
    await store.renew(lease, 1.0)
    clock.now_s += 1
    await store.append_events(lease, events(1, 2, b"x" * 50))  # the other one has expired
    await store.delete(lease)
    assert (store.sessions, store.total_bytes) == (0, 0)


async def test_bytes_of_what_went_away_are_free_again(store: MemoryStore, lease: Lease) -> None:
    """Rounds of writing and trimming never fill the store, and it knows what it holds."""
    for round_ in range(40):
        first = 40 * round_ + round_ % 3 * 100
        audio = AudioBlock(first, (bytes(80), bytes(80)), first + 13)
        await store.commit(lease, record(round_), expected_version=round_, audio=audio)
        await store.append_events(lease, events(round_ + 1, round_ + 1, b"x" * 30))
    found = await store.get("s")
    assert found is not None
    assert found.version == 40
    await store.delete(lease)
    assert store.total_bytes == 0


async def test_tokens_rise_across_sessions(store: MemoryStore, lease: Lease) -> None:
    assert (await store.acquire("another", "g", 10.0)).token > lease.token
