"""Asterisk's side of AudioSocket, written from its documentation
(https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/): frames of 20 ms by TCP."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray

CALL = uuid.UUID("6a0c3b1e-1234-4000-8000-000000000042")
AUDIO_TYPES = {8000: 0x10, 12_000: 0x11, 16_000: 0x12, 24_000: 0x13, 32_000: 0x14, 44_100: 0x15, 48_000: 0x16}
HANGUP, ERROR = b"\0\0\0", b"\xff\0\1\1"


def frame(kind: int, payload: bytes) -> bytes:
    return bytes([kind, len(payload) >> 8, len(payload) & 0xFF]) + payload


def identity(call: uuid.UUID = CALL) -> bytes:
    return frame(0x01, call.bytes)


def key(digit: str) -> bytes:
    return frame(0x03, digit.encode())


def audio(samples: NDArray[np.int16], rate: int = 8000, piece_ms: int = 20) -> list[bytes]:
    data, size = samples.astype("<i2").tobytes(), 2 * rate * piece_ms // 1000
    return [frame(AUDIO_TYPES[rate], data[at : at + size]) for at in range(0, len(data), size)]


@contextlib.asynccontextmanager
async def dialled(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
