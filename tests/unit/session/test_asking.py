"""Questions on their way through the fleet: what is said of each, once, whatever becomes of the workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from inference.pool.fake import FakeEngine
from inference.pool.interface import (
    ChatLimits,
    EngineInfo,
    EngineStartError,
    ErrorCode,
    Hypothesis,
    Job,
    JobError,
    StreamSpec,
)
from inference.pool.tasks import Answer as Written
from inference.pool.tasks import TimedWord as WrittenWord
from streaming.protocol.messages import Answer, Ask, ChatMessage, Start, Stop, Summary, TimedWord, Transcript
from streaming.scheduler.listener import Listener, StreamClosedError
from streaming.scheduler.policy import StreamQueueFullError
from streaming.session.asking import DEADLINE_S, MAX_OPEN, Asking
from streaming.session.effects import StoreAudio
from streaming.session.runner import SessionRunner
from streaming.session.service import Service
from streaming.session.settings import SessionSettings
from tests.support.sessions import ENDPOINTING, LoudnessDetector, audio, speech
from tests.support.virtual_time import in_virtual_time

RATE = 16_000
NOW_S = 100.0
CHAT = ChatLimits(audio_s=120.0, clip_s=30.0, clips=4, turns=True)
INFO = EngineInfo("qwen-chat", "cpu", "float32", chat=CHAT)


@dataclass
class ScriptedFleet:
    """Takes what is put, and answers when the test says so. `refuse` is raised by `submit`, `dead` by `open`."""

    listeners: dict[str, Listener] = field(default_factory=dict)
    appended: dict[str, bytes] = field(default_factory=dict)
    jobs: list[tuple[Job, float]] = field(default_factory=list)
    refuse: Exception | None = None
    dead: str | None = None
    fails_at_append: bool = False

    def open(self, stream: str, spec: StreamSpec, listener: Listener) -> None:
        if self.dead:
            raise EngineStartError(self.dead)
        self.listeners[stream] = listener

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        assert (utterance, first_sample) == (0, 0)
        self.appended[stream] = pcm
        if self.fails_at_append:
            self.listeners.pop(stream).on_stream_failed("no worker is up")

    def submit(self, job: Job, deadline: float) -> None:
        if self.refuse:
            raise self.refuse
        if job.stream not in self.listeners:
            raise StreamClosedError(job.stream)
        self.jobs.append((job, deadline))

    def close(self, stream: str) -> None:
        self.listeners.pop(stream, None)

    def answer(self, text: str, *, more: bool = False, **written: Any) -> None:
        """To the newest job."""
        job = self.jobs[-1][0]
        hypothesis = Hypothesis(
            job.stream, 0, job.revision, False, job.until_sample, (), answers=(Written(text, **written),), more=more
        )
        if (listener := self.listeners.get(job.stream)) is not None:
            listener.on_hypothesis(hypothesis)

    def fail_job(self, code: ErrorCode, message: str = "of the worker") -> None:
        job = self.jobs[-1][0]
        self.listeners[job.stream].on_job_error(job, JobError(job.stream, 0, job.revision, code, message))


class World:
    """A session that has heard some seconds."""

    def __init__(self, seconds: int = 5, channels: int = 1, info: EngineInfo = INFO, keep_s: float = 120.0) -> None:
        self.fleet = ScriptedFleet()
        fleet: Any = self.fleet
        self.asking = Asking(fleet, lambda: NOW_S, info, keep_s, channels)
        self.said: list[Answer] = []
        for half in range(2 * seconds):
            self.asking.hear(block(half * 8_000, channels))

    def ask(self, id: str = "q", **fields: Any) -> Any:
        return self.asking.ask(ask(id, **fields), self.said.append)

    @property
    def deltas(self) -> list[str]:
        return [answer.delta for answer in self.said]

    def last_error(self) -> str:
        """Of the only answer that is done."""
        (last,) = [answer for answer in self.said if answer.done]
        assert last is self.said[-1]
        assert (last.finish, last.text, last.error is not None) == ("error", None, True)
        assert last.error is not None
        return last.error.code


def ask(id: str = "q", text: str = "Who?", **fields: Any) -> Ask:
    return Ask(id=id, messages=[ChatMessage(role="user", content=text)], **fields)


def block(first_sample: int, channels: int = 1) -> StoreAudio:
    return StoreAudio(first_sample, (b"\1\0" * 8_000,) * channels, 0, 0, 0, 0, b"")


def test_a_question_is_a_stream_of_its_own_with_one_job_at_a_time() -> None:
    world = World(seconds=5)
    world.ask(last_s=2.0)
    (job, deadline) = world.fleet.jobs[0]
    assert job.stream.startswith("ask:")
    assert (job.kind, job.utterance, job.start_sample, job.until_sample) == ("answer", 0, 0, 2 * RATE)
    assert job.chat is not None
    assert job.chat.clip_samples == (2 * RATE,)
    assert deadline == NOW_S + DEADLINE_S
    assert world.fleet.appended[job.stream] == b"\1\0" * 2 * RATE
    world.fleet.answer("A", more=True)
    world.fleet.answer("A man", more=True)
    assert [job.revision for job, _ in world.fleet.jobs] == [1, 2, 3]
    world.fleet.answer("A man.")
    assert world.deltas == ["A", " man", "."]
    last = world.said[-1]
    assert (last.done, last.text, last.finish, last.from_ms, last.to_ms) == (True, "A man.", "stop", 3_000, 5_000)
    assert world.fleet.listeners == {}, "the stream is closed"


def test_words_with_times_are_put_on_the_sessions_clock() -> None:
    world = World(seconds=10)
    world.ask(last_s=4.0)
    world.fleet.answer("at one second", words=(WrittenWord("price", 1.0, 1.25),))
    assert world.said[-1].words == [TimedWord(text="price", start_ms=7_000, end_ms=7_250)]


def test_so_are_those_of_two_channels_whose_clips_begin_together_but_not_of_clips_one_after_the_other() -> None:
    together, apart = World(seconds=10, channels=2), World(seconds=60)
    for world in (together, apart):
        world.ask()
        world.fleet.answer("when", words=(WrittenWord("price", 1.0, 1.25),))
    assert together.said[-1].words == [TimedWord(text="price", start_ms=1_000, end_ms=1_250)]
    assert apart.said[-1].words == []


def test_an_answer_that_was_cut_off_says_so() -> None:
    world = World()
    world.ask()
    world.fleet.answer("A man and", complete=False)
    assert world.said[-1].finish == "length"


def test_an_answer_that_begins_anew_is_not_said_again() -> None:
    world = World()
    world.ask()
    world.fleet.answer("A man", more=True)
    for text in ("A", "A man", "A man who"):
        world.fleet.answer(text, more=True)
    world.fleet.answer("A man who asks.")
    assert "".join(world.deltas) == "A man who asks."
    assert world.deltas == ["A man", " who", " asks."]


@pytest.mark.parametrize("more", [True, False])
def test_one_that_begins_anew_in_other_words_ends_in_an_error_at_once(more: bool) -> None:
    world = World()
    world.ask()
    world.fleet.answer("A man", more=True)
    world.fleet.answer("Two", more=more)
    assert world.last_error() == "answer_failed"
    assert world.fleet.listeners == {}
    assert len(world.fleet.jobs) == 2, "nothing more is asked"


def test_the_whole_audio_is_there_for_a_worker_that_lacks_it() -> None:
    world = World(seconds=3)
    world.ask()
    (listener,) = world.fleet.listeners.values()
    assert listener.segment_pcm(0) == (0, b"\1\0" * 3 * RATE)


@pytest.mark.parametrize(
    ("fails", "code"),
    [
        (lambda world: world.fleet.fail_job("bad_job", "at most 1024 tokens fit"), "unsupported"),
        (lambda world: world.fleet.fail_job("internal"), "answer_failed"),
        (lambda world: world.fleet.fail_job("out_of_memory"), "answer_failed"),
        (lambda world: next(iter(world.fleet.listeners.values())).on_stream_failed("gone"), "engine_unavailable"),
        (lambda world: world.asking.end(), "session_over"),
    ],
)
def test_what_goes_wrong_is_said_once_and_ends_the_question(fails: Any, code: str) -> None:
    world = World()
    world.ask()
    (listener,) = world.fleet.listeners.values()
    fails(world)
    assert world.last_error() == code
    assert world.fleet.listeners == {}
    listener.on_stream_failed("again")
    listener.on_hypothesis(Hypothesis(world.fleet.jobs[0][0].stream, 0, 1, False, 0, (), answers=(Written("late"),)))
    world.asking.end()
    assert len(world.said) == 1


@pytest.mark.parametrize(
    "fleet",
    [
        {"dead": "no worker is left"},
        {"fails_at_append": True},
        {"refuse": StreamQueueFullError("ask:x", 64)},
        {"refuse": StreamClosedError("ask:x")},
    ],
)
def test_a_question_that_no_worker_takes_is_answered_once(fleet: dict[str, Any]) -> None:
    world = World()
    vars(world.fleet).update(fleet)
    world.ask()
    assert world.last_error() == "engine_unavailable"
    assert world.fleet.listeners == {}
    vars(world.fleet).update({"dead": None, "fails_at_append": False, "refuse": None})
    for number in range(MAX_OPEN):
        world.ask(str(number))
    assert len(world.said) == 1, "its place is free again"


def test_of_a_question_that_was_given_up_nothing_is_said() -> None:
    world = World()
    give_up = world.ask()
    (listener,) = world.fleet.listeners.values()
    give_up()
    assert world.fleet.listeners == {}
    listener.on_stream_failed("late")
    world.asking.end()
    give_up()
    assert world.said == []


def test_open_questions_are_bounded_and_their_ids_differ() -> None:
    world = World()
    for number in range(MAX_OPEN):
        world.ask(str(number))
    world.ask("0")
    world.ask("more")
    assert [(answer.id, answer.error and answer.error.code) for answer in world.said] == [
        ("0", "duplicate_id"),
        ("more", "too_many"),
    ]
    world.fleet.answer("done")
    world.ask(str(MAX_OPEN - 1))
    assert len(world.fleet.listeners) == MAX_OPEN


def test_what_is_kept_depends_on_the_model_and_on_the_setting() -> None:
    for world, code in (
        (World(info=msgspec.structs.replace(INFO, chat=None)), "unsupported"),
        (World(keep_s=0.0), "no_audio"),
    ):
        world.asking.hear(block(0))
        world.ask()
        assert world.last_error() == code
    world = World(seconds=60, info=msgspec.structs.replace(INFO, chat=ChatLimits(audio_s=30.0)))
    world.ask()
    assert world.fleet.jobs[0][0].until_sample == 30 * RATE


def test_after_the_end_nothing_is_asked() -> None:
    world = World()
    world.asking.end()
    world.ask()
    assert world.last_error() == "session_over"
    assert world.fleet.jobs == []


# -- in a whole session, in virtual time ------------------------------------------------------------------------------

STEP_S = 0.05
LONG = "Who? " * 3_000
"""Its answer has twice as many words."""


@asynccontextmanager
async def session(engine: FakeEngine) -> AsyncIterator[SessionRunner]:
    clock = asyncio.get_running_loop().time
    service = Service(engine=engine, make_detector=lambda name: LoudnessDetector(), clock=clock)
    await service.start()
    try:
        yield await service.new_session(Start(endpointing=ENDPOINTING))
    finally:
        await service.stop()


def slow_engine(answer_jobs: int) -> FakeEngine:
    return FakeEngine(info=INFO, answer_jobs=answer_jobs, step_s=STEP_S)


@in_virtual_time
async def test_what_a_reader_leaves_waiting_becomes_one_piece() -> None:
    pieces = 2 * SessionSettings().outbox_messages
    async with session(slow_engine(pieces)) as runner:
        await runner.feed(audio(speech(total_s=2.0)))
        await runner.feed(ask(text="Who? " * pieces))
        await asyncio.sleep(2 * STEP_S * pieces)
        await runner.feed(Stop())
        answers = [message async for message in runner.events() if isinstance(message, Answer)]
    (answer,) = answers
    assert answer.done
    assert answer.delta == answer.text


@in_virtual_time
async def test_open_questions_are_answered_by_the_sessions_end_before_its_summary() -> None:
    async with session(slow_engine(10_000)) as runner:
        await runner.feed(audio(speech(total_s=2.0)))
        await runner.feed(ask(text=LONG))
        await asyncio.sleep(1.0)
        await runner.feed(Stop())
        messages = [message async for message in runner.events()]
        await runner.feed(ask("late"))
    answers = [message for message in messages if isinstance(message, Answer)]
    assert [answer.done for answer in answers] == [False, True]
    over = answers[-1]
    assert (over.done, over.error and over.error.code) == (True, "session_over")
    assert over.seq == -1
    assert isinstance(messages[-1], Summary)


async def final_times(questions: int) -> list[float]:
    """When the finals of eight seconds come, while so many questions are open; seconds since the begin."""
    samples = speech((0.5, 2.0), (3.5, 5.0), (6.5, 7.0), total_s=8.0)
    times: list[float] = []
    began = asyncio.get_running_loop().time()
    engine = slow_engine(10_000)
    async with session(engine) as runner:

        async def read() -> None:
            async for message in runner.events():
                if isinstance(message, Transcript) and message.final:
                    times.append(asyncio.get_running_loop().time() - began)

        reading = asyncio.create_task(read())
        for at in range(0, len(samples), RATE // 10):
            await runner.feed(audio(samples[at : at + RATE // 10], at))
            if at == RATE:
                for number in range(questions):
                    await runner.feed(ask(str(number), text=LONG))
            await asyncio.sleep(0.1)
        await runner.feed(Stop())
        await reading
    answering = [batch for batch in engine.batches if any(job.kind == "answer" for job in batch)]
    assert len(answering) > 50 or not questions, "they were asked all the time"
    return times


@in_virtual_time
async def test_captions_wait_for_no_question_longer_than_for_the_step_that_runs() -> None:
    alone, beside = await final_times(0), await final_times(MAX_OPEN)
    assert len(alone) == 3
    assert all(late - early <= STEP_S + 1e-6 for early, late in zip(alone, beside, strict=True))
