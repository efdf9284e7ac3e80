"""Gateways that run no session, over a store that a test writes; and their viewers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from inference.pool.fake import FakeEngine
from session_store.store import SessionStore
from streaming.app import AppServer, listen, make_app
from streaming.config import Config, ServerSettings
from streaming.session.service import Service
from tests.support.logs import SESSION
from tests.support.sessions import LoudnessDetector

PATIENCE_S = 10.0


class ServiceOver(Service):
    """A gateway that runs no session: all it knows is in the store."""

    def __init__(self, store: SessionStore, **server_settings: Any) -> None:
        config = Config(server=ServerSettings(**server_settings))
        super().__init__(config, engine=FakeEngine(), make_detector=lambda name: LoudnessDetector())
        self._other_store = store

    @property
    def store(self) -> SessionStore:
        return self._other_store


@dataclass
class Door:
    """Where viewers come in: a gateway, or a balancer before several."""

    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def viewer(
        self, codec: str = "json", session: str = SESSION, query: str = "", **options: Any
    ) -> AsyncIterator[Viewer]:
        url = f"ws://{self.host}/v1/sessions/{session}/watch{query}"
        async with connect(url, subprotocols=[f"tympan.v1.{codec}"], compression=None, **options) as opened:  # type: ignore[list-item]
            yield Viewer(opened)

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://{self.host}", timeout=PATIENCE_S)


@dataclass
class Gateway(Door):
    server: AppServer
    service: Service


class Viewer:
    def __init__(self, opened: ClientConnection) -> None:
        self.socket = opened

    async def read(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            payload = await self.socket.recv()
        decoded: dict[str, Any] = json.loads(payload) if isinstance(payload, str) else msgspec.msgpack.decode(payload)
        return decoded

    async def rest(self) -> tuple[list[dict[str, Any]], int | None]:
        """What else comes, and the close code."""
        messages = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                messages.append(await self.read())
        return messages, self.socket.close_code


@contextlib.asynccontextmanager
async def gateway(store: SessionStore, **server_settings: Any) -> AsyncIterator[Gateway]:
    service = ServiceOver(store, **server_settings)
    server = AppServer(make_app(service), listen("127.0.0.1", 0))
    running = asyncio.create_task(server.run())
    try:
        yield Gateway(server.port, server, service)
    finally:
        server.end()
        await running
        await service.stop()
