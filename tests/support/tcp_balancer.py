"""A balancer on a loopback port: it hands each connection to the next gateway, and breaks those that it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from random import Random

CHUNK_BYTES = 1 << 16


class Pair:
    """A client's connection and the one to its gateway."""

    def __init__(self, client: asyncio.StreamWriter, gateway: asyncio.StreamWriter, port: int) -> None:
        self.port = port
        """The gateway's."""
        self.silent = False
        """Nothing is forwarded any more, in either direction, and nobody is told."""
        self._ends = (client, gateway)

    def cut(self) -> None:
        for end in self._ends:
            end.transport.abort()


class Balancer:
    def __init__(self, *ports: int) -> None:
        self.ports = list(ports)
        """Of the gateways that take connections."""
        self.port = 0
        self.pairs: list[Pair] = []
        self.taken = 0
        """Connections so far."""

    def cut_one(self, random: Random) -> None:
        if self.pairs:
            random.choice(self.pairs).cut()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        try:
            port = self.ports[self.taken % len(self.ports)]
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", port)
        except (OSError, ZeroDivisionError):
            writer.transport.abort()
            return
        pair = Pair(writer, back_writer, port)
        self.pairs.append(pair)
        ways = [
            asyncio.create_task(_forward(pair, reader, back_writer)),
            asyncio.create_task(_forward(pair, back_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            pair.cut()
            self.pairs.remove(pair)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _forward(pair: Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Up to the end, which is forwarded too. Raises OSError."""
    while data := await reader.read(CHUNK_BYTES):
        if pair.silent:
            await asyncio.Event().wait()
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@contextlib.asynccontextmanager
async def balancing(*ports: int) -> AsyncIterator[Balancer]:
    balancer = Balancer(*ports)
    connections: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await balancer._take(reader, writer)
        finally:
            connections.discard(task)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    balancer.port = server.sockets[0].getsockname()[1]
    try:
        yield balancer
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
