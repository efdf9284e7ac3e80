"""A conversation by AudioHook at a live server: transcripts come back, and the webhook hears of it as of any call."""

import asyncio
import time

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streaming.config import AuthSettings, TelephonySettings
from tests.support.audiohook import (
    API_KEY,
    CONVERSATION,
    NOBODY,
    RATE,
    SECRET,
    SESSION,
    AudioHookClient,
    signed_headers,
)
from tests.support.live import Live, live_server
from tests.support.sessions import speech
from tests.support.webhook_receiver import webhook_receiver

EXTERNAL = speech((0.5, 2.5), total_s=6.0, rate=RATE)
INTERNAL = speech((3.5, 4.5), total_s=6.0, rate=RATE)


def line(live: Live, headers: dict[str, str], path: str = "/audiohook") -> connect:
    return connect(f"ws://{live.host}{path}", compression=None, additional_headers=headers)


async def until(socket: ClientConnection, client: AudioHookClient, kind: str) -> None:
    async with asyncio.timeout(20):
        while not client.heard or client.heard[-1]["type"] != kind:
            client.hear(await socket.recv())


def signed(live: Live, path: str = "/audiohook", **options: str) -> dict[str, str]:
    return signed_headers(path, live.host, int(time.time()), **options)


async def test_a_conversation_has_its_transcripts_in_both_places() -> None:
    client = AudioHookClient()
    async with webhook_receiver() as hook, live_server(telephony=TelephonySettings(webhook_url=hook.url)) as live:
        async with line(live, {"Audiohook-Session-Id": SESSION}) as socket:
            await socket.send(client.open())
            await until(socket, client, "opened")
            await socket.send(client.message("ping"))
            for piece in client.audio(EXTERNAL, INTERNAL):
                await socket.send(piece)
            await socket.send(client.message("close", reason="end"))
            await until(socket, client, "closed")
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 1000
        await hook.until("call.ended")
        finals = [one for one in client.entities() if one["isFinal"]]
        assert sorted(one["channelId"] for one in finals) == [0, 1]
        reported = [one["message"]["text"] for one in hook.reports if one["type"] == "transcript"]
        assert reported == [one["alternatives"][0]["interpretations"][0]["transcript"] for one in finals]
        assert {report["call"] for report in hook.reports} == {CONVERSATION}


async def test_a_probe_is_no_call_and_takes_no_room() -> None:
    client = AudioHookClient()
    async with webhook_receiver() as hook, live_server(telephony=TelephonySettings(webhook_url=hook.url)) as live:
        async with line(live, {"Audiohook-Session-Id": SESSION}) as socket:
            await socket.send(client.open(conversation=NOBODY))
            await until(socket, client, "opened")
            assert not live.service.sessions
            await socket.send(client.message("close", reason="end"))
            await until(socket, client, "closed")
        assert hook.reports == []


async def refused(live: Live, headers: dict[str, str]) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        async with line(live, headers):
            raise AssertionError("it was let in")
    return refusal.value.response.status_code


async def test_the_key_and_the_signature_are_looked_at() -> None:
    telephony = TelephonySettings(audiohook_secret=SECRET)
    async with live_server(auth=AuthSettings(keys=(API_KEY,)), telephony=telephony) as live:
        assert await refused(live, {}) == 401
        assert await refused(live, {"X-API-KEY": API_KEY}) == 401
        assert await refused(live, signed(live, secret="AAAA")) == 401
        assert await refused(live, signed(live) | {"x-api-key": "another-key-of-the-same"}) == 401
        path = "/audiohook?customer=7"
        client = AudioHookClient()
        async with line(live, signed(live, path), path) as socket:
            await socket.send(client.open())
            await until(socket, client, "opened")
        assert await refused(live, signed(live, "/audiohook")) == 401, "its nonce was used"
