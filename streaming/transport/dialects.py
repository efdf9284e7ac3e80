"""One router for all dialects over WebSockets: which path speaks which, who is let in, and how it is said no.

The order of calls: the handshake is read; the client shows its key; the dialect reads the request, and where that says
what session it shall be, the session is made; only then the connection is accepted and the shell runs it. Whatever
goes wrong before is an HTTP answer in the dialect's shape.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from streaming.media.decoder import Decoders
from streaming.protocol.credentials import Keyring, echoed_subprotocol
from streaming.protocol.dialect import CallDialect, Dialect, Handshake
from streaming.protocol.dialects.assemblyai import AssemblyAI
from streaming.protocol.dialects.deepgram.live import DeepgramLive
from streaming.protocol.dialects.deepgram.request import refusal as deepgram_refusal
from streaming.protocol.dialects.openai.errors import refusal as openai_refusal
from streaming.protocol.dialects.openai.realtime import OpenAIRealtime
from streaming.protocol.dialects.plain import PlainSocket
from streaming.protocol.dialects.plain import refusal as plain_refusal
from streaming.protocol.errors import ProtocolError
from streaming.session.runner import SessionRunner
from streaming.session.service import Service
from streaming.transport.access import let_in
from streaming.transport.calls import Calls
from streaming.transport.connection import Connection
from streaming.transport.handshake import origin_allowed

SESSION_HEADER: Final = "Tympan-Session"
"""Of an upgrade: the session's id, for those who watch it."""
MESSAGE_FACTOR: Final = 4
"""Of `server.max_message_bytes`: audio in base64 and JSON, in the long messages that SDKs send at once."""

Refusal = Callable[[ProtocolError, str], tuple[int, dict[str, object]]]
"""Takes the error and the connection's id; gives the HTTP status and the JSON body."""


@dataclass(frozen=True)
class DialectRoute:
    path: str
    open: Callable[[Handshake], Dialect]
    """Raises ProtocolError: the request is wrong."""
    refusal: Refusal
    headers: Callable[[Handshake], dict[str, str]] = lambda handshake: {}
    """Of the upgrade."""
    refused_early: bool = True
    """Where there is no room, before the upgrade; False: the dialect has its own words for it."""
    guarded: bool = True
    """By API keys; False: the dialect looks at who comes by itself."""
    call: bool = False
    """`open` gives a CallDialect."""


ROUTES: Final[Sequence[DialectRoute]] = (
    DialectRoute(
        "/v1/listen", DeepgramLive, deepgram_refusal, headers=lambda handshake: {"dg-request-id": handshake.id}
    ),
    DialectRoute("/v1/realtime", OpenAIRealtime, openai_refusal),
    DialectRoute("/realtime", OpenAIRealtime, openai_refusal),
    DialectRoute("/v3/ws", AssemblyAI, plain_refusal),
    DialectRoute("/", PlainSocket, plain_refusal, refused_early=False),
)


def dialect_routes(
    routes: Iterable[DialectRoute],
    service: Service,
    keyring: Keyring,
    decoders: Decoders,
    clock: Callable[[], float],
    calls: Calls,
) -> list[BaseRoute]:
    return [
        WebSocketRoute(route.path, _Endpoint(route, service, keyring, decoders, clock, calls).serve) for route in routes
    ]


class _Endpoint:
    def __init__(
        self,
        route: DialectRoute,
        service: Service,
        keyring: Keyring,
        decoders: Decoders,
        clock: Callable[[], float],
        calls: Calls,
    ) -> None:
        self._route = route
        self._service = service
        self._keyring = keyring
        self._decoders = decoders
        self._clock = clock
        self._calls = calls

    async def serve(self, websocket: WebSocket) -> None:
        """One WebSocket that is not accepted yet."""
        handshake = self._handshake(websocket)
        runner: SessionRunner | None = None
        try:
            self._look_at(websocket)
            dialect = self._route.open(handshake)
            if dialect.start is None and self._route.refused_early:
                self._service.check_room()
            if dialect.start is not None:
                runner = await self._service.new_session(dialect.start)
        except ProtocolError as error:
            self._service.metrics.errors.labels(error.code).inc()
            await websocket.send_denial_response(self._refusal(error, handshake))
            return
        try:
            headers = self._route.headers(handshake)
            if runner is not None:
                headers |= {SESSION_HEADER: runner.session}
            raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            await websocket.accept(echoed_subprotocol(handshake.subprotocols), raw)
        except BaseException:
            if runner is not None:
                await runner.close()
            raise
        await self._run(websocket, dialect, runner)

    async def _run(self, websocket: WebSocket, dialect: Dialect, runner: SessionRunner | None) -> None:
        if not self._route.call:
            await Connection(websocket, dialect, self._service, self._decoders, self._clock, runner).run()
            return
        with self._calls.reported(cast(CallDialect, dialect)) as reported:
            connection = Connection(
                websocket, reported, self._service, self._decoders, self._clock, runner, finish=True
            )
            await connection.run()

    def _handshake(self, websocket: WebSocket) -> Handshake:
        settings = self._service.config.server
        return Handshake(
            path=websocket.url.path,
            target=_target(websocket),
            query=QueryParams(websocket.scope["query_string"]).multi_items(),
            headers=dict(websocket.headers),
            subprotocols=websocket.scope["subprotocols"],
            id=str(uuid.uuid4()),
            now=self._clock(),
            unix_s=time.time(),
            max_message_bytes=MESSAGE_FACTOR * settings.max_message_bytes,
            start_timeout_s=settings.start_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
        )

    def _look_at(self, websocket: WebSocket) -> None:
        """Raises ProtocolError (`unauthorized`)."""
        headers, allowed = websocket.headers, self._service.config.server.allowed_origins
        if self._route.guarded:
            let_in(websocket.scope, self._keyring)
        if self._keyring.open and not origin_allowed(headers.get("origin"), headers.get("host"), allowed):
            text = "this page's origin may not connect; the setting server.allowed_origins lists those that may"
            raise ProtocolError("unauthorized", text)

    def _refusal(self, error: ProtocolError, handshake: Handshake) -> Response:
        status, body = self._route.refusal(error, handshake.id)
        headers = self._route.headers(handshake)
        if error.retry_after_ms is not None:
            headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
        return JSONResponse(body, status, headers)


def _target(websocket: WebSocket) -> str:
    raw: bytes = websocket.scope.get("raw_path") or websocket.url.path.encode()
    query: bytes = websocket.scope["query_string"]
    return (raw + b"?" + query if query else raw).decode("latin-1")
