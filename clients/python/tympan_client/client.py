"""The async client: `TympanClient` opens sessions, a `Session` sends audio and yields events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from tympan_client.address import DEFAULT_URL, connect_error, stream_url
from tympan_client.audio import Chunk, Source, chunks_of, declare_wav, encode_samples
from tympan_client.errors import ConnectionLost, TympanError
from tympan_client.events import Event, Ready
from tympan_client.options import AudioFormat, Codec, Endpointing, InterimPolicy, SessionOptions, merge_options
from tympan_client.protocol import SUBPROTOCOLS, ClientProtocol, Payload

OPEN_TIMEOUT_S = 10.0
ACK_TIMEOUT_S = 30.0
MAX_EVENTS = 1024
"""Events that wait for their reader. When so many do, the connection is not read, which stops the server's sending."""


class TympanClient:
    """Where the server is and what its sessions ask for by default.

    Args:
        url: `host:port`, or a ws, wss, http or https URL.
        codec: msgpack is smaller; JSON can be read with the eye.
        options: fields of `SessionOptions`: audio, language, task, interim, endpointing, events.
    """

    def __init__(self, url: str = DEFAULT_URL, *, codec: Codec = "msgpack", **options: Any) -> None:
        self.url = stream_url(url)
        self._codec: Codec = codec
        self._options = merge_options(SessionOptions(), options)

    def connect(self, **options: Any) -> AbstractAsyncContextManager[Session]:
        """A session, open and ready. Leaving the block closes the connection; for the last finals, `stop` and read on.

        Raises:
            TympanError: `unreachable`, `not_tympan`, or the server's refusal.
        """
        return self._open(merge_options(self._options, options))

    async def stream(self, source: Source, *, realtime: bool = False, **options: Any) -> AsyncGenerator[Event, None]:
        """One session for one source: sends it, stops, and yields every event up to the summary.

        Args:
            source: a WAV file's path (its format is declared to the server), bytes or an array, or an iterable,
                sync or async, of bytes or arrays. A sync iterator is read in a thread, so it may block.
            realtime: send at the speed at which it was spoken.
        """
        merged = declare_wav(source, merge_options(self._options, options))
        async with self._open(merged) as session, aclosing(session.stream(source, realtime=realtime)) as events:
            async for event in events:
                yield event

    @asynccontextmanager
    async def _open(self, options: SessionOptions) -> AsyncIterator[Session]:
        protocol = ClientProtocol(options, self._codec)
        try:
            socket = await connect(
                self.url,
                subprotocols=[Subprotocol(SUBPROTOCOLS[self._codec])],
                compression=None,
                open_timeout=OPEN_TIMEOUT_S,
            )
        except (OSError, WebSocketException) as error:
            raise connect_error(self.url, error) from error
        session = Session(socket, protocol)
        try:
            await session.open()
            yield session
        finally:
            await session.close()


