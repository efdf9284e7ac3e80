"""`/v1/stream`, the native protocol: the handshake, then the shell that all wire formats share."""

from __future__ import annotations

from collections.abc import Callable

from starlette.websockets import WebSocket

from streaming.media.decoder import Decoders
from streaming.protocol.native import NativeProtocol
from streaming.session.service import Service
from streaming.transport.connection import Connection
from streaming.transport.handshake import accept


async def serve_stream(websocket: WebSocket, service: Service, decoders: Decoders, clock: Callable[[], float]) -> None:
    """Serves one WebSocket that is not accepted yet."""
    settings = service.config.server
    codec = await accept(websocket, settings.allowed_origins)
    if codec is None:
        return
    protocol = NativeProtocol(
        clock(),
        codec,
        max_message_bytes=settings.max_message_bytes,
        start_timeout_s=settings.start_timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
    )
    await Connection(websocket, protocol, service, decoders, clock).run()
