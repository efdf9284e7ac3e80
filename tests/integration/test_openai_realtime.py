"""OpenAI's own SDK, unpatched, on realtime transcription at a live server."""

import asyncio
import base64
import json
from typing import Any

import numpy as np
import pytest
from openai import AsyncOpenAI
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from streaming.config import AuthSettings
from tests.support.live import PATIENCE_S, Live, live_server
from tests.support.sessions import speech

RATE = 24_000
SENTENCES = speech((0.5, 2.5), (4.0, 5.5), total_s=7.0, rate=RATE)
KEY = "a-key-of-the-kiosk"
TRANSCRIPTION: Any = {"type": "transcription", "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}}
COMPLETED = "conversation.item.input_audio_transcription.completed"
DELTA = "conversation.item.input_audio_transcription.delta"


def client(live: Live, key: str = KEY) -> AsyncOpenAI:
    return AsyncOpenAI(api_key=key, base_url=f"http://{live.host}/v1", max_retries=0)


async def test_a_conversation_with_server_vad() -> None:
    async with (
        live_server(auth=AuthSettings(keys=(KEY,))) as live,
        client(live).realtime.connect(extra_query={"intent": "transcription"}) as socket,
        asyncio.timeout(PATIENCE_S),
    ):
        assert (await socket.recv()).type == "session.created"
        await socket.session.update(session=TRANSCRIPTION)
        assert (await socket.recv()).type == "session.updated"
        for at in range(0, len(SENTENCES), 2400):
            data = SENTENCES[at : at + 2400].astype("<i2").tobytes()
            await socket.input_audio_buffer.append(audio=base64.b64encode(data).decode())
        transcripts, deltas = [], ""
        async for event in socket:
            if event.type == DELTA:
                deltas += event.delta or ""
            if event.type == COMPLETED:
                transcripts.append(event.transcript)
                if len(transcripts) == 2:
                    break
        assert transcripts == ["bravo charlie delta echo foxtrot golf", "kilo lima mike november"]
        assert deltas == "".join(transcripts)


async def test_a_manual_turn() -> None:
    async with (
        live_server() as live,
        client(live).realtime.connect(extra_query={"intent": "transcription"}) as socket,
        asyncio.timeout(PATIENCE_S),
    ):
        manual: Any = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
        await socket.session.update(session=manual)
        data = SENTENCES.astype("<i2").tobytes()
        await socket.input_audio_buffer.append(audio=base64.b64encode(data).decode())
        await socket.input_audio_buffer.commit()
        async for event in socket:
            assert event.type != "error"
            if event.type == COMPLETED:
                assert event.transcript.startswith("bravo charlie")
                assert event.usage.seconds == 7.0  # type: ignore[union-attr]
                break


@pytest.mark.parametrize("subprotocols", [["realtime", f"openai-insecure-api-key.{KEY}", "openai-beta.realtime-v1"]])
async def test_a_browser_shows_its_key_as_a_subprotocol(subprotocols: Any) -> None:
    async with (
        live_server(auth=AuthSettings(keys=(KEY,))) as live,
        connect(f"ws://{live.host}/v1/realtime", subprotocols=subprotocols) as socket,
    ):
        assert socket.subprotocol == "realtime"
        assert json.loads(await socket.recv())["type"] == "transcription_session.created"


async def test_refusals_are_http_in_openais_shape() -> None:
    async with live_server(auth=AuthSettings(keys=(KEY,)), max_sessions=1) as live:
        for key, status, code in (("wrong-key-of-nobody", 401, "invalid_api_key"), (KEY, 503, "server_overloaded")):
            async with connect(f"ws://{live.host}/v1/listen?encoding=mulaw&sample_rate=8000&token={KEY}"):
                with pytest.raises(InvalidStatus) as refused:
                    async with client(live, key).realtime.connect(extra_query={"intent": "transcription"}):
                        pass
            assert refused.value.response.status_code == status
            body = json.loads(refused.value.response.body or b"")
            assert body["error"]["code"] == code
            assert set(body["error"]) == {"message", "type", "param", "code"}


async def test_a_language_that_the_model_does_not_know_is_an_error() -> None:
    async with live_server() as live, connect(f"ws://{live.host}/v1/realtime") as socket:
        await socket.recv()
        update = {"audio": {"input": {"transcription": {"language": "xx"}}}}
        await socket.send(json.dumps({"type": "session.update", "session": update}))
        await socket.recv()
        audio = base64.b64encode(np.zeros(100, "<i2").tobytes()).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
        error = json.loads(await socket.recv())
        assert (error["type"], "language" in error["error"]["message"]) == ("error", True)
