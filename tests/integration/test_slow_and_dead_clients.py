"""Clients that read slowly, not at all, or are gone without a word: they hold nobody up, and can come back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator

import msgspec
import pytest
from tympan_client import (
    ConnectionOptions,
    Endpointing,
    Reconnected,
    Session,
    SessionOptions,
    Summary,
    TranscriptUpdate,
)
from tympan_client.address import stream_url
from tympan_client.protocol import ClientProtocol
from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode

from streaming import app
from streaming.protocol.messages import Ack, Error, Marker, Transcript
from streaming.session.settings import SessionSettings
from tests.support.callers import SENTENCES, Caller, over, same_as_undisturbed
from tests.support.live import Client, Live, live_server, pcm
from tests.support.polling import eventually
from tests.support.redis_server import RedisServer
from tests.support.sessions import ENDPOINTING, speech
from tests.support.tcp_balancer import balancing

SMALL_BYTES = 4_096
"""Of kernel buffers."""
MANY = 700
"""Echoes of markers that fill all buffers between the session and a client that does not read."""


@pytest.fixture(autouse=True)
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "SEND_BUFFER_BYTES", SMALL_BYTES)


@contextlib.asynccontextmanager
async def deaf(caller: Caller, live: Live) -> AsyncIterator[Client]:
    """A connection of which little is received that is not read; the buffers on the way are full."""
    receiver = socket.socket()
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
    receiver.setblocking(False)
    await asyncio.get_running_loop().sock_connect(receiver, ("127.0.0.1", live.server.port))
    async with caller.connected(live, sock=receiver, max_queue=1, close_timeout=0.1) as client:
        for number in range(MANY):
            await caller.command(client, Marker(id=f"{number:0128}"))
        yield client


async def slow_readers(live: Live) -> bool:
    return b'tympan_errors_total{code="slow_reader"} 1.0' in live.service.metrics.render()


# -- those that do not read


async def test_a_reader_that_falls_behind_gets_interims_joined_and_all_else_as_it_was() -> None:
    """Sixteen interims are said while nothing can be sent."""
    caller = Caller(pcm(speech((0.3, 8.5), total_s=10.0)))
    async with live_server(session=SessionSettings(outbox_messages=2 * MANY)) as live, deaf(caller, live) as client:
        decoded = 0
        for at in range(8_000, 136_000, 8_000):
            await caller.send(client, at)

            async def answered(before: int = decoded) -> bool:
                return sum(job.kind == "interim" for batch in live.engine.batches for job in batch) > before

            if at > 8_000:
                await eventually(answered)
                decoded += 1
        assert await caller.stop(client) == 1000
        interims = [message for message in client.got(Transcript) if not message.final]
        assert decoded >= 14
        assert 1 <= len(interims) <= 3
        assert interims[-1].revision >= 12
    await same_as_undisturbed(caller)


async def test_a_reader_that_does_not_read_is_let_go_and_can_resume_with_nothing_lost() -> None:
    caller = Caller()
    async with live_server(send_timeout_s=0.2) as live:
        async with deaf(caller, live) as client:
            sending = asyncio.create_task(caller.send(client))
            assert await live.service.wait_until_empty(10)
            assert await slow_readers(live)
            assert live.engine.open_streams() == set()
            client.socket.transport.abort()
            await asyncio.gather(sending, return_exceptions=True)
        async with caller.connected(live) as client:
            assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_it_is_told_why_when_it_reads_at_last() -> None:
    caller = Caller()
    async with live_server(send_timeout_s=0.2) as live, deaf(caller, live) as client:

        async def given_up() -> bool:
            return await slow_readers(live)

        await eventually(given_up)
        assert await client.rest() == 4429
        error = client.received[-1]
        assert isinstance(error, Error)
        assert (error.code, error.retryable, error.fatal) == ("slow_reader", True, True)
        caller.keep(client)
        async with caller.connected(live) as again:
            assert await caller.stop(again) == 1000
    await same_as_undisturbed(caller)


async def test_a_reader_that_does_not_read_holds_up_nobody_else() -> None:
    caller, other = Caller(), Caller()
    async with live_server() as live, deaf(caller, live), other.connected(live) as client:
        assert await other.stop(client) == 1000
    await same_as_undisturbed(other)


async def test_a_reader_that_does_not_read_is_not_heard_for_ever() -> None:
    """Its audio waits in its socket, so that what is kept for it is bounded. It is more than TCP's buffers may take,
    which the kernel lets grow to 32 MiB and more."""
    caller = Caller(pcm(SENTENCES) * 200)
    async with live_server() as live, deaf(caller, live) as client:
        sending = asyncio.create_task(caller.send(client))
        (runner,) = live.service.sessions
        heard_ms: list[int] = []

        async def stands_still() -> bool:
            heard_ms.append(runner._core.audio_ms)
            return heard_ms[-10:] == [heard_ms[-1]] * 10

        await eventually(stands_still)
        assert heard_ms[-1] < 60_000
        assert not sending.done()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        client.socket.transport.abort()


# -- those that are gone


async def test_a_peer_that_says_nothing_is_given_up_and_its_session_can_be_resumed() -> None:
    """Packets are lost without a word: the sockets stay open."""
    caller = Caller()
    async with live_server(idle_timeout_s=1) as live, balancing(live.server.port) as between:
        async with caller.connected(live, port=between.port) as client:
            await caller.paced(client, 28_000)
            await client.has(Ack, sample=24_000)
            (pair,) = between.pairs
            pair.silent = True
            assert await live.service.wait_until_empty(10)
            assert b'tympan_errors_total{code="idle_timeout"} 1.0' in live.service.metrics.render()
            client.socket.transport.abort()
        async with caller.connected(live) as client:
            assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


@pytest.mark.skipif(sys.platform != "linux", reason="the options are Linux's")
def test_accepted_sockets_notice_a_peer_that_is_gone() -> None:
    listener = app.listen("127.0.0.1", 0)
    with listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            timeout_ms = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert timeout_ms == app.PEER_TIMEOUT_S * 1000
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == app.PEER_TIMEOUT_S


async def test_a_live_line_is_pinged(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that routers on the way do not forget it, and TCP has something to be acknowledged."""
    monkeypatch.setattr(app, "PING_INTERVAL_S", 0.05)
    pinged = asyncio.Event()

    class Noticing(ClientConnection):
        def process_event(self, event: object) -> None:
            if isinstance(event, Frame) and event.opcode is Opcode.PING:
                pinged.set()
            super().process_event(event)  # type: ignore[arg-type]

    async with live_server() as live, live.client(create_connection=Noticing) as client:
        await client.start()
        await asyncio.wait_for(pinged.wait(), 10)


