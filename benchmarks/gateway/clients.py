"""Many paced clients in one process, as cheap as they can be: prepared messages, answers not decoded."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from streaming.protocol.messages import SUBPROTOCOLS, Audio, AudioFormat, Marker, Start, Stop

RATE: Final = 16_000
CONNECTING_AT_ONCE = 20
LAST = "all is said"
PATIENCE_S = 120.0


@dataclass(slots=True)
class Crowd:
    """What was sent, and how late the senders were."""

    messages: int = 0
    latest_s: float = 0.0
    broken: int = 0


async def connect_all(url: str, sessions: int) -> list[ClientConnection]:
    """Opens the sessions and starts them."""
    gate = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def one() -> ClientConnection:
        async with gate:
            socket = await connect(url, subprotocols=[Subprotocol(SUBPROTOCOLS[0])], compression=None, max_size=None)
            await socket.send(msgspec.msgpack.encode(Start(audio=AudioFormat(sample_rate=RATE))))
            await socket.recv()
            return socket

    return await asyncio.gather(*(one() for _ in range(sessions)))


async def talk(
    sockets: Sequence[ClientConnection], samples: NDArray[np.int16], first: int, seconds: float, chunk_ms: int
) -> Crowd:
    """Everybody says the same samples over and over, each beginning at another moment of the chunk.

    Args:
        first: sample position that every session has reached.
    """
    crowd = Crowd()
    chunk = RATE * chunk_ms // 1000
    count = round(seconds * 1000 / chunk_ms)
    positions = [first + n * chunk for n in range(count)]
    pieces = [np.take(samples, range(at, at + chunk), mode="wrap").astype("<i2").tobytes() for at in positions]
    messages = [
        msgspec.msgpack.encode(Audio(first_sample=at, data=piece)) for at, piece in zip(positions, pieces, strict=True)
    ]
    began = time.perf_counter()

    async def send(socket: ClientConnection, offset_s: float) -> None:
        for index, message in enumerate(messages):
            due = began + offset_s + index * chunk_ms / 1000
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            crowd.latest_s = max(crowd.latest_s, time.perf_counter() - due)
            await socket.send(message)
            crowd.messages += 1

    async def one(socket: ClientConnection, offset_s: float) -> None:
        reading = asyncio.create_task(_read_until_echo(socket))
        try:
            await send(socket, offset_s)
            await socket.send(msgspec.msgpack.encode(Marker(id=LAST)))
            await asyncio.wait_for(reading, PATIENCE_S)
        except (ConnectionClosed, TimeoutError):
            crowd.broken += 1
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    spread = chunk_ms / 1000 / len(sockets)
    await asyncio.gather(*(one(socket, index * spread) for index, socket in enumerate(sockets)))
    return crowd


async def leave(sockets: Sequence[ClientConnection]) -> None:
    for socket in sockets:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(msgspec.msgpack.encode(Stop()))
            await socket.close()


async def _read_until_echo(socket: ClientConnection) -> None:
    """All that was sent has been worked off then."""
    while LAST.encode() not in await socket.recv(decode=False):
        pass
