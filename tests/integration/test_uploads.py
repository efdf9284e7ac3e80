"""Recordings by POST, with OpenAI's own SDK and as Deepgram's send them: every shape, every limit, nothing left."""

import asyncio
import hashlib
import os
import struct
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI

from inference.pool.fake import FakeEngine
from streaming.config import AuthSettings, MediaSettings
from tests.support.live import Live, live_server
from tests.support.polling import eventually
from tests.support.sessions import speech
from tests.support.sounds import encoded

SENTENCES = speech((0.5, 2.5), (4.0, 5.5), total_s=7.0)
FIRST, SECOND = "bravo charlie delta echo foxtrot golf", "kilo lima mike november"
TEXT = f"{FIRST} {SECOND}"
FLAC = encoded(SENTENCES, "flac")
KEY = "a-key-of-the-kiosk"


def sdk(live: Live, key: str = KEY) -> AsyncOpenAI:
    return AsyncOpenAI(api_key=key, base_url=f"http://{live.host}/v1", max_retries=0, timeout=30)


def http(live: Live) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://{live.host}", timeout=30)


async def nothing_left(live: Live) -> None:
    async def empty() -> bool:
        return not live.service.sessions and not live.engine.open_streams()

    await eventually(empty)


class TestOpenAI:
    async def test_files_of_any_kind(self) -> None:
        async with live_server() as live:
            for form in ("flac", "wav", "mp3", "mp4", "ogg", "webm"):
                file = (f"speech.{form}", encoded(SENTENCES, form))
                heard = await sdk(live).audio.transcriptions.create(model="whisper-1", file=file)
                assert heard.text.split()[:5] == TEXT.split()[:5], form
            await nothing_left(live)

    async def test_verbose_json(self) -> None:
        async with live_server() as live:
            heard = await sdk(live).audio.transcriptions.create(
                model="whisper-1",
                file=("a.flac", FLAC),
                response_format="verbose_json",
                timestamp_granularities=["word", "segment"],
                language="en",
                prompt="names",
                temperature=0.2,
            )
            assert (heard.text, heard.language, heard.duration) == (TEXT, "english", 7.0)
            assert [segment.text for segment in heard.segments or []] == [f" {FIRST}", f" {SECOND}"]
            assert [word.word for word in heard.words or []] == TEXT.split()
            assert all(word.start <= word.end for word in heard.words or [])

    @pytest.mark.parametrize(
        ("response_format", "begin"), [("text", FIRST), ("srt", "1\n00:00:00,"), ("vtt", "WEBVTT\n\n00:00:00.")]
    )
    async def test_texts(self, response_format: Any, begin: str) -> None:
        async with live_server() as live:
            heard: Any = await sdk(live).audio.transcriptions.create(
                model="whisper-1", file=("a.flac", FLAC), response_format=response_format
            )
            assert heard.startswith(begin)
            assert "november" in heard

    async def test_a_stream_of_events(self) -> None:
        async with live_server() as live:
            stream = await sdk(live).audio.transcriptions.create(model="m", file=("a.flac", FLAC), stream=True)
            events = [event async for event in stream]
            deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
            assert deltas == [FIRST, f" {SECOND}"]
            assert events[-1].type == "transcript.text.done"
            assert events[-1].text == TEXT
            await nothing_left(live)

    @pytest.mark.filterwarnings("ignore:deprecated")
    async def test_a_model_that_cannot_translate_says_so(self) -> None:
        async with live_server() as live:
            with pytest.raises(openai.BadRequestError, match="translate"):
                await sdk(live).audio.translations.create(model="whisper-1", file=("a.flac", FLAC))

    async def test_refusals_have_the_shape_that_the_sdk_reads(self) -> None:
        async with live_server(auth=AuthSettings(keys=(KEY,))) as live:
            with pytest.raises(openai.AuthenticationError) as refused:
                await sdk(live, "another-key-of-nobody").audio.transcriptions.create(model="m", file=("a", FLAC))
            assert refused.value.code == "invalid_api_key"
            wrong: Any = "docx"
            with pytest.raises(openai.BadRequestError, match="response_format"):
                await sdk(live).audio.transcriptions.create(model="m", file=("a", FLAC), response_format=wrong)
            with pytest.raises(openai.BadRequestError, match="language"):
                await sdk(live).audio.transcriptions.create(model="m", file=("a", FLAC), language="xx")
            assert (await sdk(live).audio.transcriptions.create(model="m", file=("a", FLAC))).text == TEXT

    async def test_a_client_that_leaves_takes_everything_with_it(self) -> None:
        engine = FakeEngine()
        async with live_server(engine) as live:
            engine.hold_steps()
            for stream in ("false", "true"):
                form = {"model": (None, "m"), "stream": (None, stream), "file": ("a.flac", FLAC)}
                async with http(live) as client:
                    asking = asyncio.create_task(client.post("/v1/audio/transcriptions", files=form))
                    await engine.stepping.wait()
                    asking.cancel()
                    await asyncio.gather(asking, return_exceptions=True)

                async def empty() -> bool:
                    return not live.service.sessions

                await eventually(empty)


