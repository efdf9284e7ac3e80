"""Sessions over plain HTTP: what is known of one, its transcript as JSON, text, SRT and WebVTT, and its call.

Whoever knows a session's id may read it; nothing here reveals its resume token. Errors are the protocol's `error`
message as JSON.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from streaming.protocol.errors import ErrorCode, ProtocolError
from streaming.protocol.messages import Analysis, Transcript
from streaming.session.tasks import session_tasks
from streaming.session.view import SessionView
from streaming.session.watching import Watchers
from streaming.transcript.captions import Spoken, srt, webvtt
from streaming.transcript.text import plain_text
from streaming.transport.handshake import origin_allowed

Handler = Callable[[Request], Awaitable[Response]]

HTTP_STATUS: Final[dict[ErrorCode, int]] = {
    "unauthorized": 401,
    "no_session": 404,
    "unsupported": 400,
    "overloaded": 503,
    "store_unavailable": 503,
    "draining": 503,
    "internal": 500,
}
FORMS: Final[dict[str, str]] = {
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
FIRST_SEQ_HEADER: Final = "Tympan-First-Seq"
"""Of a transcript: what was said before this number of the session's messages may be missing; 1: nothing is."""


def session_routes(watchers: Watchers, allowed_origins: tuple[str, ...]) -> list[BaseRoute]:
    async def info(request: Request) -> Response:
        session = request.path_params["session"]
        async with watchers.watch(session) as watched:
            record = await watchers.record(session)
            # What is in the store could be resumed; a session without a snapshot has not come so far.
            return JSONResponse(describe(watched.view, durable=bool(record.state) or record.done))

    async def transcript(request: Request) -> Response:
        form = request.url.path.rpartition(".")[2]
        interim = wants_interim(request.query_params.get("interim", "0"))
        async with watchers.watch(request.path_params["session"]) as watched:
            body = render(watched.view, form, interim=interim)
            first_seq = watched.view.first_seq
        return Response(body, media_type=FORMS[form], headers={FIRST_SEQ_HEADER: str(first_seq)})

    async def call(request: Request) -> Response:
        async with watchers.watch(request.path_params["session"]) as watched:
            body = msgspec.json.encode(describe_call(watched.view))
            first_seq = watched.view.first_seq
        return Response(body, media_type=FORMS["json"], headers={FIRST_SEQ_HEADER: str(first_seq)})

    place = "/v1/sessions/{session}"
    routes: list[BaseRoute] = [Route(place, _guarded(info, allowed_origins))]
    routes.append(Route(f"{place}/call", _guarded(call, allowed_origins)))
    routes += [Route(f"{place}/transcript.{form}", _guarded(transcript, allowed_origins)) for form in FORMS]
    return routes


def describe(view: SessionView, *, durable: bool) -> dict[str, Any]:
    start = view.start
    return {
        "session": view.session,
        "state": "ended" if view.done else "live",
        "audio": msgspec.to_builtins(start.audio),
        "tasks": msgspec.to_builtins(session_tasks(start.task).every),
        "interim": start.interim,
        "redact": start.redact,
        "seconds": view.heard_ms / 1000,
        "utterances": len(view.transcripts(interim=True)),
        "first_seq": view.first_seq,
        "last_seq": view.last_seq,
        "durable": durable,
    }


def describe_call(view: SessionView) -> dict[str, Any]:
    """What was told of the call so far, and its account once it is over. Raises ProtocolError (`unsupported`)."""
    if view.start.call is None:
        raise ProtocolError("unsupported", "the session was not begun with `call`")
    summary = view.call_summary
    return {
        "session": view.session,
        "state": "ended" if view.done else "live",
        "options": view.start.call,
        "events": view.call_events(),
        "call": summary.call if summary is not None else None,
    }


def render(view: SessionView, form: str, *, interim: bool) -> str:
    """The transcript as one of FORMS."""
    transcripts = view.transcripts(interim=interim)
    labels = view.start.audio.labels or []

    def label(one: Transcript) -> str | None:
        return labels[one.channel] if one.channel < len(labels) else None

    match form:
        case "json":
            analyses = view.analyses()
            whole = {
                "session": view.session,
                "state": "ended" if view.done else "live",
                "first_seq": view.first_seq,
                "last_seq": view.last_seq,
                "utterances": [
                    _utterance(one, label(one)) | {"analyses": _analyses(analyses.get(one.utterance, []))}
                    for one in transcripts
                ],
            }
            return msgspec.json.encode(whole).decode()
        case "srt":
            return srt(Spoken(one.words, label(one)) for one in transcripts)
        case "vtt":
            return webvtt(Spoken(one.words, label(one)) for one in transcripts)
    return "".join(f"{_named(label(one))}{plain_text(one.words)}\n" for one in transcripts)


def wants_interim(text: str) -> bool:
    """The query's `interim`. Raises ProtocolError (`unsupported`)."""
    if text not in ("0", "1", "true", "false"):
        raise ProtocolError("unsupported", "interim: 1 for the utterances that are still open as well, or 0")
    return text in ("1", "true")


def refusal(error: ProtocolError) -> Response:
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    if error.code == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    body = msgspec.json.encode(error.as_message())
    return Response(body, HTTP_STATUS.get(error.code, 400), headers, "application/json")


def wrong_origin(request: Request, allowed: tuple[str, ...]) -> Response | None:
    if origin_allowed(request.headers.get("origin"), request.headers.get("host"), allowed):
        return None
    text = "This page's origin may not read here; the setting server.allowed_origins lists those that may\n"
    return PlainTextResponse(text, 403)


def shared_headers(request: Request) -> dict[str, str]:
    """For a page of an origin that may read: that it may; and that nobody keeps a copy."""
    origin = request.headers.get("origin")
    shared = {"Access-Control-Allow-Origin": origin} if origin else {}
    return {"Cache-Control": "no-store", "Vary": "Origin", **shared}


def _guarded(handler: Handler, allowed: tuple[str, ...]) -> Handler:
    async def guarded(request: Request) -> Response:
        response = wrong_origin(request, allowed)
        if response is not None:
            return response
        try:
            response = await handler(request)
        except ProtocolError as error:
            response = refusal(error)
        response.headers.update(shared_headers(request))
        return response

    return guarded


def _named(label: str | None) -> str:
    return f"{label}: " if label else ""


def _analyses(analyses: Sequence[Analysis]) -> list[dict[str, Any]]:
    return [
        {
            "task": one.task,
            "index": one.index,
            "text": one.text,
            "labels": one.labels,
            "words": msgspec.to_builtins(one.words),
            "fields": one.fields,
            "complete": one.complete,
            "error": one.error,
        }
        for one in analyses
    ]


def _utterance(one: Transcript, label: str | None) -> dict[str, Any]:
    return {
        "utterance": one.utterance,
        "channel": one.channel,
        "label": label,
        "final": one.final,
        "start_ms": one.words[0].start_ms,
        "end_ms": one.words[-1].end_ms,
        "language": one.language,
        "text": plain_text(one.words),
        "words": [
            {
                "text": word.text,
                "start_ms": word.start_ms,
                "end_ms": word.end_ms,
                "confidence": word.confidence,
                "state": word.state,
                "glued": word.glued,
            }
            for word in one.words
        ],
    }
