"""Decoding processes: started, fed, read and ended. What they may use is limited, and so is how many there are.

The order of calls on a `Decoder`: `feed` and `settled` by one task, `end` at the end of the input; `samples` by
another, which must go on until it ends, since nothing is decoded while nobody takes what was. Leaving the context
ends the process, whatever it is doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from streaming.protocol.dialect import Source

PACKAGES: Final = str(Path(__file__).parents[2])
MEMORY_BYTES: Final = 512 << 20
"""Of address space, of which FFmpeg's libraries take a quarter; a whole file comes on top."""
CONTAINER: Final = Source()
_HEADER: Final = struct.Struct("<cI")
_LENGTH: Final = struct.Struct("<I")
_MAX_FRAME_BYTES: Final = 1 << 16

Reason = Literal["unreadable", "too_large", "too_long", "too_slow", "busy"]


class MediaError(Exception):
    """Why audio is not decoded; `text` is for people."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.text = text


@dataclass(frozen=True, slots=True)
class FileLimits:
    """Of a file that is decoded as a whole. A stream that is live has none of these: it is taken as it comes."""

    max_bytes: int
    max_s: float
    """Of sound."""
    cpu_s: int
    """Processor time of the decoding process."""


class SourceFormat(msgspec.Struct, frozen=True):
    """What the first bytes said."""

    channels: int
    """Of the samples that come out: 1 or 2."""
    container: str | None
    codec: str


class Decoders:
    """All decoding processes of a server, at most `limit` at once."""

    def __init__(self, limit: int) -> None:
        self.running = 0
        self._limit = limit

    @contextlib.asynccontextmanager
    async def open(
        self, source: Source = CONTAINER, *, channels: int = 1, file: FileLimits | None = None
    ) -> AsyncIterator[Decoder]:
        """
        Args:
            source: of a file, its samples' format where it is no container.
            channels: of the samples: 1 mixes, 2 keeps two apart (a lone one has silence beside it), 0: 1 or 2, as the
                source has them.
            file: all input comes before the first sample, as formats need that are read from both ends.

        Raises:
            MediaError: `busy`.
        """
        if self.running >= self._limit:
            raise MediaError("busy", f"{self._limit} streams are being decoded already")
        self.running += 1
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-s",
                "-m",
                "streaming.media.worker",
                json.dumps(_settings(source, channels, file)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PYTHONPATH": PACKAGES},  # nothing that the server was told in secret
            )
            try:
                yield Decoder(process, packets=source.packets)
            finally:
                await _ended(process)
        finally:
            self.running -= 1


class Decoder:
    def __init__(self, process: asyncio.subprocess.Process, *, packets: bool) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._packets = packets
        self._fed = 0
        self._decoded = 0
        self._over = False
        self._moved = asyncio.Event()
        self._format: asyncio.Future[SourceFormat] = asyncio.get_running_loop().create_future()

    async def format(self) -> SourceFormat:
        """Known before the first samples, while `samples` runs. Raises MediaError."""
        return await asyncio.shield(self._format)

    async def feed(self, data: bytes) -> None:
        """Returns when there is room for more. Errors come out of `samples`."""
        if not data:
            return
        self._fed += len(data)
        with contextlib.suppress(ConnectionError):
            self._stdin.write(_LENGTH.pack(len(data)) + data if self._packets else data)
            await self._stdin.drain()

    async def settled(self) -> None:
        """Returns when all that was fed is decoded, but what a codec keeps until it hears more; and taken."""
        while self._decoded < self._fed and not self._over:
            self._moved.clear()
            await self._moved.wait()

    async def close_input(self) -> None:
        """No more input."""
        with contextlib.suppress(ConnectionError):
            self._stdin.close()
            await self._stdin.wait_closed()

    async def end(self) -> None:
        """No more input; returns when all of it is decoded and taken."""
        await self.close_input()
        while not self._over:
            self._moved.clear()
            await self._moved.wait()

    async def samples(self) -> AsyncGenerator[bytes, None]:
        """s16le at 16 kHz, interleaved, whole samples of all channels in each piece. Raises MediaError."""
        try:
            async for pcm in self._frames():
                yield pcm
        except MediaError as error:
            if not self._format.done():
                self._format.set_exception(error)
                self._format.exception()  # nobody may ask
            raise
        finally:
            self._over = True
            self._moved.set()

    async def _frames(self) -> AsyncIterator[bytes]:
        while True:
            try:
                kind, size = _HEADER.unpack(await self._stdout.readexactly(_HEADER.size))
                payload = await self._stdout.readexactly(size) if size <= _MAX_FRAME_BYTES else b""
            except asyncio.IncompleteReadError:
                raise MediaError("too_slow", "it takes too much time or memory to decode") from None
            match kind:
                case b"P":
                    yield payload
                case b"D":
                    (self._decoded,) = struct.unpack("<Q", payload)
                    self._moved.set()
                case b"F":
                    self._format.set_result(msgspec.json.decode(payload, type=SourceFormat))
                case b"Z":
                    return
                case _:
                    reason, _, text = payload.decode("utf-8", "replace").partition(" ")
                    raise MediaError(reason if reason in _REASONS else "unreadable", text)  # type: ignore[arg-type]


_REASONS: Final = ("unreadable", "too_large", "too_long")


def _settings(source: Source, channels: int, file: FileLimits | None) -> dict[str, object]:
    return {
        "raw": source.raw,
        "sample_rate": source.sample_rate,
        "input_channels": source.input_channels,
        "packets": source.packets,
        "channels": channels,
        "whole": file is not None,
        "max_bytes": file.max_bytes if file else None,
        "max_s": file.max_s if file else None,
        "cpu_s": file.cpu_s if file else None,
        # A file is in memory twice while it is put together.
        "memory_bytes": MEMORY_BYTES + (3 * file.max_bytes if file else 0),
    }


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    if process.stdin is not None:
        process.stdin.close()