async def test_the_client_finds_a_silent_line_and_goes_on_over_another_one(redis_server: RedisServer) -> None:
    """Both ends believe that the old connection is there; the gateway learns of the resume at its next write."""
    store = over(redis_server)
    async with (
        live_server(store=store) as one,
        live_server(store=store) as two,
        balancing(one.server.port, two.server.port) as between,
    ):
        asked = SessionOptions(endpointing=Endpointing(**msgspec.structs.asdict(ENDPOINTING)))
        options = ConnectionOptions(heartbeat_s=0.2)
        session = Session(stream_url(f"127.0.0.1:{between.port}"), ClientProtocol(asked), options)
        await session.open()
        await session.send(pcm(SENTENCES[:28_000]))
        events = []
        async for event in session:
            events.append(event)
            if isinstance(event, TranscriptUpdate) and event.decoded_until_ms >= 1_500 and len(between.pairs) == 1:
                between.pairs[0].silent = True
                await session.send(pcm(SENTENCES[28_000:]))
                await session.stop()
        await session.close()
    assert [event.attempts for event in events if isinstance(event, Reconnected)] == [1]
    assert isinstance(events[-1], Summary)
    assert events[-1].gaps == 0
    whole = Caller()
    async with live_server() as live, whole.connected(live) as client:
        await whole.stop(client)
    heard = [event.text for event in events if isinstance(event, TranscriptUpdate) and event.final]
    assert heard == [message.text for message in whole.heard if isinstance(message, Transcript) and message.final]
