"""The same client for programs without asyncio: blocking calls, and one thread per session that reads the socket."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tympan_client.address import DEFAULT_URL, connect_error, stream_url
from tympan_client.audio import Chunk, SyncSource, chunks_of, declare_wav, encode_samples
from tympan_client.client import ACK_TIMEOUT_S, MAX_EVENTS, OPEN_TIMEOUT_S
from tympan_client.errors import ConnectionLost, TympanError
from tympan_client.events import Event, Ready
from tympan_client.options import AudioFormat, Codec, Endpointing, InterimPolicy, SessionOptions, merge_options
from tympan_client.protocol import SUBPROTOCOLS, ClientProtocol, Payload


class SyncTympanClient:
    """As `TympanClient`, blocking."""

    def __init__(self, url: str = DEFAULT_URL, *, codec: Codec = "msgpack", **options: Any) -> None:
        self.url = stream_url(url)
        self._codec: Codec = codec
        self._options = merge_options(SessionOptions(), options)

    def connect(self, **options: Any) -> AbstractContextManager[SyncSession]:
        """A session, open and ready. Leaving the block closes the connection; for the last finals, `stop` and read on.

        Raises:
            TympanError: `unreachable`, `not_tympan`, or the server's refusal.
        """
        return self._open(merge_options(self._options, options))

    def stream(self, source: SyncSource, *, realtime: bool = False, **options: Any) -> Iterator[Event]:
        """One session for one source: a thread sends it and stops, while this yields every event up to the summary.

        Args:
            source: a WAV file's path (its format is declared to the server), bytes or an array, or an iterable of
                bytes or arrays.
            realtime: send at the speed at which it was spoken.
        """
        with self._open(declare_wav(source, merge_options(self._options, options))) as session:
            yield from session.stream(source, realtime=realtime)

    @contextmanager
    def _open(self, options: SessionOptions) -> Iterator[SyncSession]:
        protocol = ClientProtocol(options, self._codec)
        with ExitStack() as stack:
            try:
                socket = stack.enter_context(
                    connect(
                        self.url,
                        subprotocols=[Subprotocol(SUBPROTOCOLS[self._codec])],
                        compression=None,
                        open_timeout=OPEN_TIMEOUT_S,
                    )
                )
            except (OSError, WebSocketException) as error:
                raise connect_error(self.url, error) from error
            session = SyncSession(socket, protocol)
            stack.callback(session.close)
            session.open()
            yield session


class SyncSession:
    """One open session. Send in one thread and read the events in another, or use `stream`."""

    def __init__(self, socket: ClientConnection, protocol: ClientProtocol) -> None:
        self._socket = socket
        self._protocol = protocol
        self._events: queue.Queue[Event | None] = queue.Queue(MAX_EVENTS)
        self._progress = threading.Condition()  # also the lock of `_protocol`
        self._outcome: Exception | None = None  # the first error wins
        self._ended = False
        self._closing = False
        self._reader = threading.Thread(target=self._read, name="tympan-client-reader", daemon=True)

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

    def open(self) -> None:
        """Sends `start` and waits for `ready`, which is also the first event. Called by `SyncTympanClient.connect`."""
        self._reader.start()
        self._send(self._protocol.start)
        with self._progress:
            self._progress.wait_for(lambda: self._ended or self._protocol.ready is not None)
        if self._protocol.ready is None:
            raise self._outcome or ConnectionLost("the server closed the connection before the session was open")

    def close(self) -> None:
        self._closing = True
        self._socket.close()
        while self._reader.is_alive():  # it may wait for room in the queue
            while not self._events.empty():
                self._events.get_nowait()
            self._reader.join(timeout=0.05)

    def send(self, chunk: Chunk) -> None:
        """Sends audio of any length; waits while too much of it is unacknowledged.

        Raises:
            TympanError: the session's end, `bad_audio`, or `ack_timeout` (is anyone reading the events?).
        """
        for piece in self._protocol.slices(encode_samples(chunk, self.audio)):
            self._wait_until(lambda piece=piece: self._protocol.can_send(piece))  # type: ignore[misc]
            self._send(lambda piece=piece: self._protocol.audio(piece))  # type: ignore[misc]

    def marker(self, marker_id: str) -> None:
        """Asks for a `MarkerReached` once all audio sent so far is decoded."""
        self._send(lambda: self._protocol.marker(marker_id))

    def finalize(self) -> None:
        """Ends the open utterances now."""
        self._send(self._protocol.finalize)

    def configure(
        self,
        *,
        interim: InterimPolicy | None = None,
        endpointing: Endpointing | None = None,
        events: bool | None = None,
    ) -> None:
        """Changes what is given, from the next sample on."""
        self._send(lambda: self._protocol.configure(interim=interim, endpointing=endpointing, events=events))

    def stop(self) -> None:
        """No more audio: the last finals come, then the summary, and with it the events end."""
        self._send(self._protocol.stop)

    def __iter__(self) -> Iterator[Event]:
        """Raises TympanError where the session ended in an error, or the connection before the session."""
        while not (self._ended and self._events.empty()):
            event = self._events.get()
            if event is None:
                break
            yield event
        if self._outcome:
            raise self._outcome

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
                self._outcome = self._outcome or error
                self._socket.close()

        threading.Thread(target=send_all, name="tympan-client-sender", daemon=True).start()
        try:
            yield from self
        finally:
            left.set()

    def _read(self) -> None:
        try:
            for payload in self._socket:
                with self._progress:
                    event = self._protocol.receive(payload)
                    self._progress.notify_all()
                self._events.put(event)
                if self._closing or self._protocol.state == "finished":
                    break
            else:
                self._outcome = self._outcome or _lost(self._socket)
        except ConnectionClosed:
            self._outcome = self._outcome or _lost(self._socket)
        except TympanError as error:
            self._outcome = self._outcome or error
        with self._progress:
            self._ended = True
            self._progress.notify_all()
        self._events.put(None)

    def _send(self, make: Callable[[], Payload]) -> None:
        with self._progress:
            if self._outcome:
                raise self._outcome
            payload = make()
        try:
            self._socket.send(payload)
        except ConnectionClosed:
            self._wait_until(lambda: self._ended)
            raise self._outcome or _lost(self._socket) from None

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        with self._progress:
            if not self._progress.wait_for(lambda: self._ended or condition(), ACK_TIMEOUT_S):
                raise TympanError(
                    "ack_timeout",
                    f"no ack within {ACK_TIMEOUT_S:g} s; is anyone reading the events?",
                    retryable=True,
                )
            if not condition():
                raise self._outcome or _lost(self._socket)


def _lost(socket: ClientConnection) -> ConnectionLost:
    code, reason = socket.close_code, socket.close_reason
    return ConnectionLost(f"the connection ended with close code {code}" + (f": {reason}" if reason else ""))
