"""What every WebSocket route looks at before it takes a connection: the subprotocol, and the page's origin."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from streaming.protocol.codec import CODECS, DEFAULT_CODEC, Codec, choose_subprotocol
from streaming.protocol.messages import SUBPROTOCOLS


async def accept(websocket: WebSocket, allowed_origins: tuple[str, ...]) -> Codec | None:
    """Accepts the connection and returns its codec; None: it was refused with an HTTP status and a sentence."""
    offered: list[str] = websocket.scope["subprotocols"]
    subprotocol = choose_subprotocol(offered)
    if offered and subprotocol is None:
        text = f"None of the offered subprotocols is spoken here; offer one of: {', '.join(SUBPROTOCOLS)}\n"
        await websocket.send_denial_response(PlainTextResponse(text, 400))
        return None
    if not origin_allowed(websocket.headers.get("origin"), websocket.headers.get("host"), allowed_origins):
        text = "This page's origin may not connect; the setting server.allowed_origins lists those that may\n"
        await websocket.send_denial_response(PlainTextResponse(text, 403))
        return None
    await websocket.accept(subprotocol)
    return CODECS[subprotocol] if subprotocol else DEFAULT_CODEC


def origin_allowed(origin: str | None, host: str | None, allowed: tuple[str, ...]) -> bool:
    """Pages may connect to the server that they came from and from origins in the list; others are no pages."""
    if origin is None or "*" in allowed or origin in allowed:
        return True
    return urlsplit(origin).netloc == host
