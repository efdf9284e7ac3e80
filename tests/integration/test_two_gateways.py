"""Two gateways behind a balancer over one Redis, and clients on lines that break: everybody reads every word once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from tympan_client import ConnectionOptions, Event, Reconnected, Session, SessionOptions, Summary, TranscriptUpdate
from tympan_client.address import stream_url
from tympan_client.link import Clock
from tympan_client.protocol import ClientProtocol

from streaming.app import AppServer, listen, make_app
from streaming.config import Config, EngineSettings, StoreSettings
from streaming.session.service import Service
from tests.support.callers import over
from tests.support.clips import read_clip
from tests.support.live import Live, live_server
from tests.support.polling import eventually
from tests.support.redis_server import RedisServer
from tests.support.tcp_balancer import Balancer, balancing
from tests.support.worlds import ListeningEngine
from vad import make_detector

CHUNK_SAMPLES = 1_600
FASTER = 8
"""Than it was spoken."""
HURRIED = Clock(sleep=lambda seconds: asyncio.sleep(seconds / 20))
"""A client's pauses before it connects again are as long as a test has time for."""


async def talk(port: int, pcm: np.ndarray[Any, np.dtype[np.int16]], *, faster: float = FASTER) -> list[Event]:
    """All that a client hears of a clip."""

    async def chunks() -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for at in range(0, len(pcm), CHUNK_SAMPLES):
            await asyncio.sleep(max(0.0, begin + at / 16_000 / faster - loop.time()))
            yield pcm[at : at + CHUNK_SAMPLES].tobytes()

    options = ConnectionOptions(connect_window_s=30.0)
    session = Session(stream_url(f"127.0.0.1:{port}"), ClientProtocol(SessionOptions()), options, HURRIED)
    await session.open()
    try:
        return [event async for event in session.stream(chunks())]
    finally:
        await session.close()


def finals(events: list[Event]) -> list[tuple[Any, ...]]:
    """Each once, in the order in which they came."""
    said = [event for event in events if isinstance(event, TranscriptUpdate) and event.final]
    assert len({final.utterance for final in said}) == len(said)
    assert isinstance(events[-1], Summary)
    assert events[-1].gaps == 0
    return [
        (final.utterance, final.text, *((word.text, word.start_ms, word.end_ms) for word in final.words))
        for final in said
    ]


def resumed(events: list[Event]) -> int:
    return sum(isinstance(event, Reconnected) for event in events)


def listening(store: StoreSettings | None = None) -> contextlib.AbstractAsyncContextManager[Live]:
    """A gateway with the real detectors, whose words are made of the samples."""
    return live_server(ListeningEngine(0.005), store=store, make_detector=make_detector)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray[Any, np.dtype[np.int16]]]:
    return [read_clip(name)[0][: 16 * 16_000] for name in ("prose.flac", "pause.flac", "question.flac", "numbers.flac")]


@pytest.fixture(scope="module")
def undisturbed(clips: list[Any]) -> list[list[tuple[Any, ...]]]:
    """The finals of each clip over a line that holds."""

    async def hear() -> list[list[Event]]:
        async with listening() as live:
            return await asyncio.gather(*(talk(live.server.port, clip, faster=1_000) for clip in clips))

    return [finals(events) for events in asyncio.run(hear())]


async def while_running(act: Callable[[], Awaitable[None]], talking: asyncio.Future[Any]) -> None:
    """Acts again and again until it is over."""
    while not talking.done():
        await act()


@pytest.mark.parametrize("seed", [1, 2])
async def test_lines_that_break_at_random_change_no_word(
    redis_server: RedisServer, clips: list[Any], undisturbed: list[Any], seed: int
) -> None:
    random = Random(seed)
    store = over(redis_server)
    async with listening(store) as one, listening(store) as two, balancing(one.server.port, two.server.port) as between:

        async def cut() -> None:
            await asyncio.sleep(random.uniform(0.02, 0.2))
            between.cut_one(random)

        talking = asyncio.gather(*(talk(between.port, clip) for clip in clips))
        await while_running(cut, talking)
        heard = await talking
    assert sum(map(resumed, heard)) >= 5
    assert [finals(events) for events in heard] == undisturbed


async def test_a_rolling_restart_under_load_drops_nothing(
    redis_server: RedisServer, clips: list[Any], undisturbed: list[Any]
) -> None:
    """Each gateway in turn is taken out, drained and replaced. No client sees an error."""
    store = over(redis_server)
    async with contextlib.AsyncExitStack() as stack, balancing() as between:
        olds = [await stack.enter_async_context(listening(store)) for _ in range(2)]
        between.ports = [old.server.port for old in olds]
        talking = asyncio.gather(*(talk(between.port, clip, faster=FASTER / 2) for clip in clips))
        for old in olds:
            await _busy(old)
            between.ports.remove(old.server.port)
            await old.service.drain(0.4)
            await old.service.stop()
            new = await stack.enter_async_context(listening(store))
            between.ports.append(new.server.port)
        heard = await talking
    assert all(map(resumed, heard))
    assert [finals(events) for events in heard] == undisturbed


async def _busy(live: Live) -> None:
    async def has_sessions() -> bool:
        return bool(live.service.sessions)

    await eventually(has_sessions)


async def test_a_gateway_that_dies_leaves_its_sessions_to_the_other(
    redis_server: RedisServer, clips: list[Any], undisturbed: list[Any]
) -> None:
    """Without a goodbye: its sockets are gone, and what it was about to write too."""
    store = over(redis_server)
    async with listening(store) as one, listening(store) as two, balancing(one.server.port, two.server.port) as between:
        talking = asyncio.gather(*(talk(between.port, clip) for clip in clips))
        await _busy(one)
        await _busy(two)
        await asyncio.sleep(0.3)
        await _die(one, between)
        heard = await talking
    assert sum(map(resumed, heard)) >= 1
    assert [finals(events) for events in heard] == undisturbed


async def _die(live: Live, between: Balancer) -> None:
    between.ports.remove(live.server.port)
    await live.service.store.aclose()
    for pair in list(between.pairs):
        if pair.port == live.server.port:
            pair.cut()


async def test_the_real_model_says_the_same_words_over_a_line_that_breaks(redis_server: RedisServer) -> None:
    samples, _ = read_clip("question.flac")
    async with contextlib.AsyncExitStack() as stack:
        gateways = [stack.enter_async_context(_with_model(over(redis_server))) for _ in range(2)]
        ports = await asyncio.gather(*gateways)
        between = await stack.enter_async_context(balancing(*ports))
        random = Random(3)

        async def cut() -> None:
            await asyncio.sleep(random.uniform(0.4, 0.8))
            between.cut_one(random)

        talking = asyncio.ensure_future(talk(between.port, samples, faster=2))
        await while_running(cut, talking)
        heard = await talking
        whole = await talk(ports[0], samples, faster=4)
    assert resumed(heard) >= 2
    assert finals(heard) == finals(whole)


@contextlib.asynccontextmanager
async def _with_model(store: StoreSettings) -> AsyncIterator[int]:
    """A gateway's port."""
    engine = EngineSettings(device="cpu", workers=1, precision="float32")
    service = Service(Config(engine=engine, store=store))
    server = AppServer(make_app(service), listen("127.0.0.1", 0))
    running = asyncio.create_task(server.run())
    try:
        await service.start()
        yield server.port
    finally:
        await service.stop()
        server.end()
        await running
