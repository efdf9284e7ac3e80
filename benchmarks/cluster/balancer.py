"""A TCP balancer in this process: bytes pass through, each new connection goes to the next gateway that is ready.

It asks each gateway for `/readyz` as the HAProxy of deploy/ does, and answers 503 itself where none is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence

from benchmarks.cluster.gateway import GatewayProcess
from benchmarks.cluster.process import HOST

CHECK_EACH_S = 0.5
CONNECT_S = 1.0
CHUNK_BYTES = 64 << 10
NONE_READY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Balancer:
    """Order of calls: `start`, `cut` at any time, `close`."""

    def __init__(self, gateways: Sequence[GatewayProcess]) -> None:
        self.port = 0
        """Once it is started."""
        self._gateways = gateways
        self._ready: set[str] = set()
        self._turn = 0
        self._links: dict[asyncio.Task[None], str] = {}
        self._server: asyncio.Server | None = None
        self._checks: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    @property
    def links(self) -> int:
        """Connections that are open."""
        return len(self._links)

    async def start(self) -> None:
        """Returns when it has asked each gateway once."""
        await asyncio.gather(*(self._ask(gateway) for gateway in self._gateways))
        self._checks = [asyncio.create_task(self._check(gateway)) for gateway in self._gateways]
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def cut(self, share: float, random: random.Random) -> int:
        """Ends so many of the connections without a word to either side; returns how many."""
        links = list(self._links)
        chosen = random.sample(links, max(1, round(share * len(links)))) if links else []
        for link in chosen:
            link.cancel()
        return len(chosen)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = [*self._checks, *self._links]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _check(self, gateway: GatewayProcess) -> None:
        while True:
            await asyncio.sleep(CHECK_EACH_S)
            await self._ask(gateway)

    async def _ask(self, gateway: GatewayProcess) -> None:
        if await gateway.ready():
            self._ready.add(gateway.name)
        else:
            self._ready.discard(gateway.name)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links[task] = ""
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._pass(reader, writer)
        finally:
            del self._links[task]
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = await self._connect()
        if found is None:
            writer.write(NONE_READY)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            return
        far_reader, far_writer = found
        ways = [asyncio.create_task(_pump(reader, far_writer)), asyncio.create_task(_pump(far_reader, writer))]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
            for way in done:
                way.result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            far_writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self._gateways:
            gateway = self._gateways[self._turn % len(self._gateways)]
            self._turn += 1
            if gateway.name not in self._ready:
                continue
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await asyncio.open_connection(HOST, gateway.port)
            except (OSError, TimeoutError):
                self._ready.discard(gateway.name)
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side has no more to say, which the other side is told."""
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
