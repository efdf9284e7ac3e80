"""`POST /v1/listen`: recordings as Deepgram's SDKs send them."""

from __future__ import annotations

import contextlib
import hashlib
import time

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from streaming.protocol.dialects.deepgram.recorded import answer
from streaming.protocol.dialects.deepgram.request import read_query, refusal
from streaming.protocol.dialects.parameters import Parameters
from streaming.protocol.errors import ProtocolError
from streaming.transport.body import Body
from streaming.transport.file_session import FileSession
from streaming.transport.uploads import Uploads, heard


def deepgram_file_routes(uploads: Uploads) -> list[BaseRoute]:
    async def listen(request: Request) -> Response:
        return await uploads.answered(request, lambda body, name: _answer(uploads, request, body, name), refusal)

    return [Route("/v1/listen", listen, methods=["POST"])]


async def _answer(uploads: Uploads, request: Request, body: Body, name: str) -> Response:
    """Raises ProtocolError, ClientDisconnect."""
    wanted = read_query(Parameters(request.query_params.multi_items()), live=False)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        raise ProtocolError("unsupported", "url: recordings are not fetched; send the audio itself as the body")
    assert wanted.source is not None
    split = wanted.start.audio.channels == 2
    sha256 = hashlib.sha256()
    async with contextlib.AsyncExitStack() as stack:
        decoder = await uploads.decoder(stack, wanted.source, channels=0 if split else 1)

        async def take(piece: bytes) -> None:
            sha256.update(piece)
            await decoder.feed(piece)

        await uploads.read(body, uploads.limits.max_bytes, take)
        await decoder.close_input()
        session = await stack.enter_async_context(FileSession.open(uploads.service, decoder, wanted.start))
        said = await heard(body, session)
    assert session.model is not None
    told = answer(
        wanted,
        said.finals,
        said.events,
        request_id=name,
        sha256=sha256.hexdigest(),
        unix_s=time.time(),
        audio_ms=said.audio_ms,
        channels=session.channels,
        model=session.model,
    )
    headers = {"dg-request-id": name}
    return Response(msgspec.json.encode(told), media_type="application/json", headers=headers)
