"""A service of a benchmark's own making, on a loopback port until a signal ends it."""

from __future__ import annotations

import asyncio
import signal

from streaming.app import AppServer, listen, make_app
from streaming.session.service import Service

HOST = "127.0.0.1"


async def serve_until_signal(service: Service, about: str, *, port: int = 0, drain: bool = False) -> None:
    """Starts the service and prints the ready line of `tympan serve`; returns after SIGTERM or SIGINT.

    Args:
        about: what the ready line says of the service, in brackets.
        port: 0 picks a free one.
        drain: sessions may go on elsewhere first, as in `tympan serve`.
    Raises:
        EngineStartError: the engine could not be started.
    """
    server = AppServer(make_app(service), listen(HOST, port))
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await service.start()
    serving = asyncio.create_task(server.run())
    print(f"Tympan is ready: http://{HOST}:{server.port}/ ({about})", flush=True)
    await ended.wait()
    if drain:
        await service.drain(service.config.server.drain_timeout_s)
    await service.stop()
    server.end()
    await serving
