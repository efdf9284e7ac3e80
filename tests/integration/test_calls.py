"""Calls and masking over sockets: what clients, viewers, transcripts and questions get of a session's numbers."""

from __future__ import annotations

import json

import httpx
import pytest
from tympan_client import CallEvent, CallOptions, CallSummary, Endpointing, Ready, Summary, TympanClient, TympanError
from websockets.asyncio.client import connect

from inference.pool.fake import FakeEngine, ScriptedWord
from inference.pool.interface import ChatLimits, EngineInfo
from inference.pool.tasks import TASK_NAMES
from streaming.protocol import messages
from streaming.session.settings import SessionSettings
from tests.support.live import live_server, pcm
from tests.support.sessions import speech

WORDS = "my card is four one one one one one one one and that is all".split()  # noqa: SIM905
PCM = pcm(speech((0.5, 6.5), total_s=10.0))
ENDPOINTING = Endpointing(min_silence_ms=500, min_speech_ms=64)
CALL = messages.CallOptions(dead_air_ms=1_000, keywords=["that is all"])
MASKED = "card is # # # # # # # # and that is all"


def engine() -> FakeEngine:
    """It can be asked, and says a card number."""
    info = EngineInfo(
        "qwen", "cpu", "float32", tasks=TASK_NAMES, answers=True, chat=ChatLimits(audio_s=30, clip_s=30, clips=1)
    )
    script = [ScriptedWord(text, n * 6_400, (n + 1) * 6_400) for n, text in enumerate(WORDS)]
    return FakeEngine(script=lambda stream: script, info=info)


async def test_a_call_is_told_to_clients_and_over_http() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
        client = TympanClient(live.host)
        call = CallOptions(dead_air_ms=1_000, keywords=("bravo charlie",))
        stream = client.stream(PCM, call=call, endpointing=ENDPOINTING)
        events = [event async for event in stream]
        ready = events[0]
        (account,) = [event for event in events if isinstance(event, CallSummary)]
        assert isinstance(ready, Ready)
        assert ready.call is not None
        assert ready.call["dead_air_ms"] == 1_000
        assert isinstance(events[-1], Summary)
        told = [event for event in events if isinstance(event, CallEvent)]
        assert [event.phase for event in told if event.kind == "dead_air"] == ["start", "end"]
        assert {event.keyword for event in told if event.kind == "keyword"} == {"bravo charlie"}
        answer = await http.get(f"/v1/sessions/{ready.session}/call")
    shown = answer.json()
    assert (shown["state"], shown["options"]["keywords"]) == ("ended", ["bravo charlie"])
    assert shown["call"] == account.call
    assert [event["kind"] for event in shown["events"]] == [event.kind for event in told]


async def test_a_session_that_is_no_call_has_none() -> None:
    async with live_server() as live, live.client() as client, httpx.AsyncClient() as http:
        ready = await client.start()
        answer = await http.get(f"http://{live.host}/v1/sessions/{ready.session}/call")
    assert (answer.status_code, answer.json()["code"]) == (400, "unsupported")


async def test_while_a_call_is_live_its_account_is_still_to_come() -> None:
    async with live_server() as live, live.client() as client, httpx.AsyncClient() as http:
        ready = await client.start(call=CALL)
        await client.send_audio(PCM)
        await client.until(messages.Call, phase="start")
        shown = (await http.get(f"http://{live.host}/v1/sessions/{ready.session}/call")).json()
    assert (shown["state"], shown["call"]) == ("live", None)
    assert "dead_air" in [event["kind"] for event in shown["events"]]


@pytest.mark.parametrize("by", ["client", "server"])
async def test_no_route_tells_a_hidden_number(by: str) -> None:
    settings = SessionSettings(redact=("card",) if by == "server" else ())
    async with (
        live_server(engine(), session=settings) as live,
        live.client() as client,
        httpx.AsyncClient(base_url=f"http://{live.host}") as http,
    ):
        ready = await client.start(redact=["card"] if by == "client" else [], call=CALL)
        assert ready.redact == ["card"]
        place = f"/v1/sessions/{ready.session}"
        async with connect(f"ws://{live.host}{place}/watch", subprotocols=["tympan.v1.json"]) as viewer:  # type: ignore[list-item]
            await client.send_audio(PCM)
            await client.send(messages.Stop())
            await client.until(messages.Summary)
            watched = [json.loads(payload) async for payload in viewer]
        (final,) = [one for one in client.received if isinstance(one, messages.Transcript) and one.final]
        assert final.text is not None
        assert final.text.endswith(MASKED)
        shown = [(await http.get(f"{place}/transcript.{form}")).text for form in ("json", "txt", "srt", "vtt")]
        shown += [(await http.get(f"{place}/call")).text, json.dumps(watched)]
        assert all("that is all" in text for text in shown)
        assert not any("four" in text or "one one" in text or '"one"' in text for text in shown)
        assert (await http.get(place)).json()["redact"] == ["card"]
        stored = [event.data for event in await live.service.store.read_events(ready.session, 0)]
        assert not any(b"four" in data for data in stored)


async def test_a_redacted_session_takes_no_questions() -> None:
    async with live_server(engine()) as live, live.client() as client, httpx.AsyncClient() as http:
        ready = await client.start(redact=["digits"])
        await client.send_audio(PCM[:64_000])
        await client.send(messages.Ask(id="1", messages=[messages.ChatMessage(role="user", content="The card?")]))
        answer = await client.until(messages.Answer)
        assert answer.error.code == "unsupported"
        assert "takes no questions" in answer.error.message
        asked = {"messages": [{"role": "user", "content": "The card?"}]}
        refused = await http.post(f"http://{live.host}/v1/sessions/{ready.session}/chat", json=asked)
    assert refused.status_code == 400
    assert "takes no questions" in refused.text


async def test_what_could_tell_numbers_is_refused_at_the_start() -> None:
    async with live_server(engine(), session=SessionSettings(redact=("all",))) as live:
        with pytest.raises(TympanError, match="entities could tell them"):
            async for _ in TympanClient(live.host).stream(PCM, task=["transcribe", "entities"]):
                pass
