"""A live server with one of its TCP ports."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal

from inference.pool.fake import FakeEngine
from streaming.app import AppServer, listen, make_app
from streaming.config import Config
from streaming.session.service import Service
from tests.support.live import Live
from tests.support.sessions import LoudnessDetector


@contextlib.asynccontextmanager
async def tcp_server(
    config: Config, form: Literal["audiosocket", "wyoming"], port: int = 0
) -> AsyncIterator[tuple[Live, int]]:
    """The server, and the port's number; 0 picks a free one."""
    engine = FakeEngine()
    service = Service(config, engine=engine, make_detector=lambda name: LoudnessDetector())
    line = listen("127.0.0.1", port)
    app, listener = make_app(service), listen("127.0.0.1", 0)
    server = (
        AppServer(app, listener, audiosocket=line) if form == "audiosocket" else AppServer(app, listener, wyoming=line)
    )
    running = asyncio.create_task(server.run())
    await service.start()
    try:
        yield Live(service, engine, server), int(line.getsockname()[1])
    finally:
        await service.stop()
        server.end()
        await running
