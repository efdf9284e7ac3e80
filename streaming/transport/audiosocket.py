"""Asterisk's AudioSocket on its port."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager

from streaming.protocol.dialect import Dialect, Handshake
from streaming.protocol.dialects.audiosocket import HANGUP, HEADER_BYTES, AudioSocket, frame, payload_bytes
from streaming.transport.calls import Calls
from streaming.transport.tcp import TcpFormat


def audiosocket_format(peers: tuple[str, ...], calls: Calls) -> TcpFormat:
    def reported(handshake: Handshake) -> AbstractContextManager[Dialect]:
        return calls.reported(AudioSocket(handshake))

    return TcpFormat(
        name="AudioSocket",
        peers_setting="telephony.audiosocket_peers",
        peers=peers,
        read=_read,
        dialect=reported,
        refusal=lambda error: frame(HANGUP),
        finish=True,
    )


async def _read(reader: asyncio.StreamReader) -> bytes:
    header = await reader.readexactly(HEADER_BYTES)
    return header + await reader.readexactly(payload_bytes(header))
