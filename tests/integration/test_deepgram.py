"""Deepgram's protocol over a real socket: handshakes, refusals, containers, the end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streaming.config import AuthSettings, MediaSettings
from streaming.transport.dialects import SESSION_HEADER
from tests.support.live import PATIENCE_S, Live, live_server
from tests.support.polling import eventually
from tests.support.sessions import speech
from tests.support.sounds import encoded

SENTENCES = speech((0.5, 2.5), (4.0, 5.5), total_s=7.0)
RAW = "encoding=linear16&sample_rate=16000"
KEY = "a-key-of-the-kiosk"
CLOSE = json.dumps({"type": "CloseStream"})


@asynccontextmanager
async def listening(live: Live, query: str = RAW, **options: Any) -> AsyncIterator[ClientConnection]:
    url = f"ws://{live.host}/v1/listen?{query}"
    async with asyncio.timeout(PATIENCE_S), connect(url, compression=None, max_size=None, **options) as socket:
        yield socket


async def refused(live: Live, query: str = RAW, **options: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(InvalidStatus) as caught:
        async with listening(live, query, **options):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body or b"{}")


async def rest(socket: ClientConnection) -> tuple[list[dict[str, Any]], int | None]:
    """All that is still said, and the close code."""
    heard = []
    try:
        while True:
            heard.append(json.loads(await socket.recv()))
    except ConnectionClosed:
        return heard, socket.close_code


async def send_audio(socket: ClientConnection, data: bytes, step: int = 4000) -> None:
    for at in range(0, len(data), step):
        await socket.send(data[at : at + step])


def finals(heard: list[dict[str, Any]]) -> list[str]:
    results = [one for one in heard if one["type"] == "Results" and one["is_final"]]
    texts = [str(one["channel"]["alternatives"][0]["transcript"]) for one in results]
    return [text for text in texts if text]


async def test_a_whole_session() -> None:
    async with live_server() as live, listening(live, f"{RAW}&interim_results=true") as socket:
        assert socket.response is not None
        session = socket.response.headers[SESSION_HEADER]
        assert {runner.session for runner in live.service.sessions} == {session}
        assert len(socket.response.headers["dg-request-id"]) == 36
        await send_audio(socket, SENTENCES.tobytes())
        await socket.send(CLOSE)
        heard, code = await rest(socket)
        assert finals(heard) == ["bravo charlie delta echo foxtrot golf", "kilo lima mike november"]
        assert heard[-1]["type"] == "Metadata"
        assert heard[-1]["request_id"] == socket.response.headers["dg-request-id"]
        assert code == 1000
        assert live.service.sessions == frozenset()


@pytest.mark.parametrize("form", ["ogg", "webm", "flac", "wav"])
async def test_containers_are_found_out_by_their_first_bytes(form: str) -> None:
    async with live_server() as live, listening(live, "model=nova-3") as socket:
        await send_audio(socket, encoded(SENTENCES, form), 1500)
        await socket.send(CLOSE)
        heard, code = await rest(socket)
        assert finals(heard) == ["bravo charlie delta echo foxtrot golf", "kilo lima mike november"]
        assert code == 1000


async def test_finalize_waits_for_what_is_being_decoded() -> None:
    """A rate that needs a decoding process: all audio before the command is heard before it."""
    samples = speech((0.5, 4.0), total_s=3.0, rate=22_050)
    async with live_server() as live, listening(live, "encoding=linear16&sample_rate=22050") as socket:
        await send_audio(socket, samples.tobytes(), 100_000)
        await socket.send(json.dumps({"type": "Finalize"}))
        heard = []
        while not heard or not heard[-1]["from_finalize"]:
            heard.append(json.loads(await socket.recv()))
        assert finals(heard) == ["bravo charlie delta echo foxtrot golf"]
        assert heard[-1]["start"] + heard[-1]["duration"] == pytest.approx(3.0, abs=0.05)
        assert socket.close_code is None


async def test_audio_that_is_none_is_told_and_costs_nothing_lasting() -> None:
    async with live_server() as live, listening(live, "model=nova-3") as socket:
        await send_audio(socket, bytes(20_000))
        heard, code = await rest(socket)
        assert [one["type"] for one in heard] == ["Error"]
        assert code == 1008
        assert live.service.sessions == frozenset()


async def test_a_client_that_leaves_takes_its_decoding_process_with_it() -> None:
    async with live_server(media=MediaSettings(max_decoders=1)) as live:
        for _ in range(3):
            async with listening(live, "model=nova-3") as socket:
                await send_audio(socket, encoded(SENTENCES, "flac")[:-200], 1500)
                while json.loads(await socket.recv())["type"] != "Results":
                    pass

            async def empty() -> bool:
                return not live.service.sessions

            await eventually(empty)


async def test_there_are_only_so_many_decoding_processes() -> None:
    async with live_server(media=MediaSettings(max_decoders=0)) as live, listening(live, "model=nova-3") as socket:
        await socket.send(b"OggS" + bytes(100))
        heard, code = await rest(socket)
        assert heard[-1]["variant"] == "overloaded"
        assert code == 1013


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": {"Authorization": f"Token {KEY}"}},
        {"additional_headers": {"authorization": f"bearer {KEY}"}},
        {"subprotocols": ["token", KEY]},
        {"subprotocols": ["bearer", KEY, "x-deepgram-session-id", "1e7a"]},
    ],
)
async def test_a_key_lets_in_and_is_never_echoed(options: Any) -> None:
    async with live_server(auth=AuthSettings(keys=(KEY,))) as live, listening(live, **options) as socket:
        assert socket.subprotocol in (None, "token", "bearer")
        assert (socket.subprotocol is None) == ("subprotocols" not in options)


async def test_refusals_are_http_in_deepgrams_shape() -> None:
    async with live_server(auth=AuthSettings(keys=(KEY,)), max_sessions=1) as live:
        shown: Any = {"additional_headers": {"Authorization": f"Token {KEY}"}}
        status, body = await refused(live)
        assert (status, body["err_code"], set(body)) == (401, "INVALID_AUTH", {"err_code", "err_msg", "request_id"})
        status, body = await refused(live, "encoding=linear16", **shown)
        assert (status, body["err_code"]) == (400, "INVALID_QUERY_PARAMETER")
        assert "sample_rate" in body["err_msg"]
        status, body = await refused(live, f"{RAW}&language=xx", **shown)
        assert (status, "language" in body["err_msg"]) == (400, True)
        async with listening(live, **shown):
            status, body = await refused(live, **shown)
            assert (status, body["err_code"]) == (503, "SERVICE_UNAVAILABLE")
        assert await refused(live, "encoding=mp7", **shown)


async def test_a_page_of_another_origin_needs_a_key() -> None:
    async with live_server() as live:
        status, _ = await refused(live, origin="https://evil.example")
        assert status == 401
    shown: Any = {"origin": "https://page.example", "subprotocols": ["token", KEY]}
    async with live_server(auth=AuthSettings(keys=(KEY,))) as live, listening(live, **shown) as socket:
        assert socket.subprotocol == "token"
