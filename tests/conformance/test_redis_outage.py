"""A Redis that is away, slow, full, read-only or strange: StoreUnavailable in time, and afterwards all goes on."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import hiredis
import pytest

from session_store.connect import open_store
from session_store.store import Lease, NoSession, SessionStore, StaleLease, StoreUnavailable
from tests.support.polling import eventually
from tests.support.redis_server import ClusterNode, RedisServer, free_port, running
from tests.support.stored import block, events, piece, record

TIMEOUT_S = 0.5
LATE_S = 5.0
"""A busy machine may be late by so much, a call that hangs is later."""
PASSWORD = "hush-hush"


@pytest.fixture
async def store(own_redis_server: RedisServer) -> AsyncIterator[SessionStore]:
    store = open_store("redis", own_redis_server.url, timeout_s=TIMEOUT_S)
    yield store
    await store.aclose()


@pytest.fixture
async def lease(store: SessionStore) -> Lease:
    """Of a session with a record, ten samples and an event."""
    lease: Lease = await patiently(lambda: store.acquire("s", "gateway-1", 60.0))
    await store.commit(lease, record(1), expected_version=0, audio=block(0, 10))
    await store.append_events(lease, events(1, 1))
    return lease


async def patiently(call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Until the store can do it."""
    answers = []

    async def answered() -> bool:
        with contextlib.suppress(StoreUnavailable):
            answers.append(await call())
        return bool(answers)

    await eventually(answered)
    return answers[0]


def writes(store: SessionStore, lease: Lease) -> list[Coroutine[Any, Any, Any]]:
    return [
        store.acquire("s", "gateway-1", 10.0),
        store.acquire("new", "gateway-1", 10.0),
        store.renew(lease, 10.0),
        store.commit(lease, record(2), expected_version=1, audio=block(10, 20, needed_from=5)),
        store.append_events(lease, events(2, 2)),
    ]


def reads(store: SessionStore) -> list[Coroutine[Any, Any, Any]]:
    return [store.get("s"), store.read_pcm("s", 0), store.read_events("s", 0), store.wait_events("s", 1, 0.1)]


async def all_unavailable(calls: list[Coroutine[Any, Any, Any]]) -> str:
    """Whether together or one after the other; their messages."""
    since_s = time.monotonic()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * len(answers)
    assert time.monotonic() - since_s < TIMEOUT_S + LATE_S
    return " ".join(map(str, answers))


async def unchanged(store: SessionStore) -> None:
    found = await store.get("s")
    assert found is not None
    assert (found.record, found.version) == (record(1), 1)
    assert await store.read_pcm("s", 0) == piece(0, 10)
    assert await store.read_events("s", 0) == tuple(events(1, 1))


async def goes_on(store: SessionStore, lease: Lease) -> None:
    """The session's next write and read, without a retry."""
    assert await store.commit(lease, record(2), expected_version=1, audio=block(10, 20, needed_from=5)) == 2
    await store.append_events(lease, events(2, 2))
    assert await store.read_pcm("s", 0) == piece(5, 20)
    assert await store.wait_events("s", 1, 0.1) == tuple(events(2, 2))


@pytest.fixture(params=[RedisServer, ClusterNode])
def durable_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    with running(request.param(tmp_path / "redis", durable=True)) as server:
        yield server


async def test_a_server_that_was_away_is_found_again_with_its_data(durable_server: RedisServer) -> None:
    store = open_store("redis", durable_server.url, timeout_s=TIMEOUT_S)
    lease = await patiently(lambda: store.acquire("s", "gateway-1", 60.0))
    await store.commit(lease, record(1), expected_version=0, audio=block(0, 10))
    await store.append_events(lease, events(1, 1))
    waiting = asyncio.create_task(store.wait_events("s", 1, 30.0))
    await asyncio.sleep(0.05)
    durable_server.kill()
    with pytest.raises(StoreUnavailable):
        await waiting
    await all_unavailable(writes(store, lease) + reads(store))
    durable_server.start()
    await unchanged(store)
    await goes_on(store, lease)
    await store.aclose()


async def test_a_server_restarted_between_two_calls_is_not_noticed(tmp_path: Path) -> None:
    """Its connections were closed while nobody looked."""
    with running(RedisServer(tmp_path / "redis", durable=True)) as server:
        store = open_store("redis", server.url, timeout_s=TIMEOUT_S)
        lease = await patiently(lambda: store.acquire("s", "gateway-1", 60.0))
        server.restart()
        await asyncio.sleep(0.05)  # the loop hears of it
        assert await store.commit(lease, record(1), expected_version=0) == 1
        await store.aclose()


async def test_a_server_that_lost_its_data_takes_the_session_anew(
    store: SessionStore, lease: Lease, own_redis_server: RedisServer
) -> None:
    own_redis_server.restart(empty=True)
    with pytest.raises(NoSession):
        await patiently(lambda: store.commit(lease, record(2), expected_version=1))
    assert await store.get("s") is None
    successor = await store.acquire("s", "gateway-1", 10.0)
    assert successor.token > lease.token
    with pytest.raises(StaleLease):
        await store.append_events(lease, events(2, 2))
    await store.append_events(successor, events(40, 41))
    assert await store.commit(successor, record(2), expected_version=0, audio=block(1000, 1010)) == 1
    assert await store.read_events("s", 39) == tuple(events(40, 41))
    assert await store.read_pcm("s", 0) == piece(1000, 1010)


