"""What every way to send a recording by POST shares: who may, how much, through a decoding process into a session.

The order of calls: `answered` looks at the key and for room; its handler opens a decoder, gives it the body as it
comes (never a disk), opens a FileSession on it, and reads what is `heard`. A client that goes away takes all of it with
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from streaming.media.decoder import Decoder, Decoders, FileLimits, MediaError
from streaming.protocol.credentials import Keyring
from streaming.protocol.dialect import Source
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Event, Summary, Transcript
from streaming.session.service import Service
from streaming.transport.access import let_in
from streaming.transport.body import Body
from streaming.transport.decoding import as_protocol_error
from streaming.transport.dialects import Refusal
from streaming.transport.file_session import FileSession
from streaming.transport.handshake import origin_allowed

CLIENT_GONE: Final = 499


class Heard(NamedTuple):
    finals: list[Transcript]
    events: list[Event]
    audio_ms: int


class Uploads:
    def __init__(self, service: Service, keyring: Keyring, decoders: Decoders) -> None:
        self.service = service
        self._keyring = keyring
        self._decoders = decoders
        media = service.config.media
        self.limits = FileLimits(media.max_upload_bytes, media.max_upload_s, media.max_decode_s)
        self._timeout_s = media.upload_timeout_s

    async def answered(
        self, request: Request, handle: Callable[[Body, str], Awaitable[Response]], refusal: Refusal
    ) -> Response:
        """What `handle` answers, or why not. It is given the request's body and id."""
        name, body = str(uuid.uuid4()), Body(request)
        try:
            try:
                self._look_at(request)
                response: Response = await handle(body, name)
            except ProtocolError as error:
                self.service.metrics.errors.labels(error.code).inc()
                status, reason = refusal(error, name)
                response = JSONResponse(reason, status)
                if error.retry_after_ms is not None:
                    response.headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
                if not await body.linger():
                    response.headers["Connection"] = "close"
        except ClientDisconnect:
            response = Response(status_code=CLIENT_GONE)  # nobody reads it
        response.headers["Cache-Control"] = "no-store"
        return response

    def _look_at(self, request: Request) -> None:
        """Raises ProtocolError (`unauthorized`, `overloaded` ...), before anything of the body is read."""
        let_in(request.scope, self._keyring)
        headers, allowed = request.headers, self.service.config.server.allowed_origins
        if self._keyring.open and not origin_allowed(headers.get("origin"), headers.get("host"), allowed):
            raise ProtocolError("unauthorized", "this page's origin may not ask: see server.allowed_origins")
        self.service.check_room()

    async def decoder(self, stack: contextlib.AsyncExitStack, source: Source, channels: int) -> Decoder:
        """For a whole file. Raises ProtocolError (`overloaded`)."""
        opening = self._decoders.open(source, channels=channels, file=self.limits)
        try:
            return await stack.enter_async_context(opening)
        except MediaError as error:
            raise as_protocol_error(error) from None

    async def read(self, body: Body, max_bytes: int, take: Callable[[bytes], Awaitable[None]]) -> None:
        """Gives the body to `take`. Raises ProtocolError (`too_large`, `idle_timeout`), ClientDisconnect."""
        await body.read(max_bytes, self._timeout_s, take)


async def heard(body: Body, session: FileSession) -> Heard:
    """All of a recording. Raises ProtocolError, ClientDisconnect."""
    listening = asyncio.create_task(_all_messages(session), name="recording's messages")
    gone = asyncio.create_task(body.gone(), name="recording's client")
    try:
        await asyncio.wait({listening, gone}, return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            return listening.result()
        raise ClientDisconnect
    finally:
        for task in (listening, gone):
            task.cancel()
        await asyncio.gather(listening, gone, return_exceptions=True)


async def _all_messages(session: FileSession) -> Heard:
    finals: list[Transcript] = []
    events: list[Event] = []
    audio_ms = 0
    async with contextlib.aclosing(session.messages()) as messages:
        async for message in messages:
            match message:
                case Transcript():
                    finals.append(message)
                case Event():
                    events.append(message)
                case Summary():
                    audio_ms = message.audio_ms
    return Heard(finals, events, audio_ms)
