"""One session, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from weakref import WeakValueDictionary

from tympan_client.asked import Asked
from tympan_client.audio import Chunk, Source, chunks_of, encode_samples
from tympan_client.errors import ConnectionLost, TympanError
from tympan_client.events import Answer, Event, Ready
from tympan_client.link import Clock, Link
from tympan_client.options import AudioFormat, ConnectionOptions, Endpointing, InterimPolicy, Overflow, Tasks
from tympan_client.protocol import ClientProtocol

ACK_TIMEOUT_S = 30.0


class Session:
    """One open session. Sending and reading may run in different tasks, and for long audio they must:
    `send` waits for acks, which stop coming when nobody reads the events.

    When the connection is lost the session goes on by itself: what is sent meanwhile is kept, and the events go on
    where they stopped, after `Reconnecting` and `Reconnected`.
    """

    def __init__(self, url: str, protocol: ClientProtocol, options: ConnectionOptions, clock: Clock | None = None):
        self._protocol = protocol
        self._on_overflow = options.on_overflow
        self._link = Link(url, protocol, options, clock or Clock())
        self._link.on_answer = self._hear
        self._asked: WeakValueDictionary[str, Asked] = WeakValueDictionary()
        """Those that somebody may read."""

    @property
    def ready(self) -> Ready:
        """What the server said when the session was opened, or resumed."""
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
        self._link.start()
        await self._link.until(lambda: self._link.ended or self._protocol.ready is not None)
        if self._protocol.ready is None:
            raise self._link.outcome or ConnectionLost("the server closed the connection before the session was open")

    async def close(self) -> None:
        await self._link.close()

    async def send(self, chunk: Chunk) -> None:
        """Takes audio of any length; waits while too much of it is unacknowledged.

        While the connection is away nothing waits: what is too much then takes the place of the oldest audio (see
        `ConnectionOptions.on_overflow`).

        Raises:
            TympanError: the session's end, `bad_audio`, or `ack_timeout` (is anyone reading the events?).
        """
        await self._send(chunk, self._on_overflow or "drop")

    async def marker(self, marker_id: str) -> None:
        """Asks for a `MarkerReached` once all audio sent so far is decoded."""
        await self._take(lambda: self._protocol.marker(marker_id))

    async def finalize(self) -> None:
        """Ends the open utterances now."""
        await self._take(self._protocol.finalize)

    async def configure(
        self,
        *,
        interim: InterimPolicy | None = None,
        endpointing: Endpointing | None = None,
        events: bool | None = None,
        task: Tasks | None = None,
    ) -> None:
        """Changes what is given: endpointing from the next sample on, interims and all tasks from the next utterance
        on."""
        await self._take(
            lambda: self._protocol.configure(interim=interim, endpointing=endpointing, events=events, task=task)
        )

    async def ask(
        self,
        question: str | Sequence[Mapping[str, str]],
        *,
        last_s: float | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Asked:
        """Asks about what was heard, with a model that can be asked. What it returns gives the answer, and has the id
        that its `Answer` events have.

        Args:
            question: its text, or a conversation: {"role": "user" | "assistant" | "system", "content": text}.
            last_s: seconds of the newest audio that it is about; None: the session, as far as it is kept.
            max_tokens: of the answer.

        Raises:
            TympanError: the session's end, `too_many_asks`.
        """
        messages = [{"role": "user", "content": question}] if isinstance(question, str) else question
        asked = Asked(secrets.token_urlsafe(9), self._link)
        self._asked[asked.id] = asked
        await self._take(
            lambda: self._protocol.ask(
                asked.id,
                messages,
                last_s=last_s,
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
                seed=seed,
            )
        )
        return asked

    def _hear(self, piece: Answer) -> None:
        if (asked := self._asked.get(piece.id)) is not None:
            asked.hear(piece)

    async def stop(self) -> None:
        """No more audio: the last finals come, then the summary, and with it the events end."""
        await self._take(self._protocol.stop)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """Raises TympanError where the session ended in an error, or the connection before the session."""
        event = await self._link.next_event()
        if event is not None:
            return event
        if self._link.outcome:
            raise self._link.outcome
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

    def fail(self, error: Exception) -> None:
        """Ends the session; whoever reads the events raises the error."""
        self._link.fail(error)

    async def _send_all(self, source: Source, realtime: bool) -> None:
        loop = asyncio.get_running_loop()
        begin, first = loop.time(), self.next_sample
        try:
            async with aclosing(_chunks(source, self.audio)) as chunks:
                async for chunk in chunks:
                    await self._send(chunk, self._on_overflow or "wait")
                    if realtime:
                        due = begin + (self.next_sample - first) / self.audio.sample_rate
                        await asyncio.sleep(max(0.0, due - loop.time()))
            await self.stop()
        except Exception as error:  # noqa: BLE001 - whoever reads the events raises it
            self.fail(error)

    async def _send(self, chunk: Chunk, overflow: Overflow) -> None:
        for piece in self._protocol.slices(encode_samples(chunk, self.audio)):
            await self._room(piece, overflow)
            await self._take(lambda piece=piece: self._protocol.audio(piece))  # type: ignore[misc]

    async def _room(self, piece: bytes, overflow: Overflow) -> None:
        """Waits for it. The time for an ack does not run while the connection is away."""

        def away() -> bool:
            return self._protocol.state == "reconnecting"

        def ready_or_over() -> bool:
            return self._link.ended or self._protocol.has_room(piece, overflow)

        while not ready_or_over():
            if away():
                await self._link.until(lambda: ready_or_over() or not away())
                continue
            try:
                async with asyncio.timeout(ACK_TIMEOUT_S):
                    await self._link.until(lambda: ready_or_over() or away())
            except TimeoutError:
                hint = f"no ack within {ACK_TIMEOUT_S:g} s; is anyone reading the events?"
                raise TympanError("ack_timeout", hint, retryable=True) from None

    async def _take(self, take: Callable[[], None]) -> None:
        if self._protocol.state == "finished":
            await self._link.until(lambda: self._link.ended)  # then it is known why
        if self._link.outcome or self._link.ended:
            raise self._link.outcome or TympanError("bad_use", "nothing can be sent: the session is over")
        take()
        self._link.changed()
        await asyncio.sleep(0)  # whoever only sends lets the connection have its turn


async def _chunks(source: Source, audio: AudioFormat) -> AsyncGenerator[Chunk, None]:
    if isinstance(source, AsyncIterable):
        async for chunk in source:
            yield chunk
        return
    iterator = chunks_of(source, audio)
    while (next_chunk := await asyncio.to_thread(lambda: next(iterator, None))) is not None:
        yield next_chunk
