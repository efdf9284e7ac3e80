"""A session has one owner: whoever resumed it last. The others are told, and neither write nor say anything more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from websockets.exceptions import ConnectionClosed

from session_store.store import StoredEvent
from streaming.protocol.messages import Ack, Error, Marker, Ready, ServerMessage, Transcript
from streaming.session.outbox import is_numbered
from tests.support.callers import Caller, over, same_as_undisturbed
from tests.support.live import Client, Live, live_server
from tests.support.redis_server import RedisServer

IN_SPEECH = 28_000


@pytest.fixture
async def two_gateways(redis_server: RedisServer) -> AsyncIterator[tuple[Live, Live]]:
    store = over(redis_server)
    async with live_server(store=store) as one, live_server(store=store) as two:
        yield one, two


async def told(client: Client) -> list[ServerMessage]:
    """What a connection hears up to `taken_over`, which is the last word."""
    client.received.clear()
    assert await client.rest() == 4409
    *before, error = client.received
    assert isinstance(error, Error)
    assert (error.code, error.retryable, error.fatal) == ("taken_over", False, True)
    return before


async def log_of(live: Live, caller: Caller) -> tuple[StoredEvent, ...]:
    return await live.service.store.read_events(caller.session, 0)


async def test_on_the_same_gateway_the_first_connection_is_told_at_once() -> None:
    caller = Caller()
    async with live_server() as live, caller.connected(live) as first:
        await caller.paced(first, IN_SPEECH)
        await first.has(Ack, sample=24_000)
        caller.keep(first)
        async with caller.connected(live) as second:
            assert await told(first) == []
            assert len(live.service.sessions) == 1
            assert await caller.stop(second) == 1000
        assert live.engine.open_streams() == set()
    await same_as_undisturbed(caller)


@pytest.mark.parametrize("act", ["audio", "marker", "renewal"])
async def test_on_another_gateway_the_first_connection_is_told_at_its_next_write(
    two_gateways: tuple[Live, Live], act: str
) -> None:
    one, two = two_gateways
    caller = Caller()
    async with caller.connected(one) as first:
        await caller.paced(first, IN_SPEECH)
        await first.has(Ack, sample=24_000)
        caller.keep(first)
        async with caller.connected(two) as second:
            await caller.paced(second, 60_000)
            before = await log_of(two, caller)
            match act:
                case "audio":
                    await Caller.send(_like(caller), first)
                case "marker":
                    await first.send(Marker(id="late"))
                case "renewal":
                    (runner,) = one.service.sessions
                    runner.renew()
            heard = await told(first)
            assert [message for message in heard if is_numbered(message)] == []
            assert [message for message in heard if isinstance(message, Ack)] == []
            assert await log_of(two, caller) == before
            assert await caller.stop(second) == 1000
        assert await one.service.wait_until_empty(5)
    await same_as_undisturbed(caller)


def _like(caller: Caller) -> Caller:
    """A client that knows nothing of the resume, and sends on."""
    return Caller(caller._data, caller.audio)


async def test_a_gateway_that_wakes_after_the_session_has_ended_elsewhere_writes_nothing(
    two_gateways: tuple[Live, Live],
) -> None:
    one, two = two_gateways
    caller = Caller()
    async with caller.connected(one) as first:
        await caller.paced(first, IN_SPEECH)
        await first.has(Ack, sample=24_000)
        caller.keep(first)
        async with caller.connected(two) as second:
            assert await caller.stop(second) == 1000
        assert await two.service.wait_until_empty(5)
        before = await log_of(two, caller), await two.service.store.get(caller.session)
        await _like(caller).send(first)
        heard = await told(first)
        assert [message for message in heard if is_numbered(message)] == []
        assert (await log_of(two, caller), await two.service.store.get(caller.session)) == before
    await same_as_undisturbed(caller)


async def test_of_connections_that_resume_at_once_one_has_the_session() -> None:
    """Those of one gateway come one after the other; the last one stays."""
    caller = Caller()
    async with live_server() as live:
        async with caller.connected(live) as first:
            await caller.paced(first, IN_SPEECH)
            await first.has(Ack, sample=24_000)
            first.socket.transport.abort()
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(live.client()) for _ in range(6)]
            resume = caller.resume()
            readies = await asyncio.gather(*(_try(client, resume=resume) for client in clients))
            assert {ready.next_sample for ready in readies if ready} == {24_000}
            (runner,) = live.service.sessions
            codes = []
            for client in clients:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        codes.append(await client.rest())
            assert codes == [4409] * 5
            assert live.service.sessions == {runner}
        async with caller.connected(live) as client:
            assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_gateways_that_resume_at_once_agree_on_one_owner(two_gateways: tuple[Live, Live]) -> None:
    one, two = two_gateways
    caller = Caller()
    async with caller.connected(one) as first:
        await caller.paced(first, IN_SPEECH)
        await first.has(Ack, sample=24_000)
        first.socket.transport.abort()
    for _ in range(5):
        async with one.client() as here, two.client() as there:
            resume = caller.resume()
            await asyncio.gather(*(_try(client, resume=resume) for client in (here, there)))
            for runner in [*one.service.sessions, *two.service.sessions]:
                runner.renew()
            owners = []
            for client in (here, there):
                try:
                    async with asyncio.timeout(0.2):
                        assert await client.rest() == 4409
                except TimeoutError:
                    owners.append(client)
            assert len(owners) == 1
            for client in (here, there):
                client.socket.transport.abort()
    async with caller.connected(two) as client:
        assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def _try(client: Client, **start: object) -> Ready | None:
    with contextlib.suppress(ConnectionClosed):
        return await client.start(**start)
    return None


async def test_a_taken_over_session_gives_its_answers_to_the_new_connection_only() -> None:
    """The engine answers for both when the second connection is there already."""
    caller = Caller()
    async with live_server() as live, caller.connected(live) as first:
        live.engine.hold_steps()
        await caller.send(first, 56_000)
        await first.until(Ack, sample=56_000)
        caller.keep(first)
        async with caller.connected(live) as second:
            live.engine.release_steps()
            assert await told(first) == []
            assert (await second.has(Transcript, final=True)).utterance == 1
            assert await caller.stop(second) == 1000
    await same_as_undisturbed(caller)
