"""Both shells of the client over connections that break: one stream of events, and nothing lost that could be kept."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest
from tympan_client import (
    AudioFormat,
    ConnectionLost,
    ConnectionOptions,
    Event,
    GoAway,
    MarkerReached,
    Ready,
    Reconnected,
    Reconnecting,
    Session,
    SessionOptions,
    Summary,
    SyncTympanClient,
    TympanClient,
    TympanError,
)
from tympan_client.address import stream_url
from tympan_client.link import Clock
from tympan_client.protocol import ClientProtocol

from streaming.protocol import messages
from tests.support.resumable_server import Connection, ResumableServer, serving

RATE = 16_000
PCM = np.arange(4 * RATE, dtype=np.int16)


def refusal(code: str, *, retryable: bool = True, retry_after_ms: int | None = None) -> messages.Error:
    return messages.Error(code=code, message="no", retryable=retryable, retry_after_ms=retry_after_ms)


async def stream_async(url: str, source: object, **options: object) -> list[Event]:
    codec = options.pop("codec", "msgpack")
    return [event async for event in TympanClient(url, codec=codec).stream(source, **options)]


async def stream_sync(url: str, source: object, **options: object) -> list[Event]:
    codec = options.pop("codec", "msgpack")
    return await asyncio.to_thread(lambda: list(SyncTympanClient(url, codec=codec).stream(source, **options)))


both = pytest.mark.parametrize("stream", [stream_async, stream_sync])


def check_whole(server: ResumableServer, events: list[Event], pcm: bytes = PCM.tobytes()) -> None:
    """All audio arrived once, and each numbered message was told once, up to the summary."""
    assert server.state.pcm == pcm
    assert server.state.gaps == []
    numbered = [event.seq for event in events if event.seq > 0]
    assert numbered == list(range(1, len(numbered) + 1))
    assert isinstance(events[-1], Summary)
    assert sum(isinstance(event, Ready) for event in events) == 1


@both
@pytest.mark.parametrize("codec", ["msgpack", "json"])
async def test_a_cut_in_the_middle_is_only_told_of(stream: Callable, codec: str) -> None:
    server = ResumableServer(Connection(cut_at=RATE + 100), Connection(cut_at=2 * RATE + 300))
    async with serving(server) as url:
        events = await stream(url, PCM, codec=codec)
    check_whole(server, events)
    said = [event for event in events if isinstance(event, Reconnecting | Reconnected)]
    assert [type(event) for event in said] == [Reconnecting, Reconnected, Reconnecting, Reconnected]
    assert (said[0].reason, said[0].attempt, said[1]) == ("connection_lost", 1, Reconnected(attempts=1, lost_s=0.0))
    assert server.starts[1].resume == messages.Resume(session="s", token="t", last_seq=server.starts[1].resume.last_seq)


@both
async def test_a_cut_after_stop_still_ends_with_the_summary(stream: Callable) -> None:
    server = ResumableServer(Connection(cut_on_stop=True))
    async with serving(server) as url:
        check_whole(server, await stream(url, PCM))


@both
async def test_a_refusal_is_waited_for_as_long_as_it_says(stream: Callable) -> None:
    server = ResumableServer(Connection(cut_at=RATE), Connection(refusal=refusal("overloaded", retry_after_ms=150)))
    async with serving(server) as url:
        events = await stream(url, PCM)
    check_whole(server, events)
    _, refused = (event for event in events if isinstance(event, Reconnecting))
    assert (refused.reason, refused.attempt) == ("overloaded", 2)
    assert refused.delay_s >= 0.15
    assert Reconnected(attempts=2, lost_s=0.0) in events


@pytest.mark.parametrize("code", ["draining", "slow_reader"])
async def test_an_error_that_may_pass_is_a_loss_like_others(code: str) -> None:
    server = ResumableServer(Connection(error_at=RATE, error=refusal(code)))
    async with serving(server) as url:
        events = await stream_async(url, PCM)
    check_whole(server, events)
    assert [event.reason for event in events if isinstance(event, Reconnecting)] == [code]


@both
async def test_a_server_that_falls_silent_is_found_by_its_heartbeat(stream: Callable) -> None:
    server = ResumableServer(Connection(silent_at=RATE))
    async with serving(server) as url:
        check_whole(server, await stream(url, PCM, heartbeat_s=0.1))


async def test_so_is_one_that_takes_nothing_more_of_a_lot_of_audio() -> None:
    """A ping waits behind the audio that the socket does not take; its time runs all the same."""
    server = ResumableServer(Connection(silent_at=1000))
    pcm = bytes(2 * 48_000 * 29)
    async with serving(server) as url:
        events = await stream_async(url, pcm, audio=AudioFormat(sample_rate=48_000), heartbeat_s=0.2)
    check_whole(server, events, pcm)


@both
async def test_the_client_leaves_a_server_that_drains_before_its_deadline(stream: Callable) -> None:
    server = ResumableServer(Connection(goaway_at=RATE // 2), deadline_ms=600)
    async with serving(server) as url:
        events = await stream(url, PCM[: RATE * 3 // 2], realtime=True)
    check_whole(server, events, PCM[: RATE * 3 // 2].tobytes())
    assert server.left_in_time
    assert any(isinstance(event, GoAway) for event in events)
    assert [event.reason for event in events if isinstance(event, Reconnecting)] == ["goaway"]


@both
@pytest.mark.parametrize("code", ["no_session", "unauthorized"])
async def test_a_session_that_is_gone_is_raised(stream: Callable, code: str) -> None:
    server = ResumableServer(Connection(cut_at=RATE), Connection(refusal=refusal(code, retryable=False)))
    async with serving(server) as url:
        with pytest.raises(TympanError, match=code):
            await stream(url, PCM)
    assert len(server.starts) == 2


async def test_a_session_that_another_connection_took_is_left_to_it() -> None:
    server = ResumableServer(Connection(error_at=RATE, error=refusal("taken_over", retryable=False)))
    async with serving(server) as url:
        with pytest.raises(TympanError, match="taken_over"):
            await stream_async(url, PCM)
    assert len(server.starts) == 1


@both
async def test_without_reconnect_a_loss_is_raised(stream: Callable) -> None:
    server = ResumableServer(Connection(cut_at=RATE))
    async with serving(server) as url:
        with pytest.raises(ConnectionLost):
            await stream(url, PCM, reconnect=False)


@both
async def test_the_first_connection_is_tried_again_only_where_it_is_asked_for(stream: Callable) -> None:
    server = ResumableServer(*[Connection(refusal=refusal("draining")) for _ in range(3)])
    async with serving(server) as url:
        with pytest.raises(TympanError, match="draining"):
            await stream(url, PCM)
        events = await stream(url, PCM, connect_window_s=20.0)
    assert len(server.starts) == 4
    assert isinstance(events[0], Ready)


class HandClock:
    """Sleeps end when the test says so; the time is what was slept."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.sleeping = asyncio.Event()
        self.wake = asyncio.Event()
        self.clock = Clock(now=lambda: self.now_s, sleep=self.sleep, chance=lambda: 0.5)

    async def sleep(self, seconds: float) -> None:
        self.sleeping.set()
        await self.wake.wait()
        self.now_s += seconds


