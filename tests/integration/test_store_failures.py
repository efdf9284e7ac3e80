"""Live sessions over a Redis that fails in many ways: they go on, say that they are not durable, and are so again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from streaming.protocol.messages import Ack, Finalize, Load, Ready, ServerMessage, Stop, Summary, Transcript
from streaming.session import durable
from tests.support.callers import Caller, over, same_as_undisturbed
from tests.support.live import Client, Live, live_server
from tests.support.redis_server import RedisServer, free_port, running

IN_SPEECH = 24_000
TIMEOUT_S = 0.3


@dataclass
class Mishap:
    begin: Callable[[RedisServer], None]
    end: Callable[[RedisServer], None]


def told(*command: str) -> Callable[[RedisServer], None]:
    def tell(server: RedisServer) -> None:
        with server.client() as client:
            client.execute_command(*command)

    return tell


def emptied(server: RedisServer) -> None:
    server.restart(empty=True)


MISHAPS = {
    "killed": Mishap(RedisServer.kill, RedisServer.start),
    "killed, and empty when it is back": Mishap(RedisServer.kill, emptied),
    "frozen": Mishap(RedisServer.freeze, RedisServer.thaw),
    "takes no writes": Mishap(told("CLIENT", "PAUSE", "60000", "WRITE"), told("CLIENT", "UNPAUSE")),
    "read-only": Mishap(told("REPLICAOF", "127.0.0.1", str(free_port())), told("REPLICAOF", "NO", "ONE")),
    "without its replicas": Mishap(
        told("CONFIG", "SET", "min-replicas-to-write", "1"), told("CONFIG", "SET", "min-replicas-to-write", "0")
    ),
    "out of memory": Mishap(told("CONFIG", "SET", "maxmemory", "1mb"), told("CONFIG", "SET", "maxmemory", "0")),
}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """With its data on disk. Sessions look for it often."""
    monkeypatch.setattr(durable, "RETRY_S", (0.05,))
    with running(RedisServer(tmp_path / "redis", durable=True)) as server:
        yield server


@pytest.fixture
async def gateways(server: RedisServer) -> AsyncIterator[tuple[Live, Live]]:
    store = over(server, timeout_s=TIMEOUT_S)
    async with live_server(store=store) as one, live_server(store=store) as two:
        yield one, two


def durability(messages: list[ServerMessage]) -> list[bool]:
    return [message.durable for message in messages if isinstance(message, Load)]


async def until_durable(client: Client, durable: bool) -> None:
    """As the newest `load` says."""
    while [True, *durability(client.received)][-1] is not durable:
        await client.read()


@pytest.mark.parametrize("name", MISHAPS)
async def test_a_session_goes_on_through_it_and_can_be_resumed_afterwards(
    gateways: tuple[Live, Live], server: RedisServer, name: str
) -> None:
    one, two = gateways
    caller, mishap = Caller(), MISHAPS[name]
    async with caller.connected(one) as client:
        await caller.paced(client, IN_SPEECH)
        await client.has(Ack, sample=IN_SPEECH)

        mishap.begin(server)
        await caller.paced(client, 72_000)
        await until_durable(client, False)
        assert any(message.final for message in client.got(Transcript)), "words come as ever"
        assert max(ack.sample for ack in client.got(Ack)) == IN_SPEECH, "nothing is acknowledged that is not stored"

        mishap.end(server)
        await until_durable(client, True)
        await client.has(Ack, sample=72_000)
        await caller.paced(client, 80_000)
        await client.has(Ack, sample=80_000)
        assert durability(client.received) == [False, True]
        client.socket.transport.abort()
    async with caller.connected(two) as client:
        assert caller.ready is not None
        assert caller.ready.next_sample == 80_000
        assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


@pytest.mark.parametrize("name", MISHAPS)
async def test_a_session_ends_as_ever_while_it_lasts(
    gateways: tuple[Live, Live], server: RedisServer, name: str
) -> None:
    caller = Caller()
    async with caller.connected(gateways[0]) as client:
        await caller.paced(client, IN_SPEECH)
        MISHAPS[name].begin(server)
        assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_a_drain_ends_sessions_that_the_store_could_not_take(
    gateways: tuple[Live, Live], server: RedisServer
) -> None:
    """Nobody could resume them elsewhere, so they get their finals; those in the store are left to others."""
    one, _ = gateways
    caller = Caller()
    async with caller.connected(one) as client:
        await caller.paced(client, 40_000)
        server.kill()
        await caller.paced(client, 56_000)
        await until_durable(client, False)
        await one.service.drain(0.05)
        assert await client.rest() == 1012
        assert [message.final for message in client.got(Transcript)][-1]
        assert isinstance(client.received[-1], Summary)


async def test_a_session_that_begins_without_a_store_becomes_durable(
    gateways: tuple[Live, Live], server: RedisServer
) -> None:
    one, two = gateways
    server.kill()
    caller = Caller()
    async with caller.connected(one) as client:
        assert caller.ready is not None
        assert caller.ready.resume_token, "the session can be resumed once the store is there"
        await caller.paced(client, 40_000)
        await until_durable(client, False)
        assert client.got(Ack) == []
        server.start()
        await until_durable(client, True)
        await client.has(Ack, sample=40_000)
        client.socket.transport.abort()
    async with caller.connected(two) as client:
        assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_a_slow_store_delays_and_loses_nothing(gateways: tuple[Live, Live], server: RedisServer) -> None:
    """It stands still for most of the time that it may take."""
    one, two = gateways
    caller = Caller()
    async with caller.connected(one) as client:
        for at in range(10_000, 110_000, 20_000):
            told("CLIENT", "PAUSE", str(round(TIMEOUT_S * 600)), "ALL")(server)
            await caller.paced(client, at)
        assert durability(client.received) == []
        await client.has(Ack, sample=88_000)
        client.socket.transport.abort()
    async with caller.connected(two) as client:
        assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_a_session_lost_while_the_store_is_away_goes_on_from_what_was_stored(
    gateways: tuple[Live, Live], server: RedisServer
) -> None:
    """What was said meanwhile is said again, with other numbers; the client knows its finals by their utterance."""
    one, two = gateways
    caller = Caller()
    async with caller.connected(one) as client:
        await caller.paced(client, IN_SPEECH)
        await client.has(Ack, sample=IN_SPEECH)
        server.kill()
        await caller.paced(client, 72_000)
        client.socket.transport.abort()
    before, heard = caller.finals, len(caller.heard)
    assert len(before) == 1
    server.start()
    async with caller.connected(two) as client:
        assert caller.ready is not None
        assert caller.ready.next_sample == IN_SPEECH
        assert await caller.stop(client) == 1000
        numbers = [message.seq for message in client.received if message.seq > 0]
        assert numbers == list(range(heard + 1, heard + 1 + len(numbers)))
    whole = Caller()
    async with live_server() as live, whole.connected(live) as client:
        await whole.stop(client)
    assert sorted({*caller.finals}) == whole.finals
    assert caller.finals.count(before[0]) == 2


async def test_many_sessions_come_back_together(gateways: tuple[Live, Live], server: RedisServer) -> None:
    one, two = gateways
    callers = [Caller() for _ in range(12)]
    mishap = asyncio.Event()
    over_it = asyncio.Event()
    there = asyncio.Barrier(len(callers) + 1)

    async def talk(caller: Caller) -> None:
        async with caller.connected(one) as client:
            await caller.paced(client, IN_SPEECH)
            await there.wait()
            await mishap.wait()
            await caller.paced(client, 64_000)
            await until_durable(client, False)
            await there.wait()
            await over_it.wait()
            await client.has(Ack, sample=64_000)
            client.socket.transport.abort()
        async with caller.connected(two) as client:
            await caller.command(client, Finalize())
            assert await caller.stop(client) == 1000

    async with asyncio.TaskGroup() as group:
        for caller in callers:
            group.create_task(talk(caller))
        await there.wait()
        server.kill()
        mishap.set()
        await there.wait()
        emptied(server)
        over_it.set()
    for caller in callers:
        await same_as_undisturbed(caller)


async def test_sessions_that_wait_in_line_are_served_when_a_frozen_store_is_back(
    gateways: tuple[Live, Live], server: RedisServer
) -> None:
    """A session may begin, be resumed and end while the store stands still; none of them is held up for long."""
    one, two = gateways
    caller, another = Caller(), Caller()
    async with caller.connected(one) as client:
        await caller.paced(client, IN_SPEECH)
        await client.has(Ack, sample=IN_SPEECH)
        server.freeze()
        async with another.connected(two) as other:
            await another.paced(other, IN_SPEECH)
            server.thaw()
            await other.has(Ack, sample=IN_SPEECH)
            assert isinstance(another.ready, Ready)
            await another.command(other, Stop())
            assert await other.rest() == 1000
        await caller.paced(client, 64_000)
        await client.has(Ack, sample=64_000)
        assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)
