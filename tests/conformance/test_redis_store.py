"""What the Redis store does beyond the contract: its layout, its group commit, expiry by the server's clock."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from session_store import connect
from session_store.batch import Argument, Wire
from session_store.connect import make_wire, open_store
from session_store.keys import all_keys
from session_store.redis_store import RedisStore
from session_store.store import (
    AudioBlock,
    BadRecord,
    Conflict,
    EventsTrimmed,
    Lease,
    Limits,
    NoSession,
    PcmChunk,
    SessionStore,
    StaleLease,
)
from session_store.url import parse_url
from tests.support.polling import eventually
from tests.support.redis_server import RedisServer
from tests.support.stored import block, events, piece, record

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 10.0


class CountingWire:
    """Remembers how many commands went together."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.sizes: list[int] = []

    async def send(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        self.sizes.append(len(commands))
        return await self._wire.send(commands)

    async def block(self, key: str, command: tuple[Argument, ...]) -> Any:
        return await self._wire.block(key, command)

    async def aclose(self) -> None:
        await self._wire.aclose()


@pytest.fixture
def wire(redis_server: RedisServer) -> CountingWire:
    return CountingWire(make_wire(parse_url(redis_server.url), TIMEOUT_S))


@pytest.fixture
async def store(wire: CountingWire) -> AsyncIterator[SessionStore]:
    store = RedisStore(wire, Limits(ttl_s=60.0, max_pcm_pieces=3), TIMEOUT_S)
    yield store
    await store.aclose()


@pytest.fixture
async def lease(store: SessionStore) -> Lease:
    return await store.acquire("s", "gateway-1", 10.0)


async def test_all_keys_expire_at_one_moment_and_share_a_slot(
    store: SessionStore, lease: Lease, redis_server: RedisServer
) -> None:
    await store.commit(lease, record(), expected_version=0, audio=block(0, 10, channels=2))
    await store.append_events(lease, events(1, 3))
    with redis_server.client() as client:
        keys = set(client.scan_iter())
        assert keys == set(all_keys("s", 2))
        assert len({client.execute_command("PEXPIRETIME", key) for key in keys}) == 1
        assert 50_000 < client.pttl(keys.pop()) <= 60_000
    for session in ("s", "", "}", "{}", "a}b{c", "{x}y"):
        assert len({key_slot(key.encode()) for key in all_keys(session, 2)}) == 1


async def test_nothing_is_left_of_a_session_that_expired(redis_server: RedisServer) -> None:
    store = open_store("redis", redis_server.url, Limits(ttl_s=0.3), timeout_s=TIMEOUT_S)
    lease = await store.acquire("s", "g", 0.1)
    await store.commit(lease, record(), expected_version=0, audio=block(0, 10, channels=2))
    await store.append_events(lease, events(1, 3))

    async def empty() -> bool:
        with redis_server.client() as client:
            return await store.get("s") is None and client.dbsize() == 0

    await eventually(empty)
    successor = await store.acquire("s", "other", 0.1)
    assert successor.token > lease.token
    with pytest.raises(StaleLease):
        await store.append_events(lease, events(1, 1))
    await store.aclose()


async def test_calls_of_one_moment_go_together_and_each_gets_its_own_answer(
    store: SessionStore, wire: CountingWire
) -> None:
    leases = await asyncio.gather(*(store.acquire(f"s{index}", "g", 10.0) for index in range(64)))
    leases[3] = Lease("s3", "g", 1)
    leases[4] = Lease("nobody", "g", 1)
    wire.sizes.clear()
    commits = [
        store.commit(lease, record(), expected_version=int(index == 5), audio=block(0, 10))
        for index, lease in enumerate(leases)
    ]
    answers = await asyncio.gather(*commits, return_exceptions=True)
    # The first batch finds that the server does not know the script: those calls go again.
    assert wire.sizes in ([64], [64, 64])
    assert isinstance(answers[3], StaleLease)
    assert isinstance(answers[4], NoSession)
    assert isinstance(answers[5], Conflict)
    assert [answer for answer in answers if not isinstance(answer, Exception)] == [1] * 61


async def test_calls_made_while_others_are_on_their_way_go_together(
    store: SessionStore, wire: CountingWire, lease: Lease
) -> None:
    first = asyncio.create_task(store.renew(lease, 10.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    wire.sizes.clear()
    await asyncio.gather(first, *(store.get("s") for _ in range(20)))
    assert sum(wire.sizes) >= 20
    assert len(wire.sizes) <= 4


async def test_a_caller_that_goes_away_disturbs_nobody(store: SessionStore, lease: Lease) -> None:
    version = 0
    for _ in range(10):
        leaving = asyncio.create_task(store.renew(lease, 10.0))
        version = await store.commit(lease, record(), expected_version=version)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        leaving = asyncio.create_task(store.read_pcm("s", 0))
        await asyncio.sleep(0)
        leaving.cancel()
    assert version == 10


async def test_scripts_that_the_server_forgot_are_sent_again(
    store: SessionStore, lease: Lease, redis_server: RedisServer
) -> None:
    with redis_server.client() as client:
        client.script_flush()
    commit = store.commit(lease, record(), expected_version=0)
    assert (await asyncio.gather(commit, store.append_events(lease, events(1, 2))))[0] == 1
    assert await store.read_events("s", 0) == tuple(events(1, 2))


async def test_a_tail_of_many_small_pieces_keeps_the_newest(store: SessionStore, lease: Lease) -> None:
    for version in range(6):
        await store.commit(lease, record(), expected_version=version, audio=block(version, version + 1))
    assert await store.read_pcm("s", 0) == piece(3, 6)


async def test_large_audio_comes_back(store: SessionStore, lease: Lease) -> None:
    """Of the size that a session's first write after an outage has."""
    data = bytes(Limits().max_pcm_bytes)
    full = record(state=b"x" * (200 << 10))
    await store.commit(lease, full, expected_version=0, audio=AudioBlock(0, (data, data), 0))
    assert await store.read_pcm("s", 1) == PcmChunk(0, data)


async def test_what_a_server_evicted_is_noticed(store: SessionStore, lease: Lease, redis_server: RedisServer) -> None:
    await store.commit(lease, record(), expected_version=0, audio=block(0, 10))
    await store.append_events(lease, events(1, 3))
    _, events_key, pcm_key, _ = all_keys("s", 2)
    with redis_server.client() as client:
        client.delete(events_key, pcm_key)
    with pytest.raises(BadRecord):
        await store.read_pcm("s", 0)
    with pytest.raises(EventsTrimmed) as caught:
        await store.read_events("s", 0)
    assert caught.value.first_seq == 4
    await store.append_events(lease, events(4, 4))
    assert await store.read_events("s", 3) == tuple(events(4, 4))
    await store.commit(lease, record(), expected_version=1, audio=block(10, 20, needed_from=10))
    assert await store.read_pcm("s", 0) == piece(10, 20)


async def test_what_an_evicted_session_left_is_not_its_namesakes(
    store: SessionStore, lease: Lease, redis_server: RedisServer
) -> None:
    await store.commit(lease, record(), expected_version=0, audio=block(0, 10))
    await store.append_events(lease, events(5, 9))
    with redis_server.client() as client:
        client.delete(all_keys("s", 2)[0])
    lease = await store.acquire("s", "gateway-1", 10.0)
    await store.append_events(lease, events(1, 1))
    await store.commit(lease, record(), expected_version=0, audio=block(0, 4))
    assert await store.read_events("s", 0) == tuple(events(1, 1))
    assert await store.read_pcm("s", 0) == piece(0, 4)


WRITER = """
import asyncio, sys
from session_store.connect import open_store
from session_store.store import Lease, StoredEvent

async def main(url, token):
    store = open_store("redis", url)
    await store.append_events(Lease("s", "gateway-1", int(token)), [StoredEvent(1, b"from elsewhere")])
    await store.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_waiter_sees_what_another_process_writes(
    store: SessionStore, lease: Lease, redis_server: RedisServer
) -> None:
    waiting = asyncio.create_task(store.wait_events("s", 0, 30.0))
    command = [sys.executable, "-c", WRITER, redis_server.url, str(lease.token)]
    await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=True)
    assert [event.data for event in await waiting] == [b"from elsewhere"]


def test_a_store_is_made_without_connecting_and_shows_no_password() -> None:
    url = "redis://user:hush@127.0.0.1:1/3"
    assert "hush" not in repr(parse_url(url))
    assert isinstance(connect.open_store("redis", url), RedisStore)
