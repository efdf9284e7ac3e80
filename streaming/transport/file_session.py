"""A recording goes through a session like any live stream, only faster, and never in front of live ones.

The order of calls: give the decoder its whole input; `FileSession.open`; read `messages` to their end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import msgspec

from streaming.media.decoder import Decoder, MediaError
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import (
    Audio,
    Error,
    Event,
    Gap,
    ModelInfo,
    Ready,
    Speech,
    Start,
    Stop,
    Summary,
    Transcript,
)
from streaming.session.runner import SessionRunner
from streaming.session.service import Service
from streaming.transport.decoding import BYTES_PER_SAMPLE, as_protocol_error

log = logging.getLogger(__name__)

MAX_WAITING: Final = 4
"""Finals of one recording that may wait for the workers: those of live sessions come between."""

FileMessage = Transcript | Event | Summary
"""Finals, sounds, and the end."""


class FileSession:
    def __init__(self, runner: SessionRunner, decoder: Decoder, first: bytes, samples: AsyncIterator[bytes]) -> None:
        self.channels = runner.channels
        self.model: ModelInfo | None = None
        """Known before the first message comes out."""
        self._runner = runner
        self._decoder = decoder
        self._first = first
        self._samples = samples
        self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, service: Service, decoder: Decoder, start: Start) -> AsyncIterator[FileSession]:
        """
        Args:
            decoder: has all its input.
            start: its channels are those of the recording.

        Raises:
            ProtocolError: the file cannot be decoded, or the session is refused.
        """
        async with contextlib.aclosing(decoder.samples()) as samples:
            try:
                first = await anext(samples, b"")
            except MediaError as error:
                raise as_protocol_error(error) from None
            channels = (await decoder.format()).channels
            audio = msgspec.structs.replace(start.audio, channels=channels)
            runner = await service.new_session(msgspec.structs.replace(start, audio=audio))
            try:
                yield cls(runner, decoder, first, samples)
            finally:
                await runner.close()

    async def messages(self) -> AsyncGenerator[FileMessage, None]:
        """Raises ProtocolError: the file is broken further on, or the session failed."""
        feeding = asyncio.create_task(self._feed(), name="recording's samples")
        try:
            async for message in self._runner.events():
                match message:
                    case Ready(model=model):
                        self.model = model
                    case Speech(state="ended"):
                        self._count(+1)
                    case Transcript(final=True):
                        self._count(-1)
                        yield message
                    case Gap(reason="lost"):
                        self._count(-1)
                    case Event(source=source) if source != "endpointing":
                        yield message
                    case Summary():
                        yield message
                    case Error(fatal=True):
                        assert self._runner.failure is not None
                        raise self._runner.failure
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    async def _feed(self) -> None:
        frame_bytes, position = BYTES_PER_SAMPLE * self.channels, 0
        try:
            pcm = self._first
            while pcm:
                await self._room.wait()
                await self._runner.feed(Audio(first_sample=position, data=pcm))
                position += len(pcm) // frame_bytes
                pcm = await anext(self._samples, b"")
            await self._runner.feed(Stop())
        except MediaError as error:
            self._runner.fail(as_protocol_error(error))
        except Exception as error:
            log.error("session %s failed", self._runner.session, exc_info=error)
            self._runner.fail(ProtocolError("internal", "the server failed; its log has the details"))

    def _count(self, change: int) -> None:
        self._waiting += change
        if self._waiting < MAX_WAITING:
            self._room.set()
        else:
            self._room.clear()
