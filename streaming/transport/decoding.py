"""A decoding process between a connection and its session: what it makes of the audio becomes the session's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from streaming.media.decoder import Decoder, Decoders, MediaError, Reason
from streaming.protocol.dialect import Source
from streaming.protocol.errors import ErrorCode, ProtocolError
from streaming.protocol.messages import Audio, ClientMessage, RefusedAsk, Signal, Stop
from streaming.session.runner import SessionRunner

BYTES_PER_SAMPLE = 2
_CODES: dict[Reason, ErrorCode] = {"busy": "overloaded", "too_large": "too_large"}


def as_protocol_error(error: MediaError) -> ProtocolError:
    return ProtocolError(_CODES.get(error.reason, "bad_audio"), error.text)


class Decoding:
    """Order of calls: `feed`, and `before` each message that is no audio; by one task."""

    def __init__(self, decoder: Decoder, runner: SessionRunner) -> None:
        self._decoder = decoder
        self._runner = runner

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, decoders: Decoders, source: Source, runner: SessionRunner) -> AsyncIterator[Decoding]:
        """Raises ProtocolError (`overloaded`)."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                decoder = await stack.enter_async_context(decoders.open(source, channels=runner.channels))
            except MediaError as error:
                raise as_protocol_error(error) from None
            decoding = cls(decoder, runner)
            pump = asyncio.create_task(decoding._pump(), name="decoded samples")
            try:
                yield decoding
            finally:
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)

    async def feed(self, data: bytes) -> None:
        await self._decoder.feed(data)

    async def before(self, message: ClientMessage | RefusedAsk | Signal) -> None:
        """Returns when the session has all audio that came before a message."""
        if isinstance(message, Stop):
            await self._decoder.end()
        else:
            await self._decoder.settled()

    async def _pump(self) -> None:
        frame_bytes, position = BYTES_PER_SAMPLE * self._runner.channels, 0
        try:
            async for pcm in self._decoder.samples():
                await self._runner.feed(Audio(first_sample=position, data=pcm))
                position += len(pcm) // frame_bytes
        except MediaError as error:
            self._runner.fail(as_protocol_error(error))
