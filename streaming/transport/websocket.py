"""The socket shell of the native protocol: one WebSocket, one session.

The order of calls: negotiate the subprotocol and look at the origin; accept; wait for `start`; then one task gives
each message to the protocol and what that returns to the session, which may make it wait (and with it the socket:
nothing is read meanwhile, so TCP slows the client down), while another sends what the session has to say. The first
fatal error, `stop`, or the client's going away ends both, and the session is freed.

Pings are sent but no pong is waited for: a client that is slowed down has its pong behind audio that nobody reads yet.
A dead peer is found by TCP (`app.listen`), by `send_timeout_s` and by the protocol's idle timeout.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.websockets import WebSocket, WebSocketDisconnect

from streaming.config import ServerSettings
from streaming.protocol.errors import CLOSE_NORMAL, ProtocolError
from streaming.protocol.messages import ClientMessage, RefusedAsk, ServerMessage, Start
from streaming.protocol.native import NativeProtocol
from streaming.session.runner import SessionRunner
from streaming.session.service import Service
from streaming.transport.handshake import accept

log = logging.getLogger(__name__)

LAST_WORDS_S = 1.0
"""How long the last error may take to reach a client that does not read."""


async def serve_stream(websocket: WebSocket, service: Service, clock: Callable[[], float]) -> None:
    """Serves `/v1/stream` on one WebSocket that is not accepted yet."""
    settings = service.config.server
    codec = await accept(websocket, settings.allowed_origins)
    if codec is None:
        return
    protocol = NativeProtocol(
        clock(),
        codec,
        max_message_bytes=settings.max_message_bytes,
        start_timeout_s=settings.start_timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
    )
    await _Connection(websocket, protocol, service, settings, clock).run()


class _Connection:
    def __init__(
        self,
        websocket: WebSocket,
        protocol: NativeProtocol,
        service: Service,
        settings: ServerSettings,
        clock: Callable[[], float],
    ) -> None:
        self._websocket = websocket
        self._protocol = protocol
        self._service = service
        self._settings = settings
        self._clock = clock

    async def run(self) -> None:
        try:
            runner = await self._begin()
        except ProtocolError as error:
            self._service.metrics.errors.labels(error.code).inc()
            await self._refuse(error)
            return
        except WebSocketDisconnect:
            return
        try:
            await self._run_session(runner)
        finally:
            await runner.close()

    async def _begin(self) -> SessionRunner:
        messages: list[ClientMessage | RefusedAsk] = []
        try:
            async with asyncio.timeout(self._settings.start_timeout_s):
                while not messages:
                    messages = await self._receive()
        except TimeoutError:
            self._protocol.check_timeouts(self._protocol.deadline or self._clock())
        (start,) = messages
        assert isinstance(start, Start)
        return await self._service.new_session(start)

    async def _run_session(self, runner: SessionRunner) -> None:
        reader = asyncio.create_task(self._read(runner), name="reader")
        writer = asyncio.create_task(self._write(runner), name="writer")
        watch = asyncio.create_task(self._watch(runner), name="watch")
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            client_is_there = writer.done() or not reader.result()
            if client_is_there and await writer:
                # First the room, then the goodbye: a client that comes again at once finds its place free.
                await runner.close()
                await self._close(runner.close_code, runner.failure.code if runner.failure else "")
        finally:
            for task in (reader, writer, watch):
                task.cancel()
            await asyncio.gather(reader, writer, watch, return_exceptions=True)

    async def _read(self, runner: SessionRunner) -> bool:
        """Until the client goes away (True) or does something that ends the session (False)."""
        try:
            while True:
                for message in await self._receive():
                    await runner.feed(message)
        except WebSocketDisconnect:
            return True
        except ProtocolError as error:
            runner.fail(error)
        except Exception:
            log.exception("session %s failed", runner.session)
            runner.fail(ProtocolError("internal", "the server failed; its log has the details"))
        return False

    async def _write(self, runner: SessionRunner) -> bool:
        """Until the session has said everything; False when the client cannot be reached any more."""
        try:
            try:
                await self._send_events(runner)
            except TimeoutError:
                runner.fail(ProtocolError("slow_reader", f"nothing was read for {self._settings.send_timeout_s:g} s"))
                await self._send_events(runner)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            # Starlette's RuntimeError: the socket was closed under the message.
            return False
        return True

    async def _send_events(self, runner: SessionRunner) -> None:
        async for message in runner.events():
            await self._send(message, LAST_WORDS_S if runner.failure else self._settings.send_timeout_s)

    async def _receive(self) -> list[ClientMessage | RefusedAsk]:
        """The next WebSocket message. Raises ProtocolError, WebSocketDisconnect."""
        event = await self._websocket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", CLOSE_NORMAL))
        payload = event.get("bytes")
        return self._protocol.receive(event["text"] if payload is None else payload, self._clock())

    async def _watch(self, runner: SessionRunner) -> None:
        """Ends a session whose client says nothing for too long. One timer, which no message moves."""
        while (deadline := self._protocol.deadline) is not None:
            now = self._clock()
            if now >= deadline:
                try:
                    self._protocol.check_timeouts(now)
                except ProtocolError as error:
                    runner.fail(error)
                return
            await asyncio.sleep(deadline - now)

    async def _send(self, message: ServerMessage, timeout_s: float) -> None:
        payload = self._protocol.encode(message)
        async with asyncio.timeout(timeout_s):
            if isinstance(payload, str):
                await self._websocket.send_text(payload)
            else:
                await self._websocket.send_bytes(payload)

    async def _refuse(self, error: ProtocolError) -> None:
        """An error before there is a session."""
        message = error.as_message()
        try:
            await self._send(message, LAST_WORDS_S)
            await self._close(error.close_code or CLOSE_NORMAL, error.code)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            log.info("a refused client was gone before it could be told")

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self._websocket.close(code, reason)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            log.info("a client was gone before its connection was closed")
