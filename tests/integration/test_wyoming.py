"""Wyoming's own client at a live server's TCP port: captions of what it sends, and refusals that it understands."""

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from wyoming.asr import Transcribe, Transcript, TranscriptChunk
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info

from streaming.config import Config, ServerSettings, WyomingSettings
from tests.support.live import Live
from tests.support.polling import eventually
from tests.support.sessions import speech
from tests.support.tcp_ports import tcp_server

VOICE = speech((0.5, 2.5), total_s=4.0)


def wyoming_server(**settings: Any) -> AbstractAsyncContextManager[tuple[Live, int]]:
    """A server, and its Wyoming port."""
    config = Config(server=ServerSettings(max_sessions=1), wyoming=WyomingSettings(**settings))
    return tcp_server(config, "wyoming")


async def send(client: AsyncClient, samples: NDArray[np.int16], rate: int = 16_000) -> None:
    await client.write_event(AudioStart(rate, 2, 1).event())
    for first in range(0, len(samples), 1024):
        piece = samples[first : first + 1024].astype("<i2").tobytes()
        await client.write_event(AudioChunk(rate, 2, 1, piece).event())
    await client.write_event(AudioStop().event())


async def answers(client: AsyncClient) -> list[Event]:
    """All events until the server closes."""
    found = []
    async with asyncio.timeout(20):
        while (event := await client.read_event()) is not None:
            found.append(event)
    return found


def connected(port: int) -> AsyncClient:
    return AsyncClient.from_uri(f"tcp://127.0.0.1:{port}")


@pytest.mark.parametrize("rate", [16_000, 22_050])
async def test_its_client_reads_the_captions(rate: int) -> None:
    voice = speech((0.5, 2.5), (5.0, 6.0), total_s=8.0, rate=rate)
    async with wyoming_server() as (_, port):
        async with connected(port) as client:
            await client.write_event(Transcribe(language="en").event())
            await send(client, voice, rate)
            events = await answers(client)
        assert [event.type for event in events if event.type.startswith("voice")] == [
            "voice-started",
            "voice-stopped",
        ] * 2
        pieces = [TranscriptChunk.from_event(event).text for event in events if TranscriptChunk.is_type(event.type)]
        assert len(pieces) == 2
        assert Transcript.from_event(events[-1]).text == "".join(pieces)


async def test_it_is_told_what_runs_here() -> None:
    async with wyoming_server() as (live, port), connected(port) as client:
        await client.write_event(Describe().event())
        event = await client.read_event()
        assert event is not None
        (program,) = Info.from_event(event).asr
        assert live.service.info is not None
        assert [model.name for model in program.models] == [live.service.info.model]
        await send(client, VOICE)
        assert Transcript.is_type((await answers(client))[-1].type)


async def test_a_full_server_says_so() -> None:
    async with wyoming_server() as (live, port), connected(port) as first:

        async def admitted() -> bool:
            return len(live.service.sessions) == 1

        await first.write_event(AudioStart(16_000, 2, 1).event())
        await eventually(admitted)
        async with connected(port) as second:
            (event,) = await answers(second)
            assert Error.from_event(event).code == "overloaded"


async def test_a_mistake_is_explained() -> None:
    async with wyoming_server() as (_, port), connected(port) as client:
        await client.write_event(AudioStart(16_000, 3, 1).event())
        (event,) = await answers(client)
        assert "width" in Error.from_event(event).text


async def test_others_may_not_connect() -> None:
    async with wyoming_server(peers=("10.9.9.0/24",)) as (_, port), connected(port) as client:
        assert await answers(client) == []


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\n", b"x" * 300_000])
async def test_what_is_no_wyoming_does_no_harm(garbage: bytes) -> None:
    async with wyoming_server() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            writer.write(garbage)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 20)
        writer.close()
        async with connected(port) as client:
            await send(client, VOICE)
            assert Transcript.is_type((await answers(client))[-1].type)
