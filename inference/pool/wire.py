"""Frames between the gateway and a worker process: a u32 length, little endian, then one msgpack record.

Both ends run the same version, so unknown fields cannot occur; sizes are checked before anything is read.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TypeVar

import msgspec

from inference.pool.interface import EngineInfo, Job, StepResult, StreamSpec

HEADER = struct.Struct("<I")
MAX_FRAME_BYTES = 8 << 20  # a batch of 64 finals is below 1 MiB, the longest append is APPEND_BYTES
APPEND_BYTES = 1 << 20  # PCM in one Append: 32 s


class Open(msgspec.Struct, frozen=True, tag=True):
    stream: str
    spec: StreamSpec


class Append(msgspec.Struct, frozen=True, tag=True):
    stream: str
    utterance: int
    first_sample: int
    pcm: bytes


class Step(msgspec.Struct, frozen=True, tag=True):
    id: int
    jobs: tuple[Job, ...]


class Discard(msgspec.Struct, frozen=True, tag=True):
    stream: str
    utterance: int


class CloseStream(msgspec.Struct, frozen=True, tag=True):
    stream: str


class Ping(msgspec.Struct, frozen=True, tag=True):
    id: int


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Finish what was sent before this, and exit."""


Command = Open | Append | Step | Discard | CloseStream | Ping | Stop


class Started(msgspec.Struct, frozen=True, tag=True):
    """The model is loaded."""

    info: EngineInfo


class StepDone(msgspec.Struct, frozen=True, tag=True):
    id: int
    result: StepResult


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The worker exits after this; `message` is one sentence for people."""

    message: str


class Pong(msgspec.Struct, frozen=True, tag=True):
    id: int
    busy_s: float
    """How long the command that runs now has been running; 0 between commands."""


Reply = Started | StepDone | Failed | Pong


class FrameError(Exception):
    """The bytes are not a frame: too long, cut off, or not a record."""


T = TypeVar("T")


class FrameCodec:
    """Stateless but for its compiled decoder."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max = max_frame_bytes
        self._encoder = msgspec.msgpack.Encoder()
        self._commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
        self._replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)

    def encode(self, record: Command | Reply) -> bytearray:
        """The frame with its header. Raises FrameError when it is too long."""
        frame = bytearray(HEADER.size)
        self._encoder.encode_into(record, frame, HEADER.size)
        HEADER.pack_into(frame, 0, self.checked_length(len(frame) - HEADER.size))
        return frame

    def checked_length(self, length: int) -> int:
        """Raises FrameError."""
        if length > self._max:
            raise FrameError(f"a frame of {length} bytes, at most {self._max} are allowed")
        return length

    def decode_command(self, body: bytes) -> Command:
        """Raises FrameError."""
        return _decode(self._commands, body)

    def decode_reply(self, body: bytes) -> Reply:
        """Raises FrameError."""
        return _decode(self._replies, body)

    async def read_reply(self, reader: asyncio.StreamReader) -> Reply | None:
        """The next reply, None at the end of the stream. Raises FrameError."""
        header = await _read_or_end(reader, HEADER.size)
        if header is None:
            return None
        body = await _read_or_end(reader, self.checked_length(HEADER.unpack(header)[0]))
        if body is None:
            raise FrameError("the stream ends within a frame")
        return self.decode_reply(body)

    def receive_command(self, sock: socket.socket) -> tuple[Command, int] | None:
        """Blocks for the next command; with its size in bytes. None at the end of the stream. Raises FrameError."""
        header = _receive_or_end(sock, HEADER.size)
        if header is None:
            return None
        length = self.checked_length(HEADER.unpack(header)[0])
        body = _receive_or_end(sock, length)
        if body is None:
            raise FrameError("the stream ends within a frame")
        return self.decode_command(body), HEADER.size + length


def _decode(decoder: msgspec.msgpack.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise FrameError(f"not a record: {exc}") from exc


async def _read_or_end(reader: asyncio.StreamReader, size: int) -> bytes | None:
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as exc:
        if exc.partial:
            raise FrameError("the stream ends within a frame") from exc
        return None


def _receive_or_end(sock: socket.socket, size: int) -> bytes | None:
    body = bytearray(size)
    view = memoryview(body)
    filled = 0
    while filled < size:
        count = sock.recv_into(view[filled:])
        if count == 0:
            if filled:
                raise FrameError("the stream ends within a frame")
            return None
        filled += count
    return bytes(body)
