"""The same client for programs without asyncio: blocking calls, carried out on one thread per session."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from typing import Any, TypeVar

from tympan_client.address import DEFAULT_URL
from tympan_client.asked import Asked
from tympan_client.audio import Chunk, SyncSource, chunks_of, declare_wav
from tympan_client.client import TympanClient
from tympan_client.errors import TympanError
from tympan_client.events import Answer, Event, Ready
from tympan_client.options import AudioFormat, Codec, Endpointing, InterimPolicy, Tasks
from tympan_client.session import Session

_Result = TypeVar("_Result")


class SyncTympanClient:
    """As `TympanClient`, blocking."""

    def __init__(self, url: str = DEFAULT_URL, *, codec: Codec = "msgpack", **options: Any) -> None:
        self._client = TympanClient(url, codec=codec, **options)
        self.url = self._client.url

    def connect(self, **options: Any) -> AbstractContextManager[SyncSession]:
        """A session, open and ready. Leaving the block closes the connection; for the last finals, `stop` and read on.

        Raises:
            TympanError: `unreachable`, `not_tympan`, or the server's refusal.
        """
        return self._open(options)

    def stream(self, source: SyncSource, *, realtime: bool = False, **options: Any) -> Iterator[Event]:
        """One session for one source: a thread sends it and stops, while this yields every event up to the summary.

        Args:
            source: a WAV file's path (its format is declared to the server), bytes or an array, or an iterable of
                bytes or arrays. For a microphone, give `on_overflow="drop"`.
            realtime: send at the speed at which it was spoken.
        """
        asked = self._client.options.changed(options)
        overflow = asked.connection.on_overflow or "wait"
        audio = declare_wav(source, asked.session).audio
        with self._open({**options, "audio": audio, "on_overflow": overflow}) as session:
            yield from session.stream(source, realtime=realtime)

    @contextmanager
    def _open(self, options: dict[str, Any]) -> Iterator[SyncSession]:
        with _loop_thread() as loop:
            opened = self._client.connect(**options)
            session = _call(loop, opened.__aenter__())
            try:
                yield SyncSession(session, loop)
            finally:
                _call(loop, _leave(opened))


class SyncSession:
    """One open session. Send in one thread and read the events in another, or use `stream`."""

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop) -> None:
        self._session = session
        self._loop = loop

    @property
    def ready(self) -> Ready:
        """What the server said when the session was opened, or resumed."""
        return self._session.ready

    @property
    def audio(self) -> AudioFormat:
        return self._session.audio

    @property
    def next_sample(self) -> int:
        """Position of the next sample that will be sent."""
        return self._session.next_sample

    def send(self, chunk: Chunk) -> None:
        """Takes audio of any length; waits while too much of it is unacknowledged, see `Session.send`.

        Raises:
            TympanError: the session's end, `bad_audio`, or `ack_timeout` (is anyone reading the events?).
        """
        _call(self._loop, self._session.send(chunk))

    def marker(self, marker_id: str) -> None:
        """Asks for a `MarkerReached` once all audio sent so far is decoded."""
        _call(self._loop, self._session.marker(marker_id))

    def finalize(self) -> None:
        """Ends the open utterances now."""
        _call(self._loop, self._session.finalize())

    def configure(
        self,
        *,
        interim: InterimPolicy | None = None,
        endpointing: Endpointing | None = None,
        events: bool | None = None,
        task: Tasks | None = None,
    ) -> None:
        """Changes what is given: endpointing from the next sample on, interims and all tasks from the next utterance
        on."""
        changed = self._session.configure(interim=interim, endpointing=endpointing, events=events, task=task)
        _call(self._loop, changed)

    def ask(
        self,
        question: str | Sequence[Mapping[str, str]],
        *,
        last_s: float | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> SyncAsked:
        """As `Session.ask`."""
        asked = self._session.ask(
            question, last_s=last_s, max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed
        )
        return SyncAsked(_call(self._loop, asked), self._loop)

    def stop(self) -> None:
        """No more audio: the last finals come, then the summary, and with it the events end."""
        _call(self._loop, self._session.stop())

    def __iter__(self) -> Iterator[Event]:
        """Raises TympanError where the session ended in an error, or the connection before the session."""
        while (event := _call(self._loop, _next_event(self._session))) is not None:
            yield event

    def stream(self, source: SyncSource, *, realtime: bool = False) -> Iterator[Event]:
        """Sends the source and then `stop` from a thread, while yielding the events up to the summary."""
        left = threading.Event()

        def send_all() -> None:
            begin, first = time.monotonic(), self.next_sample
            try:
                for chunk in chunks_of(source, self.audio):
                    self.send(chunk)
                    due = begin + (self.next_sample - first) / self.audio.sample_rate
                    if left.wait(max(0.0, due - time.monotonic()) if realtime else 0.0):
                        return
                self.stop()
            except Exception as error:  # noqa: BLE001 - whoever reads the events raises it
                if not left.is_set():
                    self._loop.call_soon_threadsafe(self._session.fail, error)

        # A daemon, since the source may block for ever.
        threading.Thread(target=send_all, name="tympan-client-sender", daemon=True).start()
        try:
            yield from self
        finally:
            left.set()


class SyncAsked:
    """As `Asked`, blocking."""

    def __init__(self, asked: Asked, loop: asyncio.AbstractEventLoop) -> None:
        self.id = asked.id
        self._asked = asked
        self._loop = loop

    def __iter__(self) -> Iterator[Answer]:
        """Raises TympanError where there is no answer, or the rest of it will not come."""
        while (piece := _call(self._loop, _next_piece(self._asked))) is not None:
            yield piece

    def answer(self) -> Answer:
        """As `Asked.answer`."""
        return _call(self._loop, self._asked.answer())


@contextmanager
def _loop_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="tympan-client", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        _call(loop, _cancel_others())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _call(loop: asyncio.AbstractEventLoop, calling: Coroutine[Any, Any, _Result]) -> _Result:
    """The coroutine's result. Whoever is interrupted while waiting gives it up."""
    if loop.is_closed():
        calling.close()
        raise TympanError("bad_use", "the session is over")
    future = asyncio.run_coroutine_threadsafe(calling, loop)
    try:
        return future.result()
    finally:
        future.cancel()


async def _cancel_others() -> None:
    """Of other threads that still wait for the session."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _next_event(session: Session) -> Event | None:
    return await anext(session, None)


async def _next_piece(asked: Asked) -> Answer | None:
    return await anext(asked, None)


async def _leave(opened: AbstractAsyncContextManager[Session]) -> None:
    await opened.__aexit__(None, None, None)
