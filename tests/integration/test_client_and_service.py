"""The published client against the real service: over a socket, blocking, and in place; the same words everywhere."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Callable

import pytest
from tympan_client import (
    AudioFormat,
    Endpointing,
    Event,
    MarkerReached,
    SessionOptions,
    Speech,
    Summary,
    SyncTympanClient,
    Transcript,
    TranscriptUpdate,
    TympanClient,
    TympanError,
)

from inference.pool.fake import FakeEngine
from inference.pool.interface import EngineInfo, EngineStartError
from streaming.cli.backend import in_place, open_backend
from streaming.cli.errors import UserError
from streaming.config import Config
from streaming.session.service import Service
from tests.support.live import live_server
from tests.support.sessions import LoudnessDetector, speech

OPTIONS = SessionOptions(endpointing=Endpointing(min_silence_ms=500, min_speech_ms=64))
PCM = speech((0.5, 3.0), (4.0, 5.5), total_s=7.0).tobytes()
AS_OPTIONS = {field.name: getattr(OPTIONS, field.name) for field in dataclasses.fields(OPTIONS)}


async def source() -> AsyncGenerator[bytes, None]:
    for at in range(0, len(PCM), 3200):
        yield PCM[at : at + 3200]


def finals(events: list[Event]) -> list[tuple[int, str, int, int]]:
    """(utterance, text, start, end) of each final, through the assembler."""
    transcript = Transcript()
    for event in events:
        if isinstance(event, TranscriptUpdate):
            utterance = transcript.apply(event)
            if event.final:
                assert utterance.text == event.text
    return [(u.id, u.text, u.words[0].start_ms, u.words[-1].end_ms) for u in transcript.finals]


def scripted_service(engine: FakeEngine) -> Service:
    return Service(Config(), engine=engine, make_detector=lambda name: LoudnessDetector())


async def over_async_client(codec: str) -> list[Event]:
    async with live_server() as live:
        return [event async for event in TympanClient(live.host, codec=codec).stream(PCM, **AS_OPTIONS)]


async def over_blocking_client(codec: str) -> list[Event]:
    async with live_server() as live:
        client = SyncTympanClient(live.host, codec=codec)
        return await asyncio.to_thread(lambda: list(client.stream(PCM, **AS_OPTIONS)))


async def over_backend(codec: str) -> list[Event]:
    async with live_server() as live, open_backend(live.host, Config()) as backend:
        return [event async for event in backend.stream(source(), OPTIONS)]


async def in_this_process(codec: str) -> list[Event]:
    async with in_place(scripted_service(FakeEngine())) as backend:
        return [event async for event in backend.stream(source(), OPTIONS)]


@pytest.mark.parametrize("codec", ["msgpack", "json"])
@pytest.mark.parametrize("way", [over_blocking_client, over_backend, in_this_process])
async def test_every_way_gives_the_words_of_the_async_client(way: Callable, codec: str) -> None:
    expected = finals(await over_async_client(codec))
    assert len(expected) == 2
    events = await way(codec)
    assert finals(events) == expected
    assert isinstance(events[-1], Summary)


async def test_a_session_is_steered_over_the_socket() -> None:
    async with live_server() as live, TympanClient(live.host).connect(**AS_OPTIONS) as session:
        await session.send(PCM[: 2 * 16_000 * 2])
        await session.marker("so far")
        await session.finalize()
        await session.configure(interim="off")
        await session.stop()
        events = [event async for event in session]
    assert [event.sample for event in events if isinstance(event, MarkerReached)] == [32_000]
    ended = next(event for event in events if isinstance(event, Speech) and event.state == "ended")
    assert ended.rule == "finalize"


async def test_the_servers_refusal_names_the_field() -> None:
    async with live_server() as live:
        with pytest.raises(TympanError, match=r"\$\.audio\.sample_rate") as error:
            async with TympanClient(live.host, audio=AudioFormat(sample_rate=12_345)).connect():
                pass
    assert error.value.code == "unsupported"


async def test_a_refusal_in_place_is_the_same() -> None:
    async with in_place(scripted_service(FakeEngine())) as backend:
        refused = backend.stream(source(), SessionOptions(audio=AudioFormat(sample_rate=12_345)))
        with pytest.raises(TympanError, match=r"\$\.audio\.sample_rate"):
            await anext(refused)


@pytest.mark.parametrize("served", [True, False])
async def test_what_the_source_raises_comes_out_as_it_is(served: bool) -> None:
    async def unplugged() -> AsyncGenerator[bytes, None]:
        yield PCM[:3200]
        raise UserError("the microphone was unplugged")

    async with live_server() as live:
        backend_context = open_backend(live.host, Config()) if served else in_place(scripted_service(FakeEngine()))
        async with backend_context as backend:
            with pytest.raises(UserError, match="unplugged"):
                [event async for event in backend.stream(unplugged(), OPTIONS)]


async def test_a_model_that_does_not_start_is_one_sentence_in_place() -> None:
    class Missing(FakeEngine):
        async def start(self) -> EngineInfo:
            raise EngineStartError("There is no model.")

    with pytest.raises(UserError, match=r"^There is no model\.$"):
        async with in_place(scripted_service(Missing())):
            pass


async def test_a_server_that_is_full_says_when_to_come_again() -> None:
    async with live_server(max_sessions=1) as live, TympanClient(live.host).connect():
        with pytest.raises(TympanError) as error:
            async with TympanClient(live.host).connect():
                pass
    assert (error.value.code, error.value.retryable) == ("overloaded", True)
    assert error.value.retry_after_ms
