"""Wire formats that are no WebSockets, each on a TCP port of its own: one frame is one message for the shell that all
wire formats share.

Such formats have neither keys nor TLS: who may connect is told by the address.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from starlette.websockets import WebSocketDisconnect

from streaming.media.decoder import Decoders
from streaming.protocol.dialect import Dialect, Handshake
from streaming.protocol.errors import ProtocolError
from streaming.session.service import Service
from streaming.transport.connection import CLOSE_ABNORMAL, Connection

log = logging.getLogger(__name__)

BUFFER_BYTES: Final = 1 << 17
"""Of what was read and not taken: more than a frame's header can have."""
SPARE_CONNECTIONS: Final = 16
"""Beyond one for each session: they have not said who they are."""


@dataclass(frozen=True)
class TcpFormat:
    name: str
    peers_setting: str
    peers: tuple[str, ...]
    """Addresses and networks that may connect; empty: this machine alone."""
    read: Callable[[asyncio.StreamReader], Awaitable[bytes]]
    """One frame. Raises IncompleteReadError at the end, LimitOverrunError for what is none."""
    dialect: Callable[[Handshake], AbstractContextManager[Dialect]]
    """Of one connection, while it lasts."""
    refusal: Callable[[ProtocolError], bytes]
    """What a client hears for whom there is no room."""
    finish: bool = False
    """As of Connection."""


class FrameSocket:
    """One connection, as the shell wants it. Order of calls: as of a WebSocket that is accepted."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        read: Callable[[asyncio.StreamReader], Awaitable[bytes]],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._read = read

    async def receive(self) -> MutableMapping[str, Any]:
        try:
            return {"type": "websocket.receive", "bytes": await self._read(self._reader)}
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            return {"type": "websocket.disconnect"}

    async def send_text(self, data: str) -> None:
        raise TypeError("frames have no text")

    async def send_bytes(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            raise WebSocketDisconnect(CLOSE_ABNORMAL) from None

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class TcpServer:
    """Order of calls: `start` with a listening socket, or never; `aclose` at the end."""

    def __init__(self, form: TcpFormat, service: Service, decoders: Decoders, clock: Callable[[], float]) -> None:
        self._form = form
        self._service = service
        self._decoders = decoders
        self._clock = clock
        self._peers = [ipaddress.ip_network(peer) for peer in form.peers]
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=BUFFER_BYTES)

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            log.info("a connection of %s ends with the server", self._form.name)
        except Exception:
            log.exception("a connection of %s failed", self._form.name)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        form = self._form
        peer = writer.get_extra_info("peername")
        if peer is None or not self._welcome(peer[0]):
            log.warning("a connection of %s was refused: its address is not in %s", form.name, form.peers_setting)
            return
        settings = self._service.config.server
        if len(self._connections) > settings.max_sessions + SPARE_CONNECTIONS:
            return
        try:
            self._service.check_room()
        except ProtocolError as error:
            self._service.metrics.errors.labels(error.code).inc()
            writer.write(form.refusal(error))
            return
        handshake = Handshake(
            path="",
            id=str(uuid.uuid4()),
            now=self._clock(),
            unix_s=time.time(),
            max_message_bytes=settings.max_message_bytes,
            start_timeout_s=settings.start_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
        )
        with form.dialect(handshake) as dialect:
            line = FrameSocket(reader, writer, form.read)
            connection = Connection(line, dialect, self._service, self._decoders, self._clock, finish=form.finish)
            await connection.run()

    def _welcome(self, host: str) -> bool:
        address = ipaddress.ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        address = mapped or address
        return any(address in network for network in self._peers) if self._peers else address.is_loopback
