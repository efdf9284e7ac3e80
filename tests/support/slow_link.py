"""A slow line to a server on this machine: so many bytes a second each way, and everything late."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

PIECE_BYTES = 4096


@contextlib.asynccontextmanager
async def slow_link(port: int, *, bytes_per_s: float, delay_s: float) -> AsyncIterator[int]:
    """A port that leads to the other one. All connections share the line, as on a telephone."""
    up, down = _Line(bytes_per_s), _Line(bytes_per_s)
    running: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", port)
        for way in (up.carry(reader, back_writer, delay_s), down.carry(back_reader, writer, delay_s)):
            task = asyncio.create_task(way)
            running.add(task)
            task.add_done_callback(running.discard)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class _Line:
    """One direction."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

        async def deliver() -> None:
            while True:
                at, piece = await under_way.get()
                await asyncio.sleep(at - loop.time())
                if not piece:
                    return
                writer.write(piece)
                await writer.drain()

        delivering = asyncio.create_task(deliver())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while piece := await reader.read(PIECE_BYTES):
                self._free_at = max(loop.time(), self._free_at) + len(piece) / self._bytes_per_s
                await under_way.put((self._free_at + delay_s, piece))
        await under_way.put((loop.time() + delay_s, b""))
        with contextlib.suppress(ConnectionError):
            await delivering
        writer.close()