async def test_a_frozen_server_holds_up_no_call_longer_than_the_timeout(
    store: SessionStore, lease: Lease, own_redis_server: RedisServer
) -> None:
    waiting = asyncio.create_task(store.wait_events("s", 1, 3.0))
    await asyncio.sleep(0.05)
    own_redis_server.freeze()
    reading = reads(store)
    assert "in time" in await all_unavailable(reading)
    for call in reads(store):  # one after the other, too
        await all_unavailable([call])
    with pytest.raises(StoreUnavailable):
        await waiting
    own_redis_server.thaw()
    await patiently(lambda: store.get("s"))
    await unchanged(store)
    await goes_on(store, lease)


async def test_answers_that_come_too_late_are_not_taken_for_others(
    store: SessionStore, lease: Lease, own_redis_server: RedisServer
) -> None:
    own_redis_server.freeze()
    await all_unavailable([store.commit(lease, record(7), expected_version=1), store.get("s")])
    own_redis_server.thaw()
    found = await patiently(lambda: store.get("s"))
    # The one error after which a write may have happened.
    assert (found.record, found.version) in [(record(1), 1), (record(7), 2)]
    assert await store.commit(lease, record(8), expected_version=found.version) == found.version + 1


async def test_a_paused_server_is_a_slow_one(store: SessionStore, lease: Lease, own_redis_server: RedisServer) -> None:
    with own_redis_server.client() as client:
        client.client_pause(60_000, all=False)  # reads go on
        assert "in time" in await all_unavailable(writes(store, lease))
        client.client_unpause()
    await patiently(lambda: store.get("s"))
    successor = await store.acquire("s", "gateway-1", 60.0, take_over=True)
    found = await store.get("s")
    assert found is not None
    await store.commit(successor, record(9), expected_version=found.version)


async def test_a_replica_takes_no_writes_and_changes_nothing(
    store: SessionStore, lease: Lease, own_redis_server: RedisServer
) -> None:
    with own_redis_server.client() as client:
        client.replicaof("127.0.0.1", free_port())
        assert "READONLY" in await all_unavailable(writes(store, lease))
        await unchanged(store)
        client.replicaof("NO", "ONE")
    await goes_on(store, lease)


async def test_a_full_server_takes_no_more_and_changes_nothing(
    store: SessionStore, lease: Lease, own_redis_server: RedisServer
) -> None:
    other = await store.acquire("other", "gateway-1", 10.0)
    with own_redis_server.client() as client:
        client.config_set("maxmemory", "1")
        assert "OOM" in await all_unavailable(writes(store, lease))
        await unchanged(store)
        await store.delete(other)  # frees memory, so it must not need any
        client.config_set("maxmemory", "0")
    await goes_on(store, lease)


async def test_a_server_that_cannot_save_takes_no_writes_and_changes_nothing(
    store: SessionStore, lease: Lease, own_redis_server: RedisServer, tmp_path: Path
) -> None:
    with own_redis_server.client() as client:
        client.config_set("save", "3600 1000000")
        shutil.rmtree(tmp_path / "redis")
        client.bgsave()

        async def failed() -> bool:
            return bool(client.info("persistence")["rdb_last_bgsave_status"] != "ok")

        await eventually(failed)
        assert "MISCONF" in await all_unavailable(writes(store, lease))
        await unchanged(store)
        client.config_set("save", "")
    await goes_on(store, lease)


async def test_a_password_is_needed_and_shown_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with running(RedisServer(tmp_path / "redis", password=PASSWORD)) as server:
        right = open_store("redis", server.url, timeout_s=TIMEOUT_S)
        lease = await patiently(lambda: right.acquire("s", "gateway-1", 10.0))
        await right.aclose()
        for url in (server.url.replace(PASSWORD, PASSWORD + "x"), f"redis://127.0.0.1:{server.port}"):
            wrong = open_store("redis", url, timeout_s=TIMEOUT_S)
            text = await all_unavailable(writes(wrong, lease) + reads(wrong))
            assert PASSWORD not in text
            await wrong.aclose()
    text = await all_unavailable([open_store("redis", server.url, timeout_s=TIMEOUT_S).get("s")])
    assert PASSWORD not in text + caplog.text


@contextlib.asynccontextmanager
async def answering(line: bytes) -> AsyncIterator[str]:
    """The URL of a server that lets everybody in and then answers every script with that line."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(65_536):
            parser.feed(data)
            while (command := parser.gets()) is not False:
                writer.write(line if command[0] in (b"EVALSHA", b"EVAL", b"XREAD") else b"+OK\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "line",
    [
        b"-LOADING Redis is loading secrets\r\n",
        b"-CLUSTERDOWN secrets\r\n",
        b"-BUSY secrets\r\n",
        b"-MASTERDOWN secrets\r\n",
        b"-NOAUTH secrets\r\n",
        b"-NOPERM secrets\r\n",
        b"-NOSCRIPT secrets\r\n",
        b"-MOVED 3999 secrets:6381\r\n",
        b"-ERR secrets\r\n",
        b"-secrets\r\n",
        b"secrets\r\n",
        b"",
    ],
)
async def test_whatever_a_server_says_the_caller_gets_one_error_without_secrets(line: bytes) -> None:
    async with answering(line) as url:
        store = open_store("redis", url, timeout_s=TIMEOUT_S)
        lease = Lease("s", "gateway-1", 1)
        assert "secrets" not in await all_unavailable(writes(store, lease) + reads(store))
        await store.aclose()


async def test_a_closed_store_refuses(store: SessionStore, lease: Lease) -> None:
    await store.aclose()
    await all_unavailable(writes(store, lease) + reads(store))


async def test_closing_waits_for_what_is_on_its_way(store: SessionStore, lease: Lease) -> None:
    commit = asyncio.create_task(store.commit(lease, record(2), expected_version=1))
    await asyncio.sleep(0)
    await store.aclose()
    assert await commit == 2
