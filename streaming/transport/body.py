"""A request's body, read once, within limits of size and time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import ClientDisconnect, Request

from streaming.protocol.errors import ProtocolError

PIECE_TIMEOUT_S: Final = 30.0
"""Between two pieces."""
LINGER_S: Final = 2.0
LINGER_BYTES: Final = 4 << 20


class Body:
    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._length = request.headers.get("content-length", "")
        self._done = False
        self._late = False

    async def read(self, max_bytes: int, timeout_s: float, take: Callable[[bytes], Awaitable[None]]) -> None:
        """Gives all of it to `take`. Raises ProtocolError (`too_large`, `idle_timeout`), ClientDisconnect."""
        too_large = ProtocolError("too_large", f"a body may have at most {max_bytes} bytes")
        if self._length.isdigit() and int(self._length) > max_bytes:
            raise too_large
        size = 0
        try:
            async with asyncio.timeout(timeout_s):
                while not self._done:
                    async with asyncio.timeout(PIECE_TIMEOUT_S):
                        piece = await self._piece()
                    size += len(piece)
                    if size > max_bytes:
                        raise too_large
                    await take(piece)
        except TimeoutError:
            self._late = True
            raise ProtocolError("idle_timeout", "the body did not come in time") from None

    async def linger(self) -> bool:
        """Reads what is left, but not much, so that a client that is still sending finds the answer when it is done:
        a connection that is closed under its body is reset, and the answer lost. True: nothing is left."""
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while not (self._done or self._late) and size < LINGER_BYTES:
                    size += len(await self._piece())
        return self._done

    async def gone(self) -> None:
        """Returns when the client has gone, after all of the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _piece(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._done = True
            raise ClientDisconnect
        self._done = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece
