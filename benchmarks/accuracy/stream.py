"""Streams one clip through a running service over the native protocol (msgpack).

Order of calls: connect, `start`, wait for `ready`; then the audio as `Pace` says, while a second task notes every
server message with its time of arrival; then `stop`, and the server ends the session with `summary` and code 1000.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from benchmarks.accuracy.clips import MODEL_RATE, Clip
from benchmarks.accuracy.exchange import Exchange, Received, Sent
from streaming.protocol.messages import (
    SUBPROTOCOLS,
    Audio,
    AudioFormat,
    ClientMessage,
    Endpointing,
    Error,
    InterimPolicy,
    Marker,
    MarkerEcho,
    Ready,
    ServerMessage,
    Start,
    Stop,
)

Pace = Literal["lock_step", "real_time", "at_once"]
BLOCK_MS = 500  # the encoder's grid
HELD_BACK_MS = 20  # more than a resampler holds back, and less than a frame, so that a marker falls on the grid
TRAILING_SILENCE_MS = 1500  # in real time: lets the endpoint fire by itself after the clip's last word

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ServerMessage).decode


class StreamError(RuntimeError):
    """The service refused or lost a clip; the text names the clip and what the service said.

    `code` is that of the service's `error`, where it sent one.
    """

    def __init__(self, text: str, code: str | None = None) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How clips are sent."""

    url: str
    """Of the stream's route, ws://host:port/v1/stream."""
    interim: InterimPolicy = "stable"
    endpointing: Endpointing = field(default_factory=Endpointing)
    chunk_ms: int = 20
    """0: chunks as large as the service takes."""
    step_ms: int = BLOCK_MS
    """In lock step: the service has decoded so much before the next is sent. A multiple of the grid."""
    patience_s: float = 120.0
    """Longest wait for any one answer."""


def with_silence(clip: Clip) -> Clip:
    """The clip with the silence after it that a paced stream sends."""
    silence = np.zeros(TRAILING_SILENCE_MS * clip.sample_rate // 1000, dtype=clip.samples.dtype)
    return replace(clip, samples=np.concatenate([clip.samples, silence]))


async def stream_clip(clip: Clip, settings: StreamSettings, pace: Pace) -> Exchange:
    """Sends the clip and returns the whole exchange, times on `time.perf_counter`.

    `lock_step` sends each step at once and waits for its marker: interims come as for a paced stream, and the
    clip takes as long as the machine needs. `real_time` sends every chunk when a microphone would have it, then
    silence. `at_once` sends without waiting; only the service's backpressure slows it.

    Raises:
        StreamError: no connection, an error message, an answer that did not come in time, or no summary.
    """
    try:
        async with connect(
            settings.url, subprotocols=[Subprotocol(SUBPROTOCOLS[0])], compression=None, max_size=None
        ) as socket:
            return await _Conversation(socket, clip, settings).run(pace)
    except TimeoutError as error:
        raise StreamError(f"{clip.row.path}: no answer within {settings.patience_s:g} s") from error
    except (OSError, ConnectionClosed, LookupError) as error:
        raise StreamError(f"{clip.row.path}: {error}") from error


class _Conversation:
    def __init__(self, socket: ClientConnection, clip: Clip, settings: StreamSettings) -> None:
        self._socket = socket
        self._clip = clip
        self._settings = settings
        self._exchange = Exchange()
        self._answers: asyncio.Queue[Ready | MarkerEcho] = asyncio.Queue()
        self._next_sample = 0

    async def run(self, pace: Pace) -> Exchange:
        listening = asyncio.create_task(self._listen())
        talking = asyncio.create_task(self._talk(pace))
        try:
            await asyncio.wait({listening, talking}, return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                await talking
            await asyncio.wait_for(listening, self._settings.patience_s)
        finally:
            listening.cancel()
            talking.cancel()
        self._exchange.summary  # noqa: B018 - raises LookupError where the session broke off
        return self._exchange

    async def _listen(self) -> None:
        async for payload in self._socket:
            at_s = time.perf_counter()
            message = _decode(payload if isinstance(payload, bytes) else payload.encode())
            self._exchange.received.append(Received(at_s, message))
            if isinstance(message, Ready | MarkerEcho):
                self._answers.put_nowait(message)
            elif isinstance(message, Error):
                raise StreamError(f"{self._clip.row.path}: {message.code}: {message.message}", message.code)

    async def _talk(self, pace: Pace) -> None:
        clip, settings = self._clip, self._settings
        await self._send(
            Start(
                audio=AudioFormat(encoding="s16le", sample_rate=clip.sample_rate),
                interim=settings.interim,
                endpointing=settings.endpointing,
            )
        )
        ready = await self._answer()
        assert isinstance(ready, Ready)
        largest = (ready.max_message_bytes - 1024) // clip.samples.itemsize
        chunk = min(settings.chunk_ms * clip.sample_rate // 1000 or largest, largest)
        samples = clip.samples
        if pace == "real_time":
            samples = with_silence(clip).samples
        async for piece in self._paced(samples, chunk, pace):
            await self._send(Audio(first_sample=self._next_sample, data=piece.astype("<i2").tobytes()))
            self._next_sample += len(piece)
            self._exchange.sent.append(Sent(time.perf_counter(), self._next_sample * 1000 / clip.sample_rate))
        await self._send(Stop())

    async def _paced(
        self, samples: np.ndarray[tuple[int], np.dtype[np.int16]], chunk: int, pace: Pace
    ) -> AsyncIterator[np.ndarray[tuple[int], np.dtype[np.int16]]]:
        rate = self._clip.sample_rate
        began_s = time.perf_counter()
        for first, until in pairwise(self._stops(len(samples)) if pace == "lock_step" else [0, len(samples)]):
            for at in range(first, until, chunk):
                piece = samples[at : min(at + chunk, until)]
                if pace == "real_time":
                    due_s = began_s + (at + len(piece)) / rate
                    await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                yield piece
            if pace == "lock_step" and until < len(samples):
                await self._send(Marker(id=str(until)))
                await self._answer()

    def _stops(self, samples: int) -> list[int]:
        """Where the sender waits in lock step: the begin, as soon as the service has each whole block, the end."""
        rate = self._clip.sample_rate
        held_back = 0 if rate == MODEL_RATE else HELD_BACK_MS * rate // 1000
        block = self._settings.step_ms * rate // 1000
        return [0, *range(block + held_back, samples, block), samples]

    async def _send(self, message: ClientMessage) -> None:
        await asyncio.wait_for(self._socket.send(_encode(message)), self._settings.patience_s)

    async def _answer(self) -> Ready | MarkerEcho:
        return await asyncio.wait_for(self._answers.get(), self._settings.patience_s)
