"""`POST /v1/audio/transcriptions` and `/v1/audio/translations`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Final, Literal

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from streaming.protocol.dialect import Source
from streaming.protocol.dialects.openai.errors import refusal
from streaming.protocol.dialects.openai.files import (
    FileRequest,
    brief,
    delta_event,
    done_event,
    event_stream_data,
    read_fields,
    verbose,
    whole_text,
)
from streaming.protocol.dialects.openai.form import Form
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Summary, Transcript
from streaming.transcript.captions import Spoken, srt, webvtt
from streaming.transport.body import Body
from streaming.transport.file_session import FileSession
from streaming.transport.uploads import Heard, Uploads, heard

FORM_BYTES: Final = 1 << 20
"""Of a multipart body, beside its file."""

Task = Literal["transcribe", "translate"]


def openai_file_routes(uploads: Uploads) -> list[BaseRoute]:
    async def transcriptions(request: Request) -> Response:
        return await uploads.answered(
            request, lambda body, name: _answer(uploads, request, body, "transcribe"), refusal
        )

    async def translations(request: Request) -> Response:
        return await uploads.answered(request, lambda body, name: _answer(uploads, request, body, "translate"), refusal)

    return [
        Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
        Route("/v1/audio/translations", translations, methods=["POST"]),
    ]


async def _answer(uploads: Uploads, request: Request, body: Body, task: Task) -> Response:
    """Raises ProtocolError, ClientDisconnect."""
    form = Form(request.headers.get("content-type", ""))
    async with contextlib.AsyncExitStack() as stack:
        decoder = await uploads.decoder(stack, Source(), channels=1)

        async def take(piece: bytes) -> None:
            await decoder.feed(form.feed(piece))

        await uploads.read(body, uploads.limits.max_bytes + FORM_BYTES, take)
        form.end()
        wanted = read_fields(form.fields, task)
        await decoder.close_input()
        session = await stack.enter_async_context(FileSession.open(uploads.service, decoder, wanted.start))
        if wanted.stream:
            return _Streamed(_events(session), stack.pop_all())
        return _whole(wanted, await heard(body, session))


def _whole(wanted: FileRequest, said: Heard) -> Response:
    audio_s = said.audio_ms / 1000
    match wanted.response_format:
        case "text":
            return PlainTextResponse(whole_text(said.finals) + "\n")
        case "srt":
            return PlainTextResponse(srt(Spoken(final.words) for final in said.finals))
        case "vtt":
            return PlainTextResponse(webvtt(Spoken(final.words) for final in said.finals), media_type="text/vtt")
        case "verbose_json":
            return _json(verbose(said.finals, audio_s, wanted))
    return _json(brief(said.finals, audio_s))


def _json(body: dict[str, object]) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


class _Streamed(StreamingResponse):
    """Frees the session and its decoder, whether anybody reads it or not."""

    def __init__(self, events: AsyncIterator[str], stack: contextlib.AsyncExitStack) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            with contextlib.suppress(ClientDisconnect):
                await super().__call__(scope, receive, send)


async def _events(session: FileSession) -> AsyncIterator[str]:
    finals: list[Transcript] = []
    try:
        async with contextlib.aclosing(session.messages()) as messages:
            async for message in messages:
                match message:
                    case Transcript(words=words) if words:
                        yield event_stream_data(delta_event(message, first=not finals))
                        finals.append(message)
                    case Summary(audio_ms=audio_ms):
                        yield event_stream_data(done_event(finals, audio_ms / 1000))
    except ProtocolError as error:
        yield event_stream_data(refusal(error)[1])
