"""The ASGI app: WebSocket, health, metrics and pages on one port; and the server that runs it.

Routes: `/v1/stream` (WebSocket), `/v1/sessions`, `/v1/sessions/ID` with `/watch` (WebSocket or Server-Sent Events),
`/transcript.*` and `/chat` below it, `/v1/calls/ID` with the same but chat, those of the dialects
(streaming/transport/dialects.py, `telephony.py`, `*_files.py`), `/healthz` (the process answers), `/readyz` (sessions
are taken), `/metrics`, and the pages (streaming/transport/pages.py).
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from streaming.media.decoder import Decoders
from streaming.observability.metrics import CONTENT_TYPE
from streaming.session.service import Service
from streaming.session.watching import Watchers
from streaming.transport.access import NativeAccess, read_keyring
from streaming.transport.audiosocket import audiosocket_format
from streaming.transport.calls import Calls, call_routes
from streaming.transport.chat import chat_routes
from streaming.transport.deepgram_files import deepgram_file_routes
from streaming.transport.dialects import ROUTES, dialect_routes
from streaming.transport.listing import listing_route
from streaming.transport.openai_files import openai_file_routes
from streaming.transport.pages import page_routes
from streaming.transport.sessions_rest import session_routes
from streaming.transport.tcp import TcpServer
from streaming.transport.telephony import telephony_routes
from streaming.transport.uploads import Uploads
from streaming.transport.watch import EventStream, watch_by_websocket
from streaming.transport.webhook import Webhook
from streaming.transport.websocket import serve_stream
from streaming.transport.wyoming import wyoming_format

HARD_MESSAGE_BYTES = 16 << 20
"""What the WebSocket library itself refuses (1009); below it the protocol answers with a typed error first."""
PING_INTERVAL_S = 20.0
PEER_TIMEOUT_S = 30
"""A peer that acknowledges nothing for so long is gone."""
SEND_BUFFER_BYTES = 256 << 10
"""Of the kernel, per connection: a slow reader is noticed, and costs no more."""
BACKLOG = 1024

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Of what a browser shows as a page. In what a page loads they mean nothing, and would be a third of its bytes."""
PAGE_TYPES = ("text/html", "image/svg", "text/xml", "application/xml", "application/xhtml")
SECURITY_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def make_app(service: Service, clock: Callable[[], float] = time.monotonic) -> Starlette:
    """The app over a service that somebody else starts and stops. Raises ConfigError: the file of keys is wrong."""

    settings = service.config.server
    watchers = Watchers(
        lambda: service.store,
        max_sessions=settings.max_watched,
        max_viewers=settings.max_viewers,
        count=service.metrics.viewers.set,
    )

    keyring = read_keyring(service.config.auth)
    decoders = Decoders(service.config.media.max_decoders)

    uploads = Uploads(service, keyring, decoders)
    telephony = service.config.telephony
    calls = Calls(Webhook(telephony, service.metrics, clock) if telephony.webhook_url else None)
    lines = telephony_routes(telephony, keyring)

    async def stream(websocket: WebSocket) -> None:
        await serve_stream(websocket, service, decoders, clock)

    async def watch(websocket: WebSocket) -> None:
        await watch_by_websocket(websocket, watchers, settings)

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        if service.state == "ready" and service.info is not None:
            info = service.info
            return JSONResponse({"status": "ready", "model": info.model, "device": info.device, "dtype": info.dtype})
        reason = service.problem or {"starting": "the model is being loaded", "draining": "the server is draining"}.get(
            service.state, service.state
        )
        return JSONResponse({"status": service.state, "reason": reason}, 503)

    async def metrics(request: Request) -> Response:
        return Response(service.metrics.render(), media_type=CONTENT_TYPE)

    of_sessions: list[BaseRoute] = [
        WebSocketRoute("/v1/sessions/{session}/watch", watch),
        Route("/v1/sessions/{session}/watch", EventStream(watchers, settings), methods=["GET", "HEAD"]),
        *session_routes(watchers, settings.allowed_origins),
    ]
    keyed, opened = not keyring.open, service.config.auth.open
    routes: list[BaseRoute] = [
        WebSocketRoute("/v1/stream", stream),
        *of_sessions,
        *call_routes(calls, of_sessions, keyed=keyed, opened=opened),
        listing_route(lambda: service.sessions, settings.allowed_origins, keyed=keyed, opened=opened),
        *chat_routes(service, watchers, settings.allowed_origins),
        *dialect_routes((*ROUTES, *lines), service, keyring, decoders, clock, calls),
        *openai_file_routes(uploads),
        *deepgram_file_routes(uploads),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        *page_routes(),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(SecurityHeaders), Middleware(NativeAccess, keyring)])
    app.state.watchers = watchers
    app.state.calls = calls
    forms = {
        "audiosocket": audiosocket_format(service.config.telephony.audiosocket_peers, calls),
        "wyoming": wyoming_format(service),
    }
    app.state.ports = {name: TcpServer(form, service, decoders, clock) for name, form in forms.items()}
    return app


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; its accepted connections notice dead peers and keep small buffers. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sys.platform == "linux":
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PEER_TIMEOUT_S * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PEER_TIMEOUT_S)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class AppServer:
    """uvicorn on a socket of ours; signals are the caller's business. `run` returns after `end`."""

    def __init__(
        self,
        app: Starlette,
        listener: socket.socket,
        log_level: str = "warning",
        *,
        audiosocket: socket.socket | None = None,
        wyoming: socket.socket | None = None,
    ) -> None:
        """`audiosocket`: listens for Asterisk; `wyoming`: for Home Assistant."""
        self._app = app
        self._listener = listener
        self._ports = {"audiosocket": audiosocket, "wyoming": wyoming}
        config = uvicorn.Config(
            app,
            ws="websockets-sansio",
            ws_max_size=HARD_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            ws_ping_interval=PING_INTERVAL_S,
            ws_ping_timeout=None,
            lifespan="off",
            access_log=False,
            server_header=False,
            log_config=None,
            log_level=log_level,
            timeout_graceful_shutdown=2,
        )
        self._server = _QuietServer(config)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    async def run(self) -> None:
        for name, listener in self._ports.items():
            if listener is not None:
                await self._app.state.ports[name].start(listener)
        await self._server.serve(sockets=[self._listener])
        for server in self._app.state.ports.values():
            await server.aclose()
        await self._app.state.calls.aclose()

    def end(self) -> None:
        """Closes the listener and what is still connected; viewers are told to come again elsewhere."""
        self._app.state.watchers.close()
        self._server.should_exit = True


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class SecurityHeaders:
    """Adds SECURITY_HEADERS to every answer, and PAGE_HEADERS to pages; hands on the body as it comes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                added = SECURITY_HEADERS
                if headers.get("content-type", "").startswith(PAGE_TYPES):
                    added = {**added, **PAGE_HEADERS}
                for name, value in added.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
