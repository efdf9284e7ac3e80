"""`GET /v1/sessions`: what is live on this gateway, the youngest first, for a board of calls.

An id lets read a session, so the list lets read all of them: it is for those who show an API key. Where there are no
keys it is for this machine alone, by its own names: a proxy hands on another one, and so does a page that has its
name point here (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from streaming.session.runner import SessionRunner
from streaming.transport.sessions_rest import shared_headers, wrong_origin

MAX_LISTED: Final = 500
OWN_NAMES: Final = ("localhost", "127.0.0.1", "::1")


def listing_route(
    live: Callable[[], Iterable[SessionRunner]], allowed_origins: tuple[str, ...], *, keyed: bool, opened: bool
) -> Route:
    """
    Args:
        keyed: there are API keys, and who comes here has shown one.
        opened: there are none though others may come: somebody else looks at who they are, but not at what they read.
    """

    async def listing(request: Request) -> Response:
        refused = wrong_origin(request, allowed_origins)
        if refused is None and not keyed and (opened or not is_own(request.headers.get("host", ""))):
            text = "All sessions are listed to this machine alone where there are no API keys (auth.keys)\n"
            refused = PlainTextResponse(text, 403)
        if refused is not None:
            return refused
        youngest = sorted(live(), key=lambda runner: runner.audio_ms)
        listed = [describe(runner) for runner in youngest[:MAX_LISTED]]
        return JSONResponse({"sessions": listed, "live": len(youngest)}, headers=shared_headers(request))

    return Route("/v1/sessions", listing)


def describe(runner: SessionRunner) -> dict[str, Any]:
    return {
        "session": runner.session,
        "audio": msgspec.to_builtins(runner.start.audio),
        "seconds": runner.audio_ms / 1000,
        "call": runner.start.call is not None,
    }


def is_own(host: str) -> bool:
    """The `Host` header names this machine by one of its own names."""
    return urlsplit(f"//{host}").hostname in OWN_NAMES
