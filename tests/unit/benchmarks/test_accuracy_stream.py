"""How clips are sent: against a scripted service on a loopback port that notes what it is told."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.accuracy.clips import Clip, Row
from benchmarks.accuracy.stream import StreamError, StreamSettings, stream_clip
from streaming.protocol.messages import (
    SUBPROTOCOLS,
    Audio,
    AudioFormat,
    ClientMessage,
    Endpointing,
    Error,
    Marker,
    MarkerEcho,
    ModelInfo,
    Ready,
    ServerMessage,
    Start,
    Stop,
    Summary,
)

RATE = 8_000
SAMPLES = (np.arange(RATE * 6 // 5) % 100).astype(np.int16)  # 1.2 s
CLIP = Clip(Row("a.wav", Path("a.wav"), "hello"), SAMPLES, 8_000)
READY = Ready(
    session="s",
    model=ModelInfo(name="m", device="cpu", dtype="fp32"),
    audio=AudioFormat(),
    interim="stable",
    endpointing=Endpointing(),
    max_message_bytes=1 << 20,
)
SUMMARY = Summary(audio_ms=1200, speech_ms=1000, utterances=1, words=1)


def good_answers(message: ClientMessage) -> list[ServerMessage]:
    match message:
        case Start():
            return [READY]
        case Marker(id=name):
            return [MarkerEcho(id=name, sample=0)]
        case Stop():
            return [SUMMARY]
    return []


@dataclass
class ScriptedService:
    answers: Callable[[ClientMessage], list[ServerMessage]]
    heard: list[ClientMessage] = field(default_factory=list)
    url: str = ""

    async def converse(self, socket: ServerConnection) -> None:
        async for payload in socket:
            message = msgspec.msgpack.decode(payload, type=ClientMessage)
            self.heard.append(message)
            for answer in self.answers(message):
                await socket.send(msgspec.msgpack.encode(answer))
            if isinstance(message, Stop):
                return

    @property
    def audio(self) -> list[Audio]:
        return [message for message in self.heard if isinstance(message, Audio)]


@asynccontextmanager
async def service(
    answers: Callable[[ClientMessage], list[ServerMessage]] = good_answers,
) -> AsyncIterator[ScriptedService]:
    scripted = ScriptedService(answers)
    async with serve(scripted.converse, "127.0.0.1", 0, subprotocols=list(SUBPROTOCOLS)) as server:  # type: ignore[list-item]
        port = next(iter(server.sockets)).getsockname()[1]
        scripted.url = f"ws://127.0.0.1:{port}/v1/stream"
        yield scripted


async def test_in_lock_step_each_half_second_waits_for_its_marker() -> None:
    """8 kHz is resampled, so the markers stand 20 ms behind the grid: the service then has the whole block."""
    async with service() as scripted:
        exchange = await stream_clip(CLIP, StreamSettings(scripted.url), "lock_step")
    sent = 0
    markers_at_ms = []
    for message in scripted.heard:
        sent += len(message.data) // 2 if isinstance(message, Audio) else 0
        if isinstance(message, Marker):
            markers_at_ms.append(sent * 1000 // RATE)
    assert markers_at_ms == [520, 1020]
    assert exchange.summary == SUMMARY


async def test_every_sample_is_sent_once_and_in_order() -> None:
    async with service() as scripted:
        await stream_clip(CLIP, StreamSettings(scripted.url, chunk_ms=33), "at_once")
    assert b"".join(message.data for message in scripted.audio) == SAMPLES.astype("<i2").tobytes()
    ends = np.cumsum([len(message.data) // 2 for message in scripted.audio])
    assert [message.first_sample for message in scripted.audio] == [0, *ends[:-1]]


async def test_chunks_of_zero_ms_are_as_large_as_the_service_takes() -> None:
    async with service() as scripted:
        await stream_clip(CLIP, StreamSettings(scripted.url, chunk_ms=0), "at_once")
    assert len(scripted.audio) == 1


async def test_in_real_time_no_chunk_is_sent_before_it_was_spoken() -> None:
    """Every chunk goes out once its last sample's time has come; 1.5 s of silence follow the clip."""
    short = Clip(CLIP.row, SAMPLES[: RATE // 10], 8_000)
    async with service() as scripted:
        exchange = await stream_clip(short, StreamSettings(scripted.url), "real_time")
    begin_s = exchange.received[0].at_s
    assert all(sent.at_s - begin_s >= sent.until_ms / 1000 - 1e-3 for sent in exchange.sent)
    assert exchange.sent[-1].until_ms == 1600


async def test_an_error_message_ends_the_clip_with_its_code() -> None:
    def refuse(message: ClientMessage) -> list[ServerMessage]:
        return [Error(code="overloaded", message="too many sessions")]

    async with service(refuse) as scripted:
        with pytest.raises(StreamError, match=r"a\.wav: overloaded: too many sessions"):
            await stream_clip(CLIP, StreamSettings(scripted.url), "lock_step")


async def test_a_session_that_breaks_off_is_an_error() -> None:
    def forget_the_summary(message: ClientMessage) -> list[ServerMessage]:
        return [] if isinstance(message, Stop) else good_answers(message)

    async with service(forget_the_summary) as scripted:
        with pytest.raises(StreamError, match="without a summary"):
            await stream_clip(CLIP, StreamSettings(scripted.url), "at_once")


async def test_an_answer_that_never_comes_is_an_error() -> None:
    def say_nothing(message: ClientMessage) -> list[ServerMessage]:
        return []

    async with service(say_nothing) as scripted:
        with pytest.raises(StreamError, match=r"a\.wav: no answer within 0.05 s"):
            await stream_clip(CLIP, StreamSettings(scripted.url, patience_s=0.05), "at_once")
