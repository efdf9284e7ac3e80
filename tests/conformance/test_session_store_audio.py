"""The contract of session_store.store, for every store: the tail of audio."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_store.memory import MemoryStore
from session_store.store import AudioBlock, Lease, Limits, PcmChunk, SessionStore
from tests.support.stored import block, pcm, piece, record


class Writer:
    """Commits one block after the other."""

    def __init__(self, store: SessionStore, lease: Lease) -> None:
        self._store = store
        self._lease = lease
        self.version = 0

    async def __call__(self, audio: AudioBlock) -> PcmChunk:
        """The first channel's tail after it."""
        self.version = await self._store.commit(self._lease, record(), expected_version=self.version, audio=audio)
        return await self._store.read_pcm("s", 0)


@pytest.fixture
def write(store: SessionStore, lease: Lease) -> Writer:
    return Writer(store, lease)


async def test_there_is_no_tail_before_the_first_audio(store: SessionStore, lease: Lease) -> None:
    await store.commit(lease, record(), expected_version=0)
    assert await store.read_pcm("s", 0) == PcmChunk(0, b"")
    await store.commit(lease, record(), expected_version=1, audio=AudioBlock(7, (b"", b""), 3))
    assert await store.read_pcm("s", 0) == PcmChunk(0, b"")


async def test_audio_comes_back_in_one_piece(store: SessionStore, other: SessionStore, write: Writer) -> None:
    assert await write(block(5, 10, channels=2)) == piece(5, 10)
    assert await write(block(10, 12, channels=2)) == piece(5, 12)
    assert await other.read_pcm("s", 1) == piece(5, 12)
    assert await other.read_pcm("s", 2) == PcmChunk(0, b"")


async def test_audio_that_is_there_already_is_ignored(write: Writer) -> None:
    await write(block(0, 10))
    assert await write(AudioBlock(0, (bytes(20),), 0)) == piece(0, 10)
    assert await write(AudioBlock(5, (bytes(10) + pcm(10, 15),), 0)) == piece(0, 15)


async def test_audio_behind_a_hole_starts_the_tail_anew(write: Writer) -> None:
    await write(block(0, 10))
    assert await write(block(11, 13)) == piece(11, 13)
    assert await write(block(13, 20)) == piece(11, 20)
    assert await write(block(0, 11)) == piece(11, 20)


async def test_a_channel_without_audio_stays_and_is_trimmed(store: SessionStore, write: Writer) -> None:
    await write(block(0, 10, channels=2))
    await write(block(10, 20, needed_from=4))
    assert await store.read_pcm("s", 1) == piece(4, 10)
    await write(AudioBlock(99, (b"", b""), 7))
    assert await store.read_pcm("s", 0) == piece(7, 20)
    assert await store.read_pcm("s", 1) == piece(7, 10)


async def test_the_tail_keeps_the_newest_audio(write: Writer) -> None:
    for first_sample in range(0, 60, 20):
        await write(block(first_sample, first_sample + 20))
    assert await write(block(60, 61)) == piece(11, 61)
    assert await write(block(61, 261)) == piece(211, 261)


async def test_trimmed_audio_is_gone_to_the_sample_and_its_end_is_remembered(write: Writer) -> None:
    await write(block(0, 10))
    assert await write(block(10, 20, needed_from=7)) == piece(7, 20)
    assert await write(block(20, 21, needed_from=0)) == piece(7, 21)
    assert await write(block(21, 22, needed_from=1_000)) == PcmChunk(22, b"")
    assert await write(block(20, 25)) == piece(22, 25)


async def test_positions_of_days_are_exact(write: Writer) -> None:
    day = 16_000 * 86_400 * 365
    data = bytes(range(20))
    assert await write(AudioBlock(day, (data,), day + 3)) == PcmChunk(day + 3, data[6:])


@pytest.mark.parametrize(
    "audio",
    [
        AudioBlock(0, (b"x",), 0),
        AudioBlock(0, (b"xy", b"wxyz"), 0),
        AudioBlock(-1, (b"xy",), 0),
        AudioBlock(0, (b"xy",), -1),
        AudioBlock(0, (b"xy",) * 3, 0),
    ],
)
async def test_audio_that_cannot_be_is_refused_with_its_record(
    store: SessionStore, lease: Lease, audio: AudioBlock
) -> None:
    with pytest.raises(ValueError, match="audio"):
        await store.commit(lease, record(), expected_version=0, audio=audio)
    assert await store.get("s") is None


BLOCKS = st.lists(
    st.tuples(st.integers(-8, 12), st.integers(0, 70), st.integers(-40, 20), st.integers(0, 2)), max_size=12
)


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=BLOCKS)
async def test_redis_and_memory_keep_the_same_of_any_audio(store: SessionStore, blocks: list[Any]) -> None:
    """Blocks that overlap, leave holes, are empty or too long, of changing numbers of channels."""
    limits: Limits = store.limits  # type: ignore[attr-defined]
    memory = MemoryStore(lambda: 0.0, limits)
    await store.delete(await store.acquire("s", "g", 10.0))  # of the example before
    leases = [await one.acquire("s", "g", 10.0) for one in (memory, store)]
    end = 100
    for version, (step, samples, needed, channels) in enumerate(blocks):
        first = end + step
        data = pcm(first, first + samples)
        audio = AudioBlock(first, (data,) * channels, max(0, end + needed))
        end = max(end, first + samples)
        for one, lease in zip((memory, store), leases, strict=True):
            assert await one.commit(lease, record(), expected_version=version, audio=audio) == version + 1
        for channel in range(2):
            assert await store.read_pcm("s", channel) == await memory.read_pcm("s", channel)
