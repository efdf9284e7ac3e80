"""A call by Twilio's stream at a live server: captions for whoever watches it by its id, and for the webhook."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streaming.config import AuthSettings, StoreSettings, TelephonySettings
from streaming.protocol.dialects.twilio.signature import sign
from tests.support.live import Live, live_server
from tests.support.polling import eventually
from tests.support.redis_server import RedisServer, running
from tests.support.sessions import speech
from tests.support.twilio import CALL, RATE, STREAM, TwilioStream
from tests.support.webhook_receiver import webhook_receiver

KEY = "a-key-that-is-long-enough"
SECRET = "12345"
ALICE = speech((0.5, 2.5), total_s=6.0, rate=RATE)
BOB = speech((3.5, 4.5), total_s=6.0, rate=RATE)


def line(live: Live, **options: Any) -> connect:
    return connect(f"ws://{live.host}/twilio", compression=None, **options)


async def say(socket: ClientConnection, *messages: str) -> None:
    for message in messages:
        await socket.send(message)


async def closed(socket: ClientConnection) -> int | None:
    """Nothing is said; the close code."""
    async with asyncio.timeout(20):
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    return socket.close_code


async def test_a_call_of_two_is_told_to_the_webhook_in_order_and_signed() -> None:
    stream = TwilioStream("inbound", "outbound", parameters={"labels": "customer,agent", "token": "unused"})
    async with webhook_receiver() as hook:
        telephony = TelephonySettings(webhook_url=hook.url, webhook_secret="s")
        async with live_server(telephony=telephony) as live, line(live) as socket:
            await say(socket, *stream.begin(), *stream.media(ALICE, BOB), stream.dtmf("9"), stream.mark("m"))
            await say(socket, stream.stop())
            assert await closed(socket) == 1000
            await hook.until("call.ended")
    assert [report["number"] for report in hook.reports] == list(range(1, len(hook.reports) + 1))
    assert {(report["call"], report["protocol"]) for report in hook.reports} == {(CALL, "twilio")}
    begun, *_, ended = hook.reports
    assert (begun["type"], begun["message"]["stream"]) == ("call.started", STREAM)
    assert begun["message"]["parameters"] == {"labels": "customer,agent"}
    finals = [report["message"] for report in hook.reports if report["type"] == "transcript"]
    assert sorted(final["channel"] for final in finals) == [0, 1]
    assert all(final["text"] and len(final["words"]) == len(final["text"].split()) for final in finals)
    signalled = [one["message"] for one in hook.reports if one["message"].get("source") == "signalling"]
    assert [(one["label"], one["channel"]) for one in signalled] == [("dtmf_9", 0)]
    assert {"marker", "call_summary"} <= {report["type"] for report in hook.reports}
    assert ended["message"]["summary"]["audio_ms"] == 6000
    assert all(headers["tympan-signature"].startswith("t=") for headers in hook.headers)
    assert len({headers["tympan-delivery"] for headers in hook.headers}) == len(hook.headers)


async def test_a_line_that_breaks_still_has_its_last_words() -> None:
    stream = TwilioStream("inbound")
    async with webhook_receiver() as hook:
        async with live_server(telephony=TelephonySettings(webhook_url=hook.url)) as live:
            async with line(live) as socket:
                await say(socket, *stream.begin(), *stream.media(ALICE[: 2 * RATE]))
                socket.transport.abort()
            ended = await hook.until("call.ended")
            assert ended["message"]["summary"]["utterances"] == 1
            assert live.service.sessions == frozenset()
        (final,) = [report["message"] for report in hook.reports if report["type"] == "transcript"]
        assert final["text"]


async def test_a_call_is_watched_by_its_id_or_its_streams() -> None:
    stream = TwilioStream("inbound", "outbound")
    async with live_server() as live, line(live) as socket:
        await say(socket, *stream.begin(), *stream.media(ALICE, BOB))
        async with httpx.AsyncClient(base_url=f"http://{live.host}") as http:

            async def known() -> bool:
                return (await http.get(f"/v1/calls/{CALL}")).status_code == 200

            await eventually(known)
            described = (await http.get(f"/v1/calls/{STREAM}")).json()
            assert described["audio"]["labels"] == ["inbound", "outbound"]
            async with connect(f"ws://{live.host}/v1/calls/{CALL}/watch") as viewer:
                assert json.loads(await viewer.recv())["session"] == described["session"]
                await say(socket, stream.stop())
                kinds = [json.loads(message)["type"] async for message in viewer]
            assert kinds[-1] == "summary"
            assert await closed(socket) == 1000
            text = (await http.get(f"/v1/calls/{CALL}/transcript.txt")).text
            assert text.splitlines()[0].startswith("inbound: ")
            assert (await http.get(f"/v1/calls/{CALL}/call")).json()["call"]["audio_ms"] == 6000
            assert (await http.get("/v1/calls/CAnone/call")).status_code == 404
            with pytest.raises(InvalidStatus):
                await connect(f"ws://{live.host}/v1/calls/CAnone/watch")


async def test_calls_by_id_are_for_keys_or_for_this_machine() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
        assert (await http.get("/v1/calls/CA1", headers={"Host": "evil.example"})).status_code == 401
        assert (await http.get("/v1/calls/CA1")).status_code == 404
    for auth in (AuthSettings(open=True), AuthSettings(keys=(KEY,))):
        async with live_server(auth=auth) as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
            assert (await http.get("/v1/calls/CA1")).status_code == 401
            shown = await http.get("/v1/calls/CA1", headers={"Authorization": f"Bearer {KEY}"})
            assert shown.status_code == (401 if auth.open else 404)


async def refused(live: Live, headers: dict[str, str] | None = None) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        async with line(live, additional_headers=headers):
            raise AssertionError("it was let in")
    return refusal.value.response.status_code


async def test_with_a_secret_only_twilio_is_let_in() -> None:
    public = "wss://voice.example.org"
    telephony = TelephonySettings(twilio_secret=SECRET, public_url=public)
    async with live_server(telephony=telephony) as live:
        assert await refused(live) == 401
        assert await refused(live, {"X-Twilio-Signature": sign("54321", f"{public}/twilio")}) == 401
        async with line(live, additional_headers={"X-Twilio-Signature": sign(SECRET, f"{public}/twilio")}) as socket:
            await say(socket, *TwilioStream().begin(), TwilioStream().stop())
            assert await closed(socket) == 1000
    async with live_server(telephony=TelephonySettings(twilio_secret=SECRET)) as live:
        url = f"wss://{live.host}/twilio"
        async with line(live, additional_headers={"x-twilio-signature": sign(SECRET, url)}):
            pass


async def test_a_key_is_shown_by_the_request_or_as_a_parameter() -> None:
    auth = AuthSettings(keys=(KEY,))
    async with live_server(auth=auth, telephony=TelephonySettings(twilio_secret=SECRET)) as live:
        assert await refused(live, {"X-Twilio-Signature": "no"}) == 401
        for options, parameters, code in (
            ({"additional_headers": {"Authorization": f"Bearer {KEY}"}}, {}, 1000),
            ({}, {"token": KEY}, 1000),
            ({}, {"token": "wrong"}, 1008),
            ({}, {}, 1008),
        ):
            async with line(live, **options) as socket:
                stream = TwilioStream(parameters=parameters)  # type: ignore[arg-type]
                await say(socket, *stream.begin(), stream.stop())
                assert await closed(socket) == code


async def test_a_full_server_refuses_before_the_call_begins() -> None:
    async with live_server(max_sessions=1) as live, line(live) as socket:
        await say(socket, *TwilioStream().begin())

        async def begun() -> bool:
            return len(live.service.sessions) == 1

        await eventually(begun)
        assert await refused(live) == 503


async def test_a_server_that_drains_ends_its_calls_with_their_last_words(tmp_path: Path) -> None:
    """No line comes back to a session, so it is not left to other gateways."""
    stream = TwilioStream("inbound")
    with running(RedisServer(tmp_path / "redis")) as redis:
        async with (
            webhook_receiver() as hook,
            live_server(
                telephony=TelephonySettings(webhook_url=hook.url), store=StoreSettings(kind="redis", url=redis.url)
            ) as live,
            line(live) as socket,
        ):
            await say(socket, *stream.begin(), *stream.media(ALICE[: 2 * RATE]))

            async def heard() -> bool:
                return any(session.audio_ms >= 2000 for session in live.service.sessions)

            await eventually(heard)
            await live.service.drain(0.0)
            ended = await hook.until("call.ended")
            assert ended["message"]["summary"]["utterances"] == 1
            assert await closed(socket) == 1012
        assert [report["type"] for report in hook.reports].count("transcript") == 1
