"""Wyoming on its port, as Home Assistant connects to it."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AbstractContextManager

from streaming.protocol.dialect import Dialect, Handshake
from streaming.protocol.dialects.wyoming import Wyoming, event, rest_bytes
from streaming.session.service import Service
from streaming.transport.tcp import TcpFormat


def wyoming_format(service: Service) -> TcpFormat:
    settings = service.config

    def dialect(handshake: Handshake) -> AbstractContextManager[Dialect]:
        info = service.info
        assert info is not None, "there is room only where the model is loaded"
        return contextlib.nullcontext(Wyoming(handshake, info.model, info.languages))

    async def read(reader: asyncio.StreamReader) -> bytes:
        header = await reader.readuntil(b"\n")
        return header + await reader.readexactly(rest_bytes(header, settings.server.max_message_bytes))

    return TcpFormat(
        name="Wyoming",
        peers_setting="wyoming.peers",
        peers=settings.wyoming.peers,
        read=read,
        dialect=dialect,
        refusal=lambda error: event("error", {"text": error.text, "code": error.code}),
    )
