"""Asterisk's AudioSocket on a TCP port of its own: frames as messages, for the shell that all wire formats share.

AudioSocket has neither keys nor TLS: who may connect is told by the address (`telephony.audiosocket_peers`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import time
import uuid
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from starlette.websockets import WebSocketDisconnect

from streaming.media.decoder import Decoders
from streaming.protocol.dialect import Handshake
from streaming.protocol.dialects.audiosocket import HANGUP, HEADER_BYTES, AudioSocket, frame, payload_bytes
from streaming.protocol.errors import ProtocolError
from streaming.session.service import Service
from streaming.transport.calls import Calls
from streaming.transport.connection import CLOSE_ABNORMAL, Connection

log = logging.getLogger(__name__)

BUFFER_BYTES: Final = 1 << 17
"""Of what was read and not taken: more than a frame can have."""
SPARE_CONNECTIONS: Final = 16
"""Beyond one for each session: they have not said who they are."""


class FrameSocket:
    """One connection, as the shell wants it. Order of calls: as of a WebSocket that is accepted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> MutableMapping[str, Any]:
        try:
            header = await self._reader.readexactly(HEADER_BYTES)
            payload = await self._reader.readexactly(payload_bytes(header))
        except (asyncio.IncompleteReadError, OSError):
            return {"type": "websocket.disconnect"}
        return {"type": "websocket.receive", "bytes": header + payload}

    async def send_text(self, data: str) -> None:
        raise TypeError("AudioSocket has no text")

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


class AudioSocketServer:
    """Order of calls: `start` with a listening socket, or never; `aclose` at the end."""

    def __init__(self, service: Service, decoders: Decoders, clock: Callable[[], float], calls: Calls) -> None:
        self._service = service
        self._decoders = decoders
        self._clock = clock
        self._calls = calls
        peers = service.config.telephony.audiosocket_peers
        self._peers = [ipaddress.ip_network(peer) for peer in peers]
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
            log.info("an AudioSocket connection ends with the server")
        except Exception:
            log.exception("an AudioSocket connection failed")
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        if peer is None or not self._welcome(peer[0]):
            log.warning("an AudioSocket connection was refused: its address is not in telephony.audiosocket_peers")
            return
        settings = self._service.config.server
        if len(self._connections) > settings.max_sessions + SPARE_CONNECTIONS:
            return
        try:
            self._service.check_room()
        except ProtocolError as error:
            self._service.metrics.errors.labels(error.code).inc()
            writer.write(frame(HANGUP))
            return
        handshake = Handshake(
            path="",
            id=str(uuid.uuid4()),
            now=self._clock(),
            unix_s=time.time(),
            start_timeout_s=settings.start_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
        )
        with self._calls.reported(AudioSocket(handshake)) as reported:
            line = FrameSocket(reader, writer)
            connection = Connection(line, reported, self._service, self._decoders, self._clock, finish=True)
            await connection.run()

    def _welcome(self, host: str) -> bool:
        address = ipaddress.ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        address = mapped or address
        return any(address in network for network in self._peers) if self._peers else address.is_loopback
