"""FreeSWITCH's modules at a live server."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from streaming.config import AuthSettings, TelephonySettings
from tests.support.freeswitch import FORK, fork, pieces, stream
from tests.support.live import live_server
from tests.support.sessions import speech
from tests.support.webhook_receiver import webhook_receiver

KEY = "a-key-that-is-long-enough"
CALLER = speech((0.5, 1.5), total_s=4.5, rate=8000)
CALLEE = speech((2.0, 3.0), total_s=4.5, rate=8000)


async def transcriptions(socket: ClientConnection, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        heard = [json.loads(await socket.recv()) for _ in range(count)]
    assert {one["type"] for one in heard} == {"transcription"}
    return [one["data"] for one in heard]


async def test_a_fork_of_both_sides_hears_its_transcriptions() -> None:
    async with live_server() as live, fork(live.host, "channels=2") as socket:
        assert socket.subprotocol == FORK
        await socket.send('{"uuid":"c1","keywords":"refund"}')
        for piece in pieces(CALLER, CALLEE):
            await socket.send(piece)
        heard = await transcriptions(socket, 2)
        assert [(one["call"], one["label"]) for one in heard] == [("c1", "caller"), ("c1", "callee")]


async def test_a_stream_that_ends_has_its_last_words_in_the_webhook() -> None:
    async with webhook_receiver() as hook, live_server(telephony=TelephonySettings(webhook_url=hook.url)) as live:
        async with stream(live.host, "uuid=c2&rate=8000") as socket:
            for piece in pieces(CALLER[:12_000]):
                await socket.send(piece)
        ended = await hook.until("call.ended")
        assert (ended["call"], ended["message"]["summary"]["utterances"]) == ("c2", 1)
        assert [one["message"]["channel"] for one in hook.reports if one["type"] == "transcript"] == [0]


async def test_a_rate_that_sessions_do_not_take_goes_through_a_decoder() -> None:
    sound = speech((0.5, 1.5), total_s=4.0, rate=32_000)
    async with live_server() as live, stream(live.host, "rate=32k&uuid=c3") as socket:
        for piece in pieces(sound, rate=32_000):
            await socket.send(piece)
        (heard,) = await transcriptions(socket, 1)
        assert 100 <= heard["start_ms"] <= 500


async def test_the_key_comes_in_the_query_or_a_header() -> None:
    async with live_server(auth=AuthSettings(keys=(KEY,))) as live:
        with pytest.raises(InvalidStatus, match="401"):
            await fork(live.host)
        async with fork(live.host, f"token={KEY}"), stream(live.host, additional_headers={"X-API-Key": KEY}):
            pass
        with pytest.raises(InvalidStatus, match="400"):
            await fork(live.host, f"token={KEY}&rate=none")
