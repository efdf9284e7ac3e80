"""One WebSocket to the server: opened, watched for a dead peer, and closed without ever waiting long."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from tympan_client.address import connect_error
from tympan_client.options import Codec
from tympan_client.protocol import SUBPROTOCOLS

CLOSE_TIMEOUT_S = 2.0
KEY_VARIABLE = "TYMPAN_API_KEY"


@asynccontextmanager
async def open_socket(
    url: str, codec: Codec, open_timeout_s: float, api_key: str | None = None
) -> AsyncIterator[ClientConnection]:
    """Raises TympanError: `unreachable`, `unauthorized` or `not_tympan`."""
    try:
        socket = await connect(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOLS[codec])],
            additional_headers=key_headers(api_key),
            compression=None,
            open_timeout=open_timeout_s,
            ping_interval=None,  # `answers` pings
            close_timeout=CLOSE_TIMEOUT_S,
        )
    except (OSError, EOFError, WebSocketException) as error:
        raise connect_error(url, error) from error
    try:
        yield socket
    finally:
        await close(socket)


def key_headers(api_key: str | None = None) -> dict[str, str]:
    """For the handshake. None: the environment's key, if there is one."""
    key = api_key or os.environ.get(KEY_VARIABLE)
    return {"Authorization": f"Bearer {key}"} if key else {}


async def close(socket: ClientConnection) -> None:
    """With a closing handshake where the peer is there to do it, and at once where it is not."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):  # where the peer does not read, `close` waits to write first
            await socket.close()
    except TimeoutError:
        abort(socket)


def abort(socket: ClientConnection) -> None:
    """Without a word to the peer."""
    socket.transport.abort()


async def answers(socket: ClientConnection, within_s: float) -> bool:
    """A ping comes back in time. The time for writing it counts: a peer that is gone takes nothing any more.

    Raises:
        ConnectionClosed: the connection is closed.
    """
    try:
        async with asyncio.timeout(within_s):
            await (await socket.ping())
    except TimeoutError:
        return False
    return True
