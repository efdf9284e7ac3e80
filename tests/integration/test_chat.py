"""Questions about a live session: over its own socket, and over HTTP by OpenAI's SDK."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from tympan_client import Answer as AnswerEvent
from tympan_client import Event, SyncTympanClient, TympanClient, TympanError
from tympan_client import Session as ClientSession

from inference.pool.fake import FakeEngine
from inference.pool.interface import ChatLimits, EngineInfo
from inference.pool.local import LocalPool
from inference.pool.process import WorkerSettings
from streaming.protocol.messages import (
    Answer,
    Ask,
    ChatMessage,
    Marker,
    MarkerEcho,
    Ready,
    Resume,
    Stop,
    Summary,
    Transcript,
)
from streaming.session.asking import MAX_OPEN
from tests.support.live import Client, Live, live_server, pcm
from tests.support.polling import eventually
from tests.support.qwen_checkpoints import write_speaking_checkpoint
from tests.support.sessions import speech

CHAT = ChatLimits(audio_s=120.0, clip_s=30.0, clips=4, turns=True)
INFO = EngineInfo("qwen-chat", "cpu", "float32", chat=CHAT)
PCM = pcm(speech((0.5, 3.0), total_s=6.0))
ANSWER = "Who speaks? (1 turns, 1 clips, 6 s) Who speaks?"


def ask(text: str = "Who speaks?", id: str = "q", **fields: Any) -> Ask:
    return Ask(id=id, messages=[ChatMessage(role="user", content=text)], **fields)


@asynccontextmanager
async def session(
    engine: FakeEngine | None = None, codec: str = "msgpack", **settings: Any
) -> AsyncIterator[tuple[Live, Client, str]]:
    """A session that has heard six seconds, and its address over HTTP."""
    engine = engine or FakeEngine(info=INFO, answer_jobs=3)
    async with live_server(engine, **settings) as live, live.client(codec) as client:
        ready = await client.start()
        await client.send_audio(PCM)
        await client.send(Marker(id="heard"))
        await client.until(MarkerEcho)
        yield live, client, f"http://{live.host}/v1/sessions/{ready.session}"


async def no_questions(engine: FakeEngine) -> bool:
    return await questions_open(engine, 0)


async def questions_open(engine: FakeEngine, count: int) -> bool:
    return sum(name.startswith("ask:") for name in engine.open_streams()) == count


async def answered(client: Client, question: str = "q") -> list[Answer]:
    await client.has(Answer, id=question, done=True)
    return [answer for answer in client.got(Answer) if answer.id == question]


# -- over the session's socket ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["msgpack", "json"])
async def test_an_answer_comes_in_pieces_that_are_its_text(codec: str) -> None:
    async with session(codec=codec) as (_, client, _):
        await client.send(ask())
        pieces = await answered(client)
    assert len(pieces) == 3
    assert "".join(piece.delta for piece in pieces) == pieces[-1].text == ANSWER
    assert (pieces[-1].finish, pieces[-1].from_ms, pieces[-1].to_ms) == ("stop", 0, 6000)
    assert all(piece.seq == -1 for piece in pieces)


async def test_the_last_seconds_only() -> None:
    async with session() as (_, client, _):
        await client.send(ask(last_s=2.0))
        last = (await answered(client))[-1]
    assert last.text is not None
    assert "1 clips, 2 s" in last.text
    assert (last.from_ms, last.to_ms) == (4000, 6000)


async def test_captions_go_on_and_have_the_right_of_way() -> None:
    engine = FakeEngine(info=INFO, answer_jobs=50)
    async with session(engine) as (_, client, _):
        await client.send(ask())
        await client.send_audio(PCM, first_sample=6 * 16_000)
        await client.until(Transcript, final=True, utterance=2)
        assert (await answered(client))[-1].text == ANSWER
    kinds = [[job.kind for job in batch] for batch in engine.batches]
    first_final = next(place for place, batch in enumerate(kinds) if "final" in batch or "early_final" in batch)
    assert sum("answer" in batch for batch in kinds[first_final:]) > 0, "captions did not wait for the answer"


async def test_a_worker_that_is_lost_amid_an_answer_begins_it_anew_and_nothing_is_said_twice() -> None:
    engine = FakeEngine(info=INFO, answer_jobs=4)
    async with session(engine) as (_, client, _):
        await client.send(ask())
        await client.until(Answer)
        engine.lose_worker()
        pieces = await answered(client)
    assert "".join(piece.delta for piece in pieces) == ANSWER


async def test_what_cannot_be_answered_is_an_answer_and_the_session_goes_on() -> None:
    engine = FakeEngine(info=INFO)
    async with live_server(engine) as live, live.client() as client:
        await client.start()
        await client.send(ask())
        nothing = (await answered(client))[-1]
        assert nothing.error is not None
        assert (nothing.finish, nothing.error.code) == ("error", "no_audio")
        await client.send_audio(PCM)
        await client.send(Marker(id="heard"))
        await client.until(MarkerEcho)
        await client.send(ask(id="second"))
        assert (await answered(client, "second"))[-1].finish == "stop"
        await client.send(Stop())
        assert await client.rest() == 1000


async def test_captions_only_models_say_which_can() -> None:
    async with session(FakeEngine()) as (_, client, _):
        await client.send(ask())
        (refused,) = await answered(client)
    assert refused.error is not None
    assert refused.error.code == "unsupported"
    assert "fake writes captions only and cannot be asked; Qwen-Audio-Chat can" in refused.error.message


async def test_questions_are_bounded_and_answered_by_the_end_of_the_session() -> None:
    engine = FakeEngine(info=INFO)
    async with session(engine) as (_, client, _):
        engine.hold_steps()
        for number in range(MAX_OPEN + 1):
            await client.send(ask(id=str(number)))
        refused = await client.until(Answer)
        assert (refused.id, refused.error.code) == (str(MAX_OPEN), "too_many")
        engine.release_steps()
        engine.hold_steps()
        await client.send(Stop())
        engine.release_steps()
        assert await client.rest() == 1000
        codes = {answer.id: answer.error for answer in client.got(Answer) if answer.done}
        assert len(codes) == MAX_OPEN + 1, "each has its last word"
        assert isinstance(client.received[-1], Summary)
        await eventually(lambda: no_questions(engine))


# -- with the Python client -------------------------------------------------------------------------------------------


async def test_the_client_gives_an_answer_piece_by_piece_and_whole() -> None:
    engine = FakeEngine(info=INFO, answer_jobs=3)
    async with live_server(engine) as live, TympanClient(live.host).connect() as client:
        reading = asyncio.create_task(read_all(client))
        await client.send(speech((0.5, 3.0), total_s=6.0))
        await client.marker("heard")
        asked = await client.ask("Who speaks?", last_s=2.0)
        pieces = [piece async for piece in asked]
        again = await client.ask([{"role": "user", "content": "Who?"}])
        whole = await again.answer()
        await client.stop()
        events = await reading
    assert len(pieces) == 3
    text = "Who speaks? (1 turns, 1 clips, 2 s) Who speaks?"
    assert "".join(piece.delta for piece in pieces) == text
    assert await asked.answer() is pieces[-1]
    assert whole.text == "Who? (1 turns, 1 clips, 6 s) Who?"
    assert [event for event in events if isinstance(event, AnswerEvent) and event.id == asked.id] == pieces


async def test_the_client_raises_what_has_no_answer() -> None:
    engine = FakeEngine(info=INFO, answer_jobs=100_000)
    async with live_server(engine) as live, TympanClient(live.host).connect() as client:
        reading = asyncio.create_task(read_all(client))
        early = await client.ask("Who speaks?")
        for _ in range(2):
            with pytest.raises(TympanError, match="nothing was heard yet") as error:
                await early.answer()
            assert (error.value.code, error.value.retryable) == ("no_audio", False)
        await client.send(speech((0.5, 3.0), total_s=6.0))
        open_still = await client.ask("Who speaks?")
        await client.stop()
        await reading
        with pytest.raises(TympanError, match="ended before"):
            await open_still.answer()


async def test_the_blocking_client_asks_too() -> None:
    engine = FakeEngine(info=INFO, answer_jobs=3)

    def ask_it(host: str) -> tuple[list[str], str | None]:
        with SyncTympanClient(host).connect() as client:
            client.send(speech((0.5, 3.0), total_s=6.0))
            client.marker("heard")
            asked = client.ask("Who speaks?")
            return [piece.delta for piece in asked], asked.answer().text

    async with live_server(engine) as live:
        deltas, text = await asyncio.to_thread(ask_it, live.host)
    assert len(deltas) == 3
    assert "".join(deltas) == text == ANSWER


async def read_all(client: ClientSession) -> list[Event]:
    return [event async for event in client]


async def test_a_session_that_comes_back_to_its_gateway_is_asked_about_all_that_it_heard() -> None:
    async with session() as (live, client, _):
        ready = client.got(Ready)[0]
        client.socket.transport.abort()
        assert await live.service.wait_until_empty(10)
        async with live.client() as again:
            resume = Resume(session=ready.session, token=ready.resume_token, last_seq=100)
            resumed = await again.start(resume=resume)
            assert resumed.resumed
            await again.send_audio(PCM[2 * resumed.next_sample :], first_sample=resumed.next_sample)
            await again.send_audio(PCM[: 2 * 16_000], first_sample=6 * 16_000)
            await again.send(Marker(id="again"))
            await again.until(MarkerEcho, id="again")
            await again.send(ask())
            last = (await answered(again))[-1]
    assert (last.from_ms, last.to_ms) == (0, 7000)


# -- over HTTP --------------------------------------------------------------------------------------------------------


def sdk(place: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=place, api_key="none", max_retries=0)


async def test_openais_sdk_reads_an_answer() -> None:
    async with session() as (_, _, place), sdk(place) as client:
        completion = await client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "Who speaks?"}]
        )
    assert completion.object == "chat.completion"
    assert completion.model == "qwen-chat"
    assert completion.choices[0].message.content == ANSWER
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model_extra is not None
    assert completion.model_extra["tympan"] == {"from_ms": 0, "to_ms": 6000, "words": []}


async def test_openais_sdk_reads_it_piece_by_piece() -> None:
    async with session() as (_, _, place), sdk(place) as client:
        stream = await client.chat.completions.create(
            model="any",
            stream=True,
            extra_body={"last_s": 3},
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Who speaks?"},
                {"role": "assistant", "content": "A man."},
                {"role": "user", "content": "How old?"},
            ],
        )
        chunks = [chunk async for chunk in stream]
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0].choices[0].delta.role == "assistant"
    deltas = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(deltas) == "How old? (3 turns, 1 clips, 3 s) How old?"
    assert sum(map(bool, deltas)) == 3
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].model_extra is not None
    assert chunks[-1].model_extra["tympan"] == {"from_ms": 3000, "to_ms": 6000, "words": []}


async def test_openais_sdk_raises_what_goes_wrong_amid_an_answer() -> None:
    engine = FakeEngine(info=INFO, answer_jobs=1_000)
    async with session(engine) as (_, client, place), sdk(place) as sdk_client:
        question = {"role": "user", "content": "Who? " * 1_000}
        stream = await sdk_client.chat.completions.create(model="any", stream=True, messages=[question])
        said = await anext(stream)
        assert said.choices[0].delta.role == "assistant"
        await client.send(Stop())
        with pytest.raises(openai.APIError, match="the session ended before") as error:
            async for _ in stream:
                pass
    assert (error.value.code, error.value.type) == ("session_over", "invalid_request_error")


async def test_a_worker_that_is_lost_amid_a_streamed_answer_is_not_noticed() -> None:
    engine = FakeEngine(info=INFO, answer_jobs=200)
    async with session(engine) as (_, _, place), sdk(place) as client:
        question = {"role": "user", "content": "Who? " * 100}
        stream = await client.chat.completions.create(model="any", stream=True, messages=[question])
        said = [await anext(stream), await anext(stream)]
        engine.lose_worker()
        said += [chunk async for chunk in stream]
    assert sum(job.kind == "answer" for batch in engine.batches for job in batch) > 201, "it began anew"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in said)
    assert text == f"{question['content']} (1 turns, 1 clips, 6 s) {question['content']}"


async def test_several_ask_at_once_up_to_the_limit() -> None:
    engine = FakeEngine(info=INFO)
    body = {"messages": [{"role": "user", "content": "Who speaks?"}]}
    async with session(engine) as (_, _, place), httpx.AsyncClient() as http:
        engine.hold_steps()
        asking = [asyncio.create_task(http.post(f"{place}/chat", json=body)) for _ in range(MAX_OPEN)]
        await eventually(lambda: questions_open(engine, MAX_OPEN))
        refused = await http.post(f"{place}/chat", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many")
        engine.release_steps()
        answers = [(await task).json() for task in asking]
    assert [answer["choices"][0]["message"]["content"] for answer in answers] == [ANSWER] * MAX_OPEN
    assert len({answer["id"] for answer in answers}) == MAX_OPEN


async def test_pages_of_an_allowed_origin_may_ask_and_are_told_so_before() -> None:
    page = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    async with session(allowed_origins=("https://page.example",)) as (_, _, place), httpx.AsyncClient() as http:
        told = await http.options(f"{place}/chat", headers=page)
        assert told.status_code == 204
        assert told.headers["access-control-allow-origin"] == "https://page.example"
        assert told.headers["access-control-allow-methods"] == "POST"
        foreign = await http.options(f"{place}/chat", headers=page | {"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert "access-control-allow-origin" not in foreign.headers


def wav(samples: np.ndarray[Any, Any], rate: int, channels: int = 1) -> str:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.astype("<i2").tobytes())
    return base64.b64encode(file.getvalue()).decode()


def clip(data: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (8_000, 1), (48_000, 2)])
async def test_the_asker_may_bring_clips(rate: int, channels: int) -> None:
    content = [{"type": "text", "text": "Same?"}, clip(wav(np.zeros(2 * rate * channels), rate, channels))]
    async with session() as (_, _, place), httpx.AsyncClient() as http:
        body = {"messages": [{"role": "user", "content": content}]}
        answer = (await http.post(f"{place}/chat", json=body)).json()
    assert "(1 turns, 2 clips, 8 s)" in answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "bad_request"),
        ({"messages": []}, 400, "bad_request"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "bad_request"),
        ({"messages": [{"role": "user", "content": "x" * 40_000}]}, 413, "too_large"),
        ({"messages": [{"role": "user", "content": "x"}], "temperature": 3}, 400, "bad_request"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "unsupported"),
        ({"messages": [{"role": "user", "content": [clip("!")]}]}, 400, "bad_audio"),
        ({"messages": [{"role": "user", "content": [clip(wav(np.zeros(100), 1))]}]}, 400, "bad_audio"),
        ({"messages": [{"role": "user", "content": [clip(wav(np.zeros(500_000), 16_000))]}]}, 400, "unsupported"),
        ({"messages": [{"role": "user", "content": "x"}], "padding": "x" * (9 << 20)}, 413, "too_large"),
        ({"messages": [{"role": "assistant", "content": [clip("")]}]}, 400, "bad_request"),
    ],
)
async def test_bad_requests_are_typed_errors(body: dict[str, Any], status: int, code: str) -> None:
    async with session() as (_, _, place), httpx.AsyncClient() as http:
        refused = await http.post(f"{place}/chat", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)


async def test_who_is_not_there_or_not_live_is_told_apart() -> None:
    body = {"messages": [{"role": "user", "content": "Who?"}]}
    async with session() as (_, client, place), httpx.AsyncClient() as http:
        unknown = await http.post(f"{place[:-22]}{'x' * 22}/chat", json=body)
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "no_session")
        await client.send(Stop())
        await client.rest()
        ended = await http.post(f"{place}/chat", json=body)
        assert (ended.status_code, ended.json()["error"]["code"]) == (409, "not_live")
        foreign = await http.post(f"{place}/chat", json=body, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403


async def test_openais_sdk_raises_what_the_model_cannot() -> None:
    async with session(FakeEngine()) as (_, _, place), sdk(place) as client:
        with pytest.raises(openai.BadRequestError, match="writes captions only"):
            await client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Who?"}])


async def test_a_reader_that_leaves_gives_the_question_up() -> None:
    engine = FakeEngine(info=INFO, answer_jobs=100_000)
    body = {"messages": [{"role": "user", "content": "Who? " * 1000}], "stream": True}
    async with session(engine) as (_, _, place), httpx.AsyncClient() as http:
        async with http.stream("POST", f"{place}/chat", json=body) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    break
        await eventually(lambda: no_questions(engine))


async def test_so_does_one_that_leaves_while_nothing_is_said() -> None:
    engine = FakeEngine(info=INFO, answer_jobs=100_000)
    body = {"messages": [{"role": "user", "content": "Who? " * 1000}], "stream": True}
    async with session(engine) as (_, _, place), httpx.AsyncClient() as http:
        async with http.stream("POST", f"{place}/chat", json=body) as response:
            await anext(response.aiter_lines())
            engine.hold_steps()
        await eventually(lambda: no_questions(engine))
        engine.release_steps()


async def test_a_chat_checkpoint_answers_about_what_it_heard(tmp_path: Path) -> None:
    """Random weights answer nonsense; that their answer is the model's own is tested with the engine."""
    write_speaking_checkpoint(tmp_path / "tiny-chat", chats=True)
    pool: Any = LocalPool(WorkerSettings(model=str(tmp_path / "tiny-chat"), device="cpu", threads=1))
    async with session(pool) as (_, client, place), httpx.AsyncClient(timeout=30) as http:
        await client.send(ask(max_tokens=20))
        last = (await answered(client))[-1]
        assert last.error is None
        assert last.text
        body = {"messages": [{"role": "user", "content": "Who speaks?"}], "max_tokens": 20, "stream": True}
        lines = (await http.post(f"{place}/chat", json=body)).text.split("\n\n")
        pieces = [json.loads(line.removeprefix("data: ")) for line in lines if line and "[DONE]" not in line]
        said = "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces)
        assert said == last.text, "the same question about the same audio"


async def test_so_does_one_that_leaves_before_the_first_word() -> None:
    engine = FakeEngine(info=INFO)
    body = {"messages": [{"role": "user", "content": "Who?"}]}
    async with session(engine) as (_, _, place), httpx.AsyncClient() as http:
        engine.hold_steps()
        with pytest.raises(httpx.ReadTimeout):
            await http.post(f"{place}/chat", json=body, timeout=0.2)
        await eventually(lambda: no_questions(engine))
        engine.release_steps()
