"""`POST /v1/sessions/{id}/chat`: questions about a live session, in the shape of OpenAI's chat completions.

Whoever may read a session's transcript may ask about it. What the messages say is data. Answers come as one JSON
object, or as Server-Sent Events; errors have the shape that OpenAI's SDKs read.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Answer, AnswerCode
from streaming.session.asking import Asking
from streaming.session.service import Service
from streaming.session.watching import Watchers
from streaming.transport.chat_request import BadRequest, Wanted, read_request
from streaming.transport.sessions_rest import HTTP_STATUS, shared_headers, wrong_origin

MAX_BODY_BYTES: Final = 8 << 20
"""Four minutes of 16 kHz audio in base64."""
EVENT_STREAM: Final = "text/event-stream"
PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "Authorization, *",  # Fetch, 3.3.4: the wildcard does not cover Authorization
    "Access-Control-Max-Age": "600",
}
"""For pages of the origins in `server.allowed_origins`: a POST with JSON is asked for by OPTIONS first."""
STATUS: Final[dict[AnswerCode, int]] = {
    "unsupported": 400,
    "no_audio": 409,
    "too_many": 429,
    "duplicate_id": 409,
    "session_over": 409,
    "engine_unavailable": 503,
    "answer_failed": 500,
}


def chat_routes(service: Service, watchers: Watchers, allowed_origins: tuple[str, ...]) -> list[BaseRoute]:
    """`/chat`, and `/chat/completions` for SDKs that are given the session's address as their base."""

    async def chat(request: Request) -> Response:
        refused = wrong_origin(request, allowed_origins)
        if refused is not None:
            return refused
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={**shared_headers(request), **PREFLIGHT})
        try:
            asking = await _live(request.path_params["session"], service, watchers)
            # Decoding and resampling a minute of audio takes a moment, in which captions must not wait.
            wanted = await asyncio.to_thread(read_request, await _body(request))
            response = await _answer(request, wanted, asking, service)
        except BadRequest as error:
            response = refusal(error.status, error.code, str(error))
        except ClientDisconnect:
            response = Response(status_code=499)  # nobody reads it
        except ProtocolError as error:
            response = refusal(HTTP_STATUS.get(error.code, 400), error.code, error.text)
        response.headers.update(shared_headers(request))
        return response

    place = "/v1/sessions/{session}/chat"
    methods = ["POST", "OPTIONS"]
    return [Route(place, chat, methods=methods), Route(f"{place}/completions", chat, methods=methods)]


async def _live(session: str, service: Service, watchers: Watchers) -> Asking:
    """Looked for before the body is read: who knows no session's id sends nothing large. Raises ProtocolError,
    BadRequest."""
    runner = next((runner for runner in service.sessions if runner.session == session), None)
    if runner is not None and runner.asking is not None:
        return runner.asking
    await watchers.record(session)
    raise BadRequest(
        409, "not_live", "the session is not live on this server: ask where its audio goes, while it goes on"
    )


async def _answer(request: Request, wanted: Wanted, asking: Asking, service: Service) -> Response:
    """Raises ClientDisconnect."""
    model = service.info.model if service.info is not None else ""
    head = _Head(f"chatcmpl-{secrets.token_urlsafe(12)}", int(time.time()), model)
    said: asyncio.Queue[Answer] = asyncio.Queue()  # at most a piece for each token of an answer
    give_up = asking.ask(msgspec.structs.replace(wanted.ask, id=head.id), said.put_nowait, wanted.clips)
    gone = asyncio.create_task(_gone(request))
    try:
        first = last = await _while_there(gone, said.get())
        if wanted.stream and first.error is None:
            return _Events(_events(first, said, head), give_up)
        text = [first.delta]
        while not last.done:
            last = await _while_there(gone, said.get())
            text.append(last.delta)
    except BaseException:
        give_up()
        raise
    finally:
        gone.cancel()
    if last.error is not None:
        return refusal(STATUS[last.error.code], last.error.code, last.error.message)
    message = {"role": "assistant", "content": "".join(text)}
    choice = {"index": 0, "message": message, "finish_reason": last.finish, "logprobs": None}
    return JSONResponse(head.of("chat.completion", [choice]) | {"tympan": _heard(last)})


async def _gone(request: Request) -> None:
    """Returns when nobody waits for the response any more."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _while_there(gone: asyncio.Task[None], coming: Coroutine[Any, Any, Answer]) -> Answer:
    """Raises ClientDisconnect."""
    answer = asyncio.ensure_future(coming)
    await asyncio.wait({gone, answer}, return_when=asyncio.FIRST_COMPLETED)
    if answer.done():
        return answer.result()
    answer.cancel()
    raise ClientDisconnect


class _Head(msgspec.Struct, frozen=True):
    id: str
    created: int
    model: str

    def of(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}


class _Events(StreamingResponse):
    """Gives the question up when its reader is gone."""

    def __init__(self, events: AsyncIterator[str], give_up: Any) -> None:
        super().__init__(events, media_type=EVENT_STREAM, headers={"X-Accel-Buffering": "no"})
        self._give_up = give_up

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            with contextlib.suppress(ClientDisconnect):
                await super().__call__(scope, receive, send)
        finally:
            self._give_up()


async def _events(first: Answer, said: asyncio.Queue[Answer], head: _Head) -> AsyncIterator[str]:
    yield _event(_chunk(head, {"role": "assistant", "content": ""}))
    answer = first
    while True:
        if answer.error is not None:
            code = answer.error.code
            yield _event({"error": _error(STATUS[code], code, answer.error.message)})
            return
        if answer.delta:
            yield _event(_chunk(head, {"content": answer.delta}))
        if answer.done:
            break
        answer = await said.get()
    yield _event(_chunk(head, {}, answer.finish) | {"tympan": _heard(answer)})
    yield "data: [DONE]\n\n"


def _chunk(head: _Head, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return head.of("chat.completion.chunk", [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}])


def _event(body: dict[str, Any]) -> str:
    return f"data: {msgspec.json.encode(body).decode()}\n\n"


def _heard(answer: Answer) -> dict[str, Any]:
    """What OpenAI's shape has no place for: the audio that was asked about, and words with times."""
    return {"from_ms": answer.from_ms, "to_ms": answer.to_ms, "words": msgspec.to_builtins(answer.words)}


def refusal(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": _error(status, code, message)}, status)


def _error(status: int, code: str, message: str) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"message": message, "type": kind, "param": None, "code": code}


async def _body(request: Request) -> bytes:
    """Raises BadRequest."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise BadRequest(413, "too_large", f"the body may have at most {MAX_BODY_BYTES} bytes")
    return bytes(body)
