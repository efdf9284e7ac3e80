"""The shells for viewers of a session: a WebSocket, or Server-Sent Events by plain HTTP.

The order of calls: look at the origin; join the session; send what was said and then what is being said, each message
within `send_timeout_s`; when the session or the viewer ends, leave. A viewer that reads slowly gets fewer, joined
messages (`SessionView.since`), and one that reads nothing is disconnected. What a viewer sends is not looked at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from streaming.config import ServerSettings
from streaming.protocol.codec import Codec, encode_server
from streaming.protocol.errors import CLOSE_NORMAL, ProtocolError
from streaming.protocol.messages import MAX_SAMPLE
from streaming.session.view import Said
from streaming.session.watching import Watched, Watchers
from streaming.transport.connection import LAST_WORDS_S
from streaming.transport.handshake import accept
from streaming.transport.sessions_rest import refusal, shared_headers, wrong_origin

log = logging.getLogger(__name__)

Payload = bytes | str

EVENT_STREAM: Final = "text/event-stream"
RECONNECT_MS: Final = 2_000
"""How long a browser's EventSource waits before it comes again."""


async def watch_by_websocket(websocket: WebSocket, watchers: Watchers, settings: ServerSettings) -> None:
    """Serves `/v1/sessions/{session}/watch` on one WebSocket that is not accepted yet."""
    codec = await accept(websocket, settings.allowed_origins)
    if codec is not None:
        await _Viewer(websocket, codec, settings).run(watchers)


class _Viewer:
    def __init__(self, websocket: WebSocket, codec: Codec, settings: ServerSettings) -> None:
        self._websocket = websocket
        self._codec: Codec = codec
        self._settings = settings

    async def run(self, watchers: Watchers) -> None:
        sending = asyncio.create_task(self._send_session(watchers), name="viewer's writer")
        leaving = asyncio.create_task(self._until_gone(), name="viewer's reader")
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send_session(self, watchers: Watchers) -> None:
        try:
            after = after_number(self._websocket.query_params, self._websocket.headers)
            async with watchers.watch(self._websocket.path_params["session"]) as watched:
                await send_said(watched, after, self._payload, self._send, self._settings.send_timeout_s)
            await self._websocket.close(CLOSE_NORMAL)
        except ProtocolError as error:
            await self._refuse(error)
        except (WebSocketDisconnect, RuntimeError):
            # Starlette's RuntimeError: the socket was closed under the message.
            log.info("a viewer was gone before it was told everything")
        except Exception:
            log.exception("a viewer could not be served")
            await self._refuse(ProtocolError("internal", "the server failed; its log has the details"))

    def _payload(self, said: Said | None) -> Payload | None:
        """The server pings by itself: nothing is sent where nothing was said."""
        return said.payload(self._codec) if said else None

    async def _until_gone(self) -> None:
        while (await self._websocket.receive())["type"] != "websocket.disconnect":
            pass

    async def _send(self, payload: Payload) -> None:
        if isinstance(payload, str):
            await self._websocket.send_text(payload)
        else:
            await self._websocket.send_bytes(payload)

    async def _refuse(self, error: ProtocolError) -> None:
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._send(encode_server(self._codec, error.as_message()))
            async with asyncio.timeout(LAST_WORDS_S):
                await self._websocket.close(error.close_code or CLOSE_NORMAL, error.code)


class EventStream:
    """The same route by HTTP GET, as Server-Sent Events (HTML standard, 9.2): an ASGI app."""

    def __init__(self, watchers: Watchers, settings: ServerSettings) -> None:
        self._watchers = watchers
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        refused = wrong_origin(request, self._settings.allowed_origins)
        if refused is not None:
            await refused(scope, receive, send)
            return
        headers = shared_headers(request)
        try:
            after = after_number(request.query_params, request.headers)
            async with self._watchers.watch(request.path_params["session"]) as watched:
                response = self._at_once(request, watched, after)
                if response is None:
                    await self._stream(watched, after, headers, receive, send)
                    return
        except ProtocolError as error:
            response = refusal(error)
        response.headers.update(headers)
        await response(scope, receive, send)

    def _at_once(self, request: Request, watched: Watched, after: int) -> Response | None:
        """An answer without a stream."""
        if request.method == "HEAD":
            return Response(media_type=EVENT_STREAM)
        if watched.over and after >= watched.view.last_seq > 0:
            # "Clients will reconnect if the connection is closed; a client can be told to stop reconnecting using
            # the HTTP 204 No Content response code." (9.2.1)
            return Response(status_code=204)
        return None

    async def _stream(
        self, watched: Watched, after: int, headers: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        sent = {"Content-Type": f"{EVENT_STREAM}; charset=utf-8", "X-Accel-Buffering": "no", **headers}
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        sending = asyncio.create_task(self._send_session(watched, after, send), name="viewer's writer")
        leaving = asyncio.create_task(_until_gone(receive), name="viewer's reader")
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send_session(self, watched: Watched, after: int, send: Send) -> None:
        async def send_text(payload: Payload) -> None:
            body = payload.encode() if isinstance(payload, str) else payload
            await send({"type": "http.response.body", "body": body, "more_body": True})

        try:
            await send_text(f"retry: {RECONNECT_MS}\n\n")
            await send_said(watched, after, event_text, send_text, self._settings.send_timeout_s)
        except ProtocolError as error:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await send_text(event_text(Said(error.as_message())))
        except Exception:
            log.exception("a viewer could not be served")
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def send_said(
    watched: Watched,
    after: int,
    payload_of: Callable[[Said | None], Payload | None],
    send: Callable[[Payload], Awaitable[None]],
    timeout_s: float,
) -> None:
    """Sends a viewer what it lacks, until the session ends. Raises ProtocolError: `slow_reader`, those of `said`."""
    async with aclosing(watched.said(after)) as messages:
        async for said in messages:
            payload = payload_of(said)
            if payload is None:
                continue
            try:
                async with asyncio.timeout(timeout_s):
                    await send(payload)
            except TimeoutError:
                raise ProtocolError("slow_reader", f"nothing was read for {timeout_s:g} s") from None


def event_text(said: Said | None) -> str:
    """A message as one event, whose `id` is the `seq`; a comment where nothing was said for a while."""
    if said is None:
        return ":\n\n"
    number = f"id: {said.seq}\n" if said.seq > 0 else ""
    return f"{number}data: {said.json}\n\n"


def after_number(query: Mapping[str, str], headers: Mapping[str, str]) -> int:
    """What the viewer has: by the header that EventSource sends when it comes again, or by the query.

    Raises ProtocolError (`unsupported`).
    """
    text = headers.get("last-event-id") or query.get("after") or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_SAMPLE)) and int(text) <= MAX_SAMPLE):
        raise ProtocolError("unsupported", f"after: a message's number, from 0 to {MAX_SAMPLE}")
    return int(text)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
