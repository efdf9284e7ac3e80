"""The socket shell of every wire format: one WebSocket, one session.

The order of calls: whoever makes a Connection has looked at the request and accepted it. Then the dialect is fed until
it begins a session; then one task gives each message to the dialect and what that returns to the session, which may
make it wait (and with it the socket: nothing is read meanwhile, so TCP slows the client down), while another sends what
the session has to say. The first fatal error, `stop`, or the client's going away ends both, and the session is freed.

Audio that is not samples goes through a decoding process on its way. A command that comes after it waits until it is
decoded.

Where others hear the session as well (a telephone call's viewers, its webhook), a client that goes away ends it by
`stop`, and the session says what it has left to say.

Pings are sent but no pong is waited for: a client that is slowed down has its pong behind audio that nobody reads yet.
A dead peer is found by TCP (`app.listen`), by `send_timeout_s` and by the dialect's deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Any, Protocol

from starlette.websockets import WebSocketDisconnect

from streaming.media.decoder import Decoders
from streaming.protocol.dialect import Close, Dialect, Encoded, Outcome, Payload, Reply
from streaming.protocol.errors import CLOSE_NORMAL, ProtocolError
from streaming.protocol.messages import Start, Stop
from streaming.session.runner import SessionRunner
from streaming.session.service import Service
from streaming.transport.decoding import Decoding
from streaming.transport.reading_clock import ReadingClock

log = logging.getLogger(__name__)

LAST_WORDS_S = 1.0
"""How long the last error may take to reach a client that does not read."""
LOOK_S = 0.05
"""How often a deadline is looked at that time has nearly reached, while the client is not listened to."""
LAST_FINALS_S = 30.0
"""How long a session whose client is gone may wait for its finals."""
CLOSE_ABNORMAL = 1006
MAX_REASON_BYTES = 123
"""Of a close frame (RFC 6455, 5.5: 125 bytes, two of them the code)."""


class _Ended(Exception):
    """The dialect closes the connection."""

    def __init__(self, close: Close) -> None:
        super().__init__(close.code)
        self.close = close


class Socket(Protocol):
    """What is asked of a WebSocket, in ASGI's words; other sockets with whole messages can do the same."""

    async def receive(self) -> MutableMapping[str, Any]: ...

    async def send_text(self, data: str) -> None: ...

    async def send_bytes(self, data: bytes) -> None: ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None: ...


