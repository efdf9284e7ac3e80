"""Calls of this gateway by their names: who watches one by its id, and the webhook that hears of all.

A call is known under the id that its line gave it and, where it may have several streams, under the stream's. Whoever
shows an API key may watch it by that; where there are no keys, this machine alone (as streaming/transport/listing.py).
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from streaming.protocol.dialect import CallDialect, CallInfo, Close, Outcome, Payload, Source
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Ready, ServerMessage, Start
from streaming.protocol.reports import Report, Reporter
from streaming.transport.listing import is_own
from streaming.transport.sessions_rest import refusal
from streaming.transport.webhook import Webhook

MAX_CALLS: Final = 10_000
"""Names that are kept; the oldest go first."""
_SESSIONS: Final = "/v1/sessions/{session}"


class Calls:
    def __init__(self, webhook: Webhook | None) -> None:
        self._webhook = webhook
        self._sessions: OrderedDict[str, str] = OrderedDict()

    def session(self, name: str) -> str | None:
        """The newest session of a call."""
        return self._sessions.get(name)

    @contextlib.contextmanager
    def reported(self, dialect: CallDialect) -> Iterator[Reported]:
        """The dialect of one connection, of whose session others hear as well."""
        reported = Reported(dialect, self)
        try:
            yield reported
        finally:
            reported.over()

    def began(self, call: CallInfo, session: str) -> None:
        for name in filter(None, (call.id, call.stream)):
            self._sessions[name] = session
            self._sessions.move_to_end(name)
        while len(self._sessions) > MAX_CALLS:
            self._sessions.popitem(last=False)

    def report(self, queue: str, report: Report | None) -> None:
        if self._webhook is not None and report is not None:
            self._webhook.put(queue, report)

    async def aclose(self) -> None:
        if self._webhook is not None:
            await self._webhook.aclose()


class Reported:
    """A call's dialect, and what the session says told to others before the line hears of it."""

    def __init__(self, dialect: CallDialect, calls: Calls) -> None:
        self._dialect = dialect
        self._calls = calls
        self._reporter: Reporter | None = None
        self._session = ""

    @property
    def start(self) -> Start | None:
        return self._dialect.start

    @property
    def source(self) -> Source | None:
        return self._dialect.source

    @property
    def deadline(self) -> float | None:
        return self._dialect.deadline

    def opened(self, now: float) -> Sequence[Outcome]:
        return self._dialect.opened(now)

    def receive(self, payload: Payload, now: float) -> Sequence[Outcome]:
        return self._dialect.receive(payload, now)

    def timeout(self, now: float) -> Sequence[Outcome]:
        return self._dialect.timeout(now)

    def say(self, message: ServerMessage) -> Sequence[Payload]:
        call = self._dialect.call
        if isinstance(message, Ready) and call is not None:
            self._calls.began(call, message.session)
            self._reporter, self._session = Reporter(call), message.session
        if self._reporter is not None:
            self._calls.report(self._session, self._reporter.say(message))
        return self._dialect.say(message)

    def goodbye(self, code: int, reason: str) -> Close:
        return self._dialect.goodbye(code, reason)

    def over(self) -> None:
        """The connection has ended, however."""
        if self._reporter is not None:
            self._calls.report(self._session, self._reporter.over())


def call_routes(calls: Calls, of_sessions: Iterable[BaseRoute], *, keyed: bool, opened: bool) -> list[BaseRoute]:
    """The routes of a session once more, below the call's name.

    Args:
        keyed, opened: as of `listing_route`.
    """
    routes: list[BaseRoute] = []
    for route in of_sessions:
        if not isinstance(route, Route | WebSocketRoute):
            continue
        path = route.path.replace(_SESSIONS, "/v1/calls/{call}")
        by_call = _ByCall(route.app, calls, keyed=keyed, opened=opened)
        if isinstance(route, Route):
            routes.append(Route(path, by_call, methods=list(route.methods or ())))
        else:
            routes.append(WebSocketRoute(path, by_call))
    return routes


class _ByCall:
    def __init__(self, app: ASGIApp, calls: Calls, *, keyed: bool, opened: bool) -> None:
        self._app = app
        self._calls = calls
        self._keyed = keyed
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            session = self._session(scope)
        except ProtocolError as error:
            if scope["type"] == "websocket":
                await WebSocket(scope, receive, send).send_denial_response(refusal(error))
            else:
                await refusal(error)(scope, receive, send)
            return
        await self._app({**scope, "path_params": {"session": session}}, receive, send)

    def _session(self, scope: Scope) -> str:
        """Raises ProtocolError (`unauthorized`, `no_session`)."""
        if not self._keyed and (self._opened or not is_own(Headers(scope=scope).get("host", ""))):
            text = "calls are watched by their id with an API key (auth.keys), or from this machine"
            raise ProtocolError("unauthorized", text)
        session = self._calls.session(scope["path_params"]["call"])
        if session is None:
            raise ProtocolError("no_session", "there is no such call here, or it is long over")
        return session