class TestDeepgram:
    async def post(self, live: Live, query: str, data: bytes, **headers: str) -> httpx.Response:
        async with http(live) as client:
            return await client.post(f"/v1/listen?{query}", content=data, headers=headers)

    async def test_a_recording(self) -> None:
        async with live_server() as live:
            query = "model=nova-3&punctuate=true&utterances=true&paragraphs=true"
            response = await self.post(live, query, FLAC, **{"content-type": "application/octet-stream"})
            assert response.status_code == 200
            told = response.json()
            metadata = told["metadata"]
            assert set(metadata) >= {"request_id", "sha256", "created", "duration", "channels", "models", "model_info"}
            assert metadata["sha256"] == hashlib.sha256(FLAC).hexdigest()
            assert (metadata["duration"], metadata["channels"]) == (7.0, 1)
            (channel,) = told["results"]["channels"]
            (alternative,) = channel["alternatives"]
            assert alternative["transcript"] == TEXT
            assert [word["punctuated_word"] for word in alternative["words"]] == TEXT.split()
            assert [one["transcript"] for one in told["results"]["utterances"]] == [FIRST, SECOND]
            assert len(alternative["paragraphs"]["paragraphs"]) == 2
            await nothing_left(live)

    async def test_two_channels(self) -> None:
        two = np.stack([SENTENCES, np.zeros_like(SENTENCES)], axis=1)
        async with live_server() as live:
            told = (await self.post(live, "multichannel=true", encoded(two, "flac"))).json()
            texts = [one["alternatives"][0]["transcript"] for one in told["results"]["channels"]]
            assert texts == [TEXT, ""]
            alone = (await self.post(live, "multichannel=true", FLAC)).json()
            assert len(alone["results"]["channels"]) == 1

    async def test_samples_without_a_container(self) -> None:
        async with live_server() as live:
            query = "encoding=linear16&sample_rate=16000"
            told = (await self.post(live, query, SENTENCES.astype("<i2").tobytes())).json()
            assert told["results"]["channels"][0]["alternatives"][0]["transcript"] == TEXT

    async def test_nothing_is_fetched(self) -> None:
        async with live_server() as live:
            response = await self.post(
                live, "model=x", b'{"url":"http://169.254.169.254/"}', **{"content-type": "application/json"}
            )
            assert (response.status_code, response.json()["err_code"]) == (400, "INVALID_QUERY_PARAMETER")


SMALL = MediaSettings(max_upload_bytes=200_000, max_upload_s=20, max_decode_s=2, max_decoders=2)
MINUTE_OF_SILENCE = encoded(np.zeros(16_000 * 60, np.int16), "flac")
MANY_CHANNELS = struct.pack("<HHIIHH", 1, 60_000, 16_000, 1, 1, 16) + b"data\xff\xff\xff\x7f" + bytes(100_000)
HOSTILE = {
    "nothing": (b"", 400),
    "text": (b"hello " * 1000, 400),
    "noise": (os.urandom(50_000), 400),
    "a playlist": (b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:1/\n", 400),
    "a header and nothing": (FLAC[:60], 400),
    "a broken ogg": (b"OggS" + bytes(range(256)) * 50, 400),
    "a wav that claims gigabytes": (
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 1, 60000, 16000, 1, 1, 16),
        400,
    ),
    "too many bytes": (bytes(300_000), 413),
    "a bomb": (MINUTE_OF_SILENCE, 400),
}


@pytest.mark.parametrize("shape", ["openai", "deepgram"])
async def test_hostile_files_get_a_4xx_and_cost_nothing_lasting(shape: str) -> None:
    async with live_server(media=SMALL) as live, http(live) as client:
        for case, (data, status) in HOSTILE.items():
            if shape == "openai":
                form = {"model": (None, "m"), "file": ("a.flac", data)}
                response = await client.post("/v1/audio/transcriptions", files=form)
                assert "message" in response.json()["error"], case
            else:
                response = await client.post("/v1/listen", content=data)
                assert "err_msg" in response.json(), case
            assert response.status_code == status, case
            await nothing_left(live)
        good = await client.post("/v1/listen", content=FLAC)
        assert good.status_code == 200


async def test_a_stream_without_an_end_is_cut_off() -> None:
    async def endless() -> Any:
        while True:
            yield bytes(10_000)

    async with live_server(media=SMALL) as live, http(live) as client:
        try:
            response = await client.post("/v1/listen", content=endless())
        except httpx.HTTPError:
            pass  # the connection is closed under its body
        else:
            assert response.status_code == 413
        await nothing_left(live)


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    media = MediaSettings(upload_timeout_s=1.0)
    async with live_server(media=media) as live:
        reader, writer = await asyncio.open_connection("127.0.0.1", live.server.port)
        writer.write(b"POST /v1/listen HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nfLaC")
        assert b" 408 " in await reader.readline()
        writer.close()
        await nothing_left(live)


async def test_there_are_only_so_many_at_once() -> None:
    async with live_server(media=MediaSettings(max_decoders=0)) as live, http(live) as client:
        response = await client.post("/v1/listen", content=FLAC)
        assert response.status_code == 503


async def test_a_recording_does_not_take_the_workers_from_live_sessions() -> None:
    """At most a few of its finals wait at any time, however fast it could be heard."""
    engine = FakeEngine()
    long = speech(*[(at + 0.2, at + 1.0) for at in range(0, 120, 3)], total_s=120.0)
    async with live_server(engine) as live, http(live) as client:
        response = await client.post("/v1/listen", content=encoded(long, "flac"))
        assert response.status_code == 200
        assert max(len(batch) for batch in engine.batches) <= 6
        assert sum(len(batch) for batch in engine.batches) >= 40
