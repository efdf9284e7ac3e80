"""A service that says what a script says, for tests of the benchmarks' clients; it notes what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.accuracy.clips import Clip, Row
from streaming.protocol.messages import (
    SUBPROTOCOLS,
    Audio,
    AudioFormat,
    ClientMessage,
    Endpointing,
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