@asynccontextmanager
async def session_at(
    url: str, clock: Clock, *, unacknowledged_s: float = 30.0, **options: object
) -> AsyncIterator[Session]:
    protocol = ClientProtocol(SessionOptions(), unacknowledged_s=unacknowledged_s)
    session = Session(stream_url(url), protocol, ConnectionOptions(**options), clock)
    await session.open()
    try:
        yield session
    finally:
        await session.close()


async def test_it_gives_up_after_the_window_with_the_last_error() -> None:
    hand = HandClock()
    events: list[Event] = []

    async def collect(session: Session) -> None:
        async for event in session:
            events.append(event)

    async with AsyncExitStack() as stack:
        async with serving(ResumableServer(Connection(cut_at=RATE))) as url:
            session = await stack.enter_async_context(session_at(url, hand.clock, resume_window_s=60.0))
            await session.send(PCM)
            await hand.sleeping.wait()
        hand.wake.set()
        with pytest.raises(TympanError, match="no server answers"):
            await collect(session)
        with pytest.raises(TympanError, match="no server answers"):
            await session.send(PCM)
    tried = [event for event in events if isinstance(event, Reconnecting)]
    assert [event.attempt for event in tried] == list(range(1, len(tried) + 1))
    delays = [event.delay_s for event in tried]
    assert delays[:5] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert set(delays[5:-1]) == {2.5}
    assert sum(delays) == pytest.approx(60.0)