class Connection:
    def __init__(
        self,
        websocket: Socket,
        dialect: Dialect,
        service: Service,
        decoders: Decoders,
        clock: Callable[[], float],
        runner: SessionRunner | None = None,
        *,
        finish: bool = False,
    ) -> None:
        """
        Args:
            websocket: accepted.
            runner: the session of the dialect's `start`; it is this connection's from here on.
            finish: others hear the session as well: it ends by `stop`, not with its client.
        """
        self._websocket = websocket
        self._dialect = dialect
        self._service = service
        self._decoders = decoders
        self._clock = ReadingClock(clock)
        self._runner = runner
        self._finish = finish
        self._gone = False
        """The client, while the session goes on to its end."""
        self._send_timeout_s = service.config.server.send_timeout_s
        self._stack = contextlib.AsyncExitStack()
        self._decoding: Decoding | None = None
        self._close_asked: Close | None = None
        self._closing = asyncio.Event()
        self._sending = asyncio.Lock()
        self._asleep_until = -math.inf
        self._earlier = asyncio.Event()

    async def run(self) -> None:
        async with self._stack:
            if self._runner is not None:
                self._stack.push_async_callback(self._runner.close)
            try:
                runner, outcomes = await self._begin()
            except ProtocolError as error:
                self._service.metrics.errors.labels(error.code).inc()
                await self._refuse(error)
            except _Ended as ended:
                await self._close(ended.close)
            except (TimeoutError, WebSocketDisconnect):
                log.info("a client was gone before its session began")
            else:
                await self._run_session(runner, outcomes)

    # -- before there is a session ----------------------------------------------------------------------------------

    async def _begin(self) -> tuple[SessionRunner, Sequence[Outcome]]:
        """The session, and what is to be done in it first. Raises ProtocolError, _Ended, WebSocketDisconnect."""
        outcomes = deque(self._dialect.opened(self._clock()))
        while self._runner is None:
            while outcomes and self._runner is None:
                match outcomes.popleft():
                    case Start() as start:
                        self._runner = await self._service.new_session(start)
                        self._stack.push_async_callback(self._runner.close)
                    case Reply(payload):
                        await self._send([payload], self._send_timeout_s)
                    case Close() as close:
                        raise _Ended(close)
                    case other:
                        raise RuntimeError(f"{type(other).__name__} before `start`")
            if self._runner is None:
                outcomes.extend(await self._receive_in_time())
        return self._runner, outcomes

    async def _receive_in_time(self) -> Sequence[Outcome]:
        deadline = self._dialect.deadline
        try:
            async with asyncio.timeout(None if deadline is None else max(0.0, deadline - self._clock())):
                payload = await self._payload()
        except TimeoutError:
            assert deadline is not None
            return self._dialect.timeout(max(deadline, self._clock()))
        return self._dialect.receive(payload, self._clock())

    # -- in a session -----------------------------------------------------------------------------------------------

    async def _run_session(self, runner: SessionRunner, outcomes: Sequence[Outcome]) -> None:
        runner.resumable = not self._finish
        reader = asyncio.create_task(self._read(runner, outcomes), name="reader")
        writer = asyncio.create_task(self._write(runner), name="writer")
        watch = asyncio.create_task(self._watch(runner), name="watch")
        closing = asyncio.create_task(self._closing.wait(), name="closing")
        try:
            await asyncio.wait({reader, writer, closing}, return_when=asyncio.FIRST_COMPLETED)
            if self._close_asked is not None:
                await runner.close()
                await self._close(self._close_asked)
                return
            if self._finish and not writer.done() and reader.result():
                self._gone = True
                watch.cancel()
                await self._finish_without_client(runner, writer)
                return
            client_is_there = writer.done() or not reader.result()
            if client_is_there and await writer:
                # First the room, then the goodbye: a client that comes again at once finds its place free.
                await runner.close()
                reason = runner.failure.code if runner.failure else ""
                await self._close(self._dialect.goodbye(runner.close_code, reason))
        finally:
            for task in (reader, writer, watch, closing):
                task.cancel()
            await asyncio.gather(reader, writer, watch, closing, return_exceptions=True)

    async def _finish_without_client(self, runner: SessionRunner, writer: asyncio.Task[bool]) -> None:
        try:
            async with asyncio.timeout(LAST_FINALS_S):
                await self._carry_out(runner, [Stop()])
                await asyncio.shield(writer)
        except TimeoutError:
            log.warning("session %s had no last finals in time", runner.session)

    async def _read(self, runner: SessionRunner, outcomes: Sequence[Outcome]) -> bool:
        """Until the client goes away (True) or does something that ends the session (False)."""
        try:
            with self._clock.stopped():
                await self._carry_out(runner, outcomes)
            while True:
                outcomes = self._dialect.receive(await self._payload(), self._clock())
                self._look_at_deadline()
                with self._clock.stopped():
                    await self._carry_out(runner, outcomes)
        except WebSocketDisconnect:
            return True
        except _Ended as ended:
            self._close_asked = ended.close
        except Exception as error:  # noqa: BLE001 - whatever it is, the session ends by it
            self._fail(runner, error)
        return False

    async def _carry_out(self, runner: SessionRunner, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            match outcome:
                case Reply(payload):
                    await self._send([payload], self._send_timeout_s)
                case Encoded(data):
                    if self._decoding is None:
                        assert self._dialect.source is not None
                        decoding = Decoding.open(self._decoders, self._dialect.source, runner)
                        self._decoding = await self._stack.enter_async_context(decoding)
                    await self._decoding.feed(data)
                case Close():
                    raise _Ended(outcome)
                case message:
                    if self._decoding is not None:
                        await self._decoding.before(message)
                    await runner.feed(message)

    async def _watch(self, runner: SessionRunner) -> None:
        """Looks after the dialect's deadline. One timer, which later deadlines do not move."""
        try:
            while True:
                deadline, now = self._dialect.deadline, self._clock()
                if deadline is not None and now >= deadline:
                    await self._carry_out(runner, self._dialect.timeout(now))
                    continue
                self._asleep_until = math.inf if deadline is None else deadline
                self._earlier.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if deadline is None else max(LOOK_S, deadline - now)):
                        await self._earlier.wait()
        except _Ended as ended:
            self._close_asked = ended.close
            self._closing.set()
        except WebSocketDisconnect:
            log.info("a client was gone when its time was up")
        except Exception as error:  # noqa: BLE001 - whatever it is, the session ends by it
            self._fail(runner, error)

    def _look_at_deadline(self) -> None:
        deadline = self._dialect.deadline
        if deadline is not None and deadline < self._asleep_until:
            self._earlier.set()

    async def _write(self, runner: SessionRunner) -> bool:
        """Until the session has said everything; False when the client cannot be reached any more."""
        try:
            await self._send_events(runner)
        except WebSocketDisconnect:
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, the session ends by it
            self._fail(runner, error)
            try:
                await self._send_events(runner)
            except (TimeoutError, WebSocketDisconnect):
                return False
        return True

    def _fail(self, runner: SessionRunner, error: Exception) -> None:
        match error:
            case ProtocolError():
                runner.fail(error)
            case TimeoutError():
                runner.fail(ProtocolError("slow_reader", f"nothing was read for {self._send_timeout_s:g} s"))
            case _:
                log.error("session %s failed", runner.session, exc_info=error)
                runner.fail(ProtocolError("internal", "the server failed; its log has the details"))

    async def _send_events(self, runner: SessionRunner) -> None:
        async for message in runner.events():
            payloads = self._dialect.say(message)
            self._look_at_deadline()
            if payloads:
                await self._send(payloads, LAST_WORDS_S if runner.failure else self._send_timeout_s)

    # -- the socket -------------------------------------------------------------------------------------------------

    async def _payload(self) -> Payload:
        """The next WebSocket message. Raises WebSocketDisconnect."""
        event = await self._websocket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", CLOSE_NORMAL))
        payload: bytes | None = event.get("bytes")
        text: str = event.get("text") or ""
        return text if payload is None else payload

    async def _send(self, payloads: Iterable[Payload], timeout_s: float) -> None:
        """In the order in which the dialect made them: nothing is awaited between that and the lock, which is fair.

        Raises TimeoutError, WebSocketDisconnect.
        """
        async with self._sending:
            for payload in payloads:
                if self._gone:
                    return
                try:
                    async with asyncio.timeout(timeout_s):
                        if isinstance(payload, str):
                            await self._websocket.send_text(payload)
                        else:
                            await self._websocket.send_bytes(payload)
                except (RuntimeError, WebSocketDisconnect):
                    # Starlette's RuntimeError: the socket was closed under the message.
                    if not self._finish:
                        raise WebSocketDisconnect(CLOSE_ABNORMAL) from None
                    self._gone = True

    async def _refuse(self, error: ProtocolError) -> None:
        """An error before there is a session."""
        try:
            await self._send(self._dialect.say(error.as_message()), LAST_WORDS_S)
        except (TimeoutError, WebSocketDisconnect):
            log.info("a refused client was gone before it could be told")
            return
        await self._close(self._dialect.goodbye(error.close_code or CLOSE_NORMAL, error.code))

    async def _close(self, close: Close) -> None:
        reason = close.reason.encode()[:MAX_REASON_BYTES].decode("utf-8", "ignore")
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self._websocket.close(close.code, reason)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            log.info("a client was gone before its connection was closed")
