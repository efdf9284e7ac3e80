"""Further tasks over sockets: from the published client through the service to an engine, and to viewers."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from tympan_client import Analysis, Endpointing, Ready, Summary, Task, TranscriptUpdate, TympanClient, TympanError
from websockets.asyncio.client import connect

from inference.pool.fake import FakeEngine
from inference.pool.interface import EngineInfo
from inference.pool.local import LocalPool
from inference.pool.process import WorkerSettings
from inference.pool.tasks import TASK_NAMES
from streaming.protocol import messages
from tests.support.clips import read_clip
from tests.support.live import live_server, pcm
from tests.support.qwen_checkpoints import write_speaking_checkpoint
from tests.support.sessions import speech

INFO = EngineInfo("qwen", "cpu", "float32", languages=("en", "de"), tasks=TASK_NAMES, answers=True)
PCM = pcm(speech((0.5, 3.0), (4.0, 5.5), total_s=7.0))
ENDPOINTING = Endpointing(min_silence_ms=500, min_speech_ms=64)


@pytest.mark.parametrize("codec", ["msgpack", "json"])
async def test_a_client_gets_each_utterances_answers_after_its_final(codec: str) -> None:
    engine = FakeEngine(info=INFO, answer_jobs=3)
    async with live_server(engine) as live:
        tasks = ("transcribe", Task(name="emotion"), Task(name="question", question="Who?"))
        client = TympanClient(live.host, codec=codec)  # type: ignore[arg-type]
        stream = client.stream(PCM, task=tasks, language="en", endpointing=ENDPOINTING)
        events = [event async for event in stream]
    assert isinstance(events[0], Ready)
    assert [task["name"] for task in events[0].tasks] == ["transcribe", "emotion", "question"]
    assert {task["language"] for task in events[0].tasks} == {"en"}
    finals = {event.utterance: event for event in events if isinstance(event, TranscriptUpdate) and event.final}
    answers = [event for event in events if isinstance(event, Analysis)]
    assert [(one.utterance, one.task, one.index) for one in answers] == [
        (1, "emotion", 0),
        (1, "question", 1),
        (2, "emotion", 0),
        (2, "question", 1),
    ]
    for one in answers:
        assert events.index(finals[one.utterance]) < events.index(one)
        assert one.text == f"{one.task}: {finals[one.utterance].text}"
        assert one.labels == (one.task,)
        assert one.complete
    assert isinstance(events[-1], Summary)
    asked = [job for batch in engine.batches for job in batch if job.kind == "answer"]
    assert len(asked) == 2 * 3, "each answer takes three jobs"


async def test_a_worker_that_is_lost_amid_an_answer_is_given_the_audio_again() -> None:
    engine = FakeEngine(info=INFO, answer_jobs=2)
    async with live_server(engine) as live, live.client() as client:
        await client.start(task=[messages.Task(), messages.Task(name="scene")])
        await client.send_audio(PCM[: 4 * 32_000])
        final = await client.until(messages.Transcript, final=True)
        engine.lose_worker()
        analysis = await client.has(messages.Analysis)
    assert analysis.text == f"scene: {final.text}"


async def test_a_model_that_writes_captions_only_says_so_at_once() -> None:
    async with live_server() as live:
        with pytest.raises(TympanError, match="fake has no task emotion; it has transcribe"):
            async for _ in TympanClient(live.host).stream(PCM, task=["transcribe", "emotion"]):
                pass


async def test_viewers_and_transcripts_have_the_answers() -> None:
    async with live_server(FakeEngine(info=INFO)) as live, live.client() as client:
        ready = await client.start(task=[messages.Task(), messages.Task(name="scene")])
        place = f"{live.host}/v1/sessions/{ready.session}"
        async with connect(f"ws://{place}/watch", subprotocols=["tympan.v1.json"]) as viewer:  # type: ignore[list-item]
            await client.send_audio(PCM)
            await client.send(messages.Stop())
            assert await client.rest() == 1000
            seen = [message async for message in viewer]
        said = client.got(messages.Analysis)
        assert len(said) == 2
        texts = [one.text for one in said]
        assert [text for text in texts if any(text in str(message) for message in seen)] == texts
        async with httpx.AsyncClient() as http:
            transcript = (await http.get(f"http://{place}/transcript.json")).json()
    analyses = [one["analyses"] for one in transcript["utterances"]]
    assert [[answer["text"] for answer in each] for each in analyses] == [[text] for text in texts]
    assert analyses[0][0]["task"] == "scene"


async def test_a_checkpoint_in_qwen_audios_layout_answers_in_a_worker_process(tmp_path: Path) -> None:
    """Random weights say nothing sensible, but they say it of the right audio, in the form of each task."""
    write_speaking_checkpoint(tmp_path / "tiny")
    pool = LocalPool(WorkerSettings(model=str(tmp_path / "tiny"), device="cpu", threads=1))
    sound, _ = read_clip("question.flac")
    async with live_server(pool) as live:  # type: ignore[arg-type]
        assert live.service.info is not None
        assert live.service.info.answers
        tasks = ["transcribe", "sound_events", Task(name="question", question="Who speaks?")]
        stream = TympanClient(live.host).stream(pcm(sound), task=tasks, endpointing=ENDPOINTING)  # type: ignore[arg-type]
        events = [event async for event in stream]
    finals = [event for event in events if isinstance(event, TranscriptUpdate) and event.final]
    answers = [event for event in events if isinstance(event, Analysis)]
    assert finals
    assert [one.task for one in answers] == ["sound_events", "question"] * len(finals)
    assert all(one.error is None for one in answers)
    assert any(one.text for one in answers)
    assert isinstance(events[-1], Summary)