class Session:
    """One open session. Sending and reading may run in different tasks, and for long audio they must:
    `send` waits for acks, which stop coming when nobody reads the events.
    """

    def __init__(self, socket: ClientConnection, protocol: ClientProtocol) -> None:
        self._socket = socket
        self._protocol = protocol
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(MAX_EVENTS)
        self._progress = asyncio.Condition()
        self._outcome: Exception | None = None  # the first error wins
        self._ended = False
        self._reader: asyncio.Task[None] | None = None

    @property
    def ready(self) -> Ready:
        """What the server said when the session was opened."""
        assert self._protocol.ready is not None
        return self._protocol.ready

    @property
    def audio(self) -> AudioFormat:
        return self._protocol.options.audio

    @property
    def next_sample(self) -> int:
        """Position of the next sample that will be sent."""
        return self._protocol.next_sample

    async def open(self) -> None:
        """Sends `start` and waits for `ready`, which is also the first event. Called by `TympanClient.connect`."""
        await self._send(self._protocol.start())
        self._reader = asyncio.create_task(self._read())
        async with self._progress:
            await self._progress.wait_for(lambda: self._ended or self._protocol.ready is not None)
        if self._protocol.ready is None:
            raise self._outcome or ConnectionLost("the server closed the connection before the session was open")

    async def close(self) -> None:
        if self._reader:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()

    async def send(self, chunk: Chunk) -> None:
        """Sends audio of any length; waits while too much of it is unacknowledged.

        Raises:
            TympanError: the session's end, `bad_audio`, or `ack_timeout` (is anyone reading the events?).
        """
        for piece in self._protocol.slices(encode_samples(chunk, self.audio)):
            await self._wait_until(lambda piece=piece: self._protocol.can_send(piece))  # type: ignore[misc]
            await self._send(self._protocol.audio(piece))

    async def marker(self, marker_id: str) -> None:
        """Asks for a `MarkerReached` once all audio sent so far is decoded."""
        await self._send(self._protocol.marker(marker_id))

    async def finalize(self) -> None:
        """Ends the open utterances now."""
        await self._send(self._protocol.finalize())

    async def configure(
        self,
        *,
        interim: InterimPolicy | None = None,
        endpointing: Endpointing | None = None,
        events: bool | None = None,
    ) -> None:
        """Changes what is given, from the next sample on."""
        await self._send(self._protocol.configure(interim=interim, endpointing=endpointing, events=events))

    async def stop(self) -> None:
        """No more audio: the last finals come, then the summary, and with it the events end."""
        await self._send(self._protocol.stop())

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """Raises TympanError where the session ended in an error, or the connection before the session."""
        event = None if self._ended and self._events.empty() else await self._events.get()
        if event is not None:
            return event
        if self._outcome:
            raise self._outcome
        raise StopAsyncIteration

    async def stream(self, source: Source, *, realtime: bool = False) -> AsyncGenerator[Event, None]:
        """Sends the source and then `stop`, while yielding the events up to the summary."""
        sender = asyncio.create_task(self._send_all(source, realtime))
        try:
            async for event in self:
                yield event
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _send_all(self, source: Source, realtime: bool) -> None:
        loop = asyncio.get_running_loop()
        begin, first = loop.time(), self.next_sample
        try:
            async with aclosing(_chunks(source, self.audio)) as chunks:
                async for chunk in chunks:
                    await self.send(chunk)
                    if realtime:
                        due = begin + (self.next_sample - first) / self.audio.sample_rate
                        await asyncio.sleep(max(0.0, due - loop.time()))
            await self.stop()
        except Exception as error:  # noqa: BLE001 - whoever reads the events raises it
            self._outcome = self._outcome or error
            await self._socket.close()

    async def _read(self) -> None:
        try:
            async for payload in self._socket:
                event = self._protocol.receive(payload)
                async with self._progress:
                    self._progress.notify_all()
                await self._events.put(event)
                if self._protocol.state == "finished":
                    break
            else:
                self._outcome = self._outcome or _lost(self._socket)
        except ConnectionClosed:
            self._outcome = self._outcome or _lost(self._socket)
        except TympanError as error:
            self._outcome = self._outcome or error
        self._ended = True
        async with self._progress:
            self._progress.notify_all()
        await self._events.put(None)

    async def _send(self, payload: Payload) -> None:
        if self._outcome:
            raise self._outcome
        try:
            await self._socket.send(payload)
        except ConnectionClosed:
            await self._wait_until(lambda: self._ended)
            raise self._outcome or _lost(self._socket) from None

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        if condition():
            return
        try:
            async with asyncio.timeout(ACK_TIMEOUT_S), self._progress:
                await self._progress.wait_for(lambda: self._ended or condition())
        except TimeoutError:
            raise TympanError(
                "ack_timeout",
                f"no ack within {ACK_TIMEOUT_S:g} s; is anyone reading the events?",
                retryable=True,
            ) from None
        if not condition():
            raise self._outcome or _lost(self._socket)


def _lost(socket: ClientConnection) -> ConnectionLost:
    code, reason = socket.close_code, socket.close_reason
    return ConnectionLost(f"the connection ended with close code {code}" + (f": {reason}" if reason else ""))


async def _chunks(source: Source, audio: AudioFormat) -> AsyncGenerator[Chunk, None]:
    if isinstance(source, AsyncIterable):
        async for chunk in source:
            yield chunk
        return
    iterator = chunks_of(source, audio)
    while (next_chunk := await asyncio.to_thread(lambda: next(iterator, None))) is not None:
        yield next_chunk