@pytest.mark.parametrize("overflow", [None, "drop"])
async def test_a_microphone_never_waits_for_a_connection(overflow: str | None) -> None:
    """What is older than the ring is lost, as the gap says; the clock goes on over it."""
    hand = HandClock()
    server = ResumableServer(Connection(cut_at=RATE))
    async with (
        serving(server) as url,
        session_at(url, hand.clock, unacknowledged_s=2.0, on_overflow=overflow) as session,
    ):
        await session.send(PCM[:RATE])
        await hand.sleeping.wait()
        for _ in range(4):
            await session.send(PCM[:RATE])
        await session.marker("here")
        hand.wake.set()
        await session.stop()
        events = [event async for event in session]
    assert server.state.gaps == [(0, 3 * RATE)]
    assert server.state.position == 5 * RATE
    assert Reconnected(attempts=1, lost_s=3.0) in events
    assert [event.sample for event in events if isinstance(event, MarkerReached)] == [5 * RATE]


async def test_a_file_waits_for_the_connection_where_no_more_can_be_kept() -> None:
    hand = HandClock()
    server = ResumableServer(Connection(cut_at=RATE))
    async with (
        serving(server) as url,
        session_at(url, hand.clock, unacknowledged_s=1.0, on_overflow="wait") as session,
    ):
        sending = asyncio.create_task(session.send(np.tile(PCM[:RATE], 4)))
        await hand.sleeping.wait()
        await asyncio.sleep(0.05)
        assert not sending.done()
        hand.wake.set()
        await sending
        await session.stop()
        check_whole(server, [event async for event in session], PCM[:RATE].tobytes() * 4)


async def test_commands_go_to_their_places_over_a_cut() -> None:
    hand = HandClock()
    server = ResumableServer(Connection(cut_at=RATE))
    async with serving(server) as url, session_at(url, hand.clock) as session:
        await session.send(PCM[: RATE // 4])
        await session.marker("early")
        await session.send(PCM[: RATE * 3 // 4])
        await hand.sleeping.wait()
        await session.finalize()
        await session.send(PCM[:RATE])
        await session.configure(interim="off")
        hand.wake.set()
        await session.stop()
        events = [event async for event in session]
    assert server.state.commands == [
        (RATE // 4, messages.Marker(id="early")),
        (RATE, messages.Finalize()),
        (2 * RATE, messages.Configure(interim="off")),
        (2 * RATE, messages.Stop()),
    ]
    assert [event.id for event in events if isinstance(event, MarkerReached)] == ["early"]


async def test_a_session_may_be_left_while_it_reconnects_and_leaves_nothing_behind() -> None:
    hand = HandClock()
    async with serving(ResumableServer(Connection(cut_at=RATE))) as url:
        async with session_at(url, hand.clock) as session:
            await session.send(PCM[:RATE])
            await hand.sleeping.wait()
        running = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]
        assert [name for name in running if name.startswith(("Session.", "Link."))] == []
        with pytest.raises(TympanError, match="bad_use"):
            await session.send(PCM[:RATE])


async def test_leaving_a_server_that_is_silent_does_not_take_long() -> None:
    server = ResumableServer(Connection(silent_at=1000))
    async with serving(server) as url:
        async with TympanClient(url).connect(audio=AudioFormat(sample_rate=48_000)) as session:
            await session.send(bytes(2 * 48_000 * 29))
            await asyncio.sleep(0.1)
            begin = time.monotonic()
        assert time.monotonic() - begin < 4.0
