"""The real app on a free loopback port, with the scripted engine and a loudness detector inside; and a bare client."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from inference.pool.fake import FakeEngine
from streaming.app import AppServer, listen, make_app
from streaming.config import AuthSettings, Config, MediaSettings, ServerSettings, StoreSettings, TelephonySettings
from streaming.protocol.messages import (
    Audio,
    AudioFormat,
    ClientMessage,
    Endpointing,
    Ready,
    ServerMessage,
    Start,
    Transcript,
)
from streaming.session.core import DetectorFactory
from streaming.session.service import Service
from streaming.session.settings import SessionSettings
from tests.support.sessions import ENDPOINTING, LoudnessDetector

PATIENCE_S = 20.0
"""Only a broken server takes so long."""

_SERVER_DECODERS: dict[type, msgspec.json.Decoder[ServerMessage] | msgspec.msgpack.Decoder[ServerMessage]] = {
    str: msgspec.json.Decoder(ServerMessage),
    bytes: msgspec.msgpack.Decoder(ServerMessage),
}


@dataclasses.dataclass
class Live:
    service: Service
    engine: FakeEngine
    server: AppServer

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    @property
    def url(self) -> str:
        return f"ws://{self.host}/v1/stream"

    def connect(self, *subprotocols: str, **options: Any) -> connect:
        """A plain WebSocket; offers nothing unless told."""
        return _connect(self.host, *subprotocols, **options)

    def client(self, codec: str = "msgpack", **options: Any) -> contextlib.AbstractAsyncContextManager[Client]:
        return client_at(self.host, codec, **options)


def _connect(host: str, *subprotocols: str, **options: Any) -> connect:
    url = f"ws://{host}/v1/stream"
    return connect(url, subprotocols=list(subprotocols) or None, compression=None, max_size=None, **options)


@contextlib.asynccontextmanager
async def client_at(host: str, codec: str = "msgpack", **options: Any) -> AsyncIterator[Client]:
    """A client of any server. `options`: the socket's."""
    async with _connect(host, f"tympan.v1.{codec}", **options) as socket:
        yield Client(socket, codec)


@contextlib.asynccontextmanager
async def live_server(
    engine: FakeEngine | None = None,
    *,
    session: SessionSettings | None = None,
    store: StoreSettings | None = None,
    auth: AuthSettings | None = None,
    media: MediaSettings | None = None,
    telephony: TelephonySettings | None = None,
    make_detector: DetectorFactory = lambda name: LoudnessDetector(),
    start_engine: bool = True,
    **server_settings: Any,
) -> AsyncIterator[Live]:
    engine = engine or FakeEngine()
    config = Config(
        server=ServerSettings(**server_settings),
        session=session or SessionSettings(),
        store=store or StoreSettings(),
        auth=auth or AuthSettings(),
        media=media or MediaSettings(),
        telephony=telephony or TelephonySettings(),
    )
    service = Service(config, engine=engine, make_detector=make_detector)
    server = AppServer(make_app(service), listen("127.0.0.1", 0))
    running = asyncio.create_task(server.run())
    if start_engine:
        await service.start()
    try:
        yield Live(service, engine, server)
    finally:
        await service.stop()
        server.end()
        await running


class Client:
    """Sends typed messages and keeps all it receives."""

    def __init__(self, socket: ClientConnection, codec: str) -> None:
        self.socket = socket
        self.received: list[ServerMessage] = []
        self._codec = codec

    async def send(self, *messages: ClientMessage) -> None:
        for message in messages:
            if self._codec == "json":
                await self.socket.send(msgspec.json.encode(message).decode())
            else:
                await self.socket.send(msgspec.msgpack.encode(message))

    async def start(self, **options: Any) -> Ready:
        options.setdefault("endpointing", ENDPOINTING)
        await self.send(Start(**options))
        return await self.until(Ready)

    async def send_audio(
        self, data: bytes, frame_bytes: int = 2, *, first_sample: int = 0, step_bytes: int = 32_000
    ) -> None:
        step = step_bytes // frame_bytes * frame_bytes
        for at in range(0, len(data), step):
            await self.send(Audio(first_sample=first_sample + at // frame_bytes, data=data[at : at + step]))

    async def read(self) -> ServerMessage:
        async with asyncio.timeout(PATIENCE_S):
            payload = await self.socket.recv()
        message = _SERVER_DECODERS[type(payload)].decode(payload)
        self.received.append(message)
        return message

    async def until(self, kind: Any, **fields: Any) -> Any:
        """The next message of a kind with these field values."""
        while not _is(message := await self.read(), kind, fields):
            pass
        return message

    async def has(self, kind: Any, **fields: Any) -> Any:
        """The first message of a kind with these field values, whether it is there or still to come."""
        found = next((message for message in self.received if _is(message, kind, fields)), None)
        return found or await self.until(kind, **fields)

    async def rest(self) -> int:
        """Reads on to the end; returns the close code."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.read()
        assert self.socket.close_code is not None
        return self.socket.close_code

    def got(self, kind: Any) -> list[Any]:
        return [message for message in self.received if isinstance(message, kind)]

    @property
    def finals(self) -> list[Transcript]:
        return [message for message in self.got(Transcript) if message.final]


def _is(message: ServerMessage, kind: Any, fields: dict[str, Any]) -> bool:
    return isinstance(message, kind) and all(getattr(message, name) == value for name, value in fields.items())


def pcm(samples: NDArray[np.int16]) -> bytes:
    return samples.astype("<i2").tobytes()


__all__ = ["AudioFormat", "Client", "Endpointing", "Live", "live_server", "pcm"]
