"""The dispatcher over a real worker process with the fake step engine: words are checksums of the PCM, so that a
rebuild which lost, doubled or moved one sample would change them."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inference.pool.fake_step import words_of
from inference.pool.fake_trap import Trap
from inference.pool.interface import Hypothesis, HypothesisWord, Job, JobError, StreamSpec
from inference.pool.local import LocalPool
from inference.pool.process import WorkerSettings
from streaming.scheduler.dispatcher import Dispatcher
from streaming.scheduler.policy import Policy

SECOND = 16_000
UTTERANCE_BYTES = 2 * 2 * SECOND


class Session:
    """Holds the PCM of its utterances, as a session's ring does, and collects finals."""

    def __init__(self, dispatcher: Dispatcher, stream: str) -> None:
        self.stream = stream
        self.dispatcher = dispatcher
        self.pcm: dict[int, bytes] = {}
        self.finals: dict[int, tuple[HypothesisWord, ...]] = {}
        self.rebuilt: list[int] = []
        self.trouble: list[str] = []
        dispatcher.open(stream, StreamSpec(), self)

    def speak(self, utterance: int) -> None:
        """Two seconds of noise of this stream and utterance, in chunks of 20 ms."""
        noise = random.Random(f"{self.stream}{utterance}").randbytes(UTTERANCE_BYTES)
        for offset in range(0, len(noise), 640):
            self.pcm[utterance] = noise[: offset + 640]
            self.dispatcher.append(self.stream, utterance, offset // 2, noise[offset : offset + 640])

    def ask(self, utterance: int) -> None:
        job = Job(self.stream, utterance, 1, "final", 0, 2 * SECOND)
        self.dispatcher.submit(job, deadline=time.monotonic())

    def right_finals(self) -> dict[int, tuple[HypothesisWord, ...]]:
        return {utterance: words_of(0, pcm) for utterance, pcm in self.pcm.items()}

    # -- Listener
    def on_hypothesis(self, hypothesis: Hypothesis) -> None:
        assert hypothesis.utterance not in self.finals, "a final came twice"
        self.finals[hypothesis.utterance] = hypothesis.words

    def on_job_error(self, job: Job, error: JobError) -> None:
        self.trouble.append(error.message)

    def on_rebuilt(self, utterance: int) -> None:
        self.rebuilt.append(utterance)

    def on_stream_failed(self, reason: str) -> None:
        self.trouble.append(reason)

    def segment_pcm(self, utterance: int) -> tuple[int, bytes] | None:
        return (0, self.pcm[utterance]) if utterance in self.pcm else None

    def prefix_tokens(self, job: Job) -> tuple[int, ...]:
        return ()


@pytest.fixture
async def trap(tmp_path: Path) -> AsyncIterator[Trap]:
    trap = Trap(tmp_path)
    yield trap
    trap.close()


async def dispatcher_over(model: str, *, step_timeout_s: float = 30.0) -> tuple[Dispatcher, LocalPool]:
    pool = LocalPool(WorkerSettings(model=model, device="cpu", engine="fake", step_timeout_s=step_timeout_s))
    dispatcher = Dispatcher(pool, Policy(), clock=time.monotonic)
    await dispatcher.start()
    return dispatcher, pool


async def test_a_worker_killed_within_a_step_changes_no_final(trap: Trap) -> None:
    dispatcher, pool = await dispatcher_over(f"hang-once:{trap.path}")
    sessions = [Session(dispatcher, name) for name in "abc"]
    for session in sessions:
        session.speak(0)
        session.ask(0)
    await trap.sprung.wait()
    assert pool.worker_pid is not None
    os.kill(pool.worker_pid, signal.SIGKILL)
    for session in sessions:
        session.speak(1)
        session.ask(1)
    await dispatcher.drain()
    for session in sessions:
        assert session.finals == session.right_finals()
        assert session.trouble == []
        assert session.rebuilt[0] == 0
    assert pool.generation == 2
    await dispatcher.stop()


@pytest.mark.parametrize("mishap", ["hang-once", "crash-once"])
async def test_a_step_that_hangs_or_an_engine_that_breaks_changes_no_final(trap: Trap, mishap: str) -> None:
    dispatcher, pool = await dispatcher_over(f"{mishap}:{trap.path}", step_timeout_s=0.3)
    session = Session(dispatcher, "a")
    session.speak(0)
    session.ask(0)
    await dispatcher.drain()
    assert session.finals == session.right_finals()
    assert session.trouble == []
    assert pool.generation == 2
    await dispatcher.stop()


async def test_a_worker_lost_between_two_utterances_is_not_noticed_by_the_second() -> None:
    dispatcher, pool = await dispatcher_over("fake")
    session = Session(dispatcher, "a")
    session.speak(0)
    session.ask(0)
    await dispatcher.drain()
    assert pool.worker_pid is not None
    os.kill(pool.worker_pid, signal.SIGKILL)
    session.speak(1)
    session.ask(1)
    await dispatcher.drain()
    assert session.finals == session.right_finals()
    assert session.trouble == []
    await dispatcher.stop()


async def test_eight_streams_share_batches_and_get_their_own_words() -> None:
    dispatcher, _ = await dispatcher_over("fake")
    sessions = [Session(dispatcher, f"stream {n}") for n in range(8)]
    for utterance in range(3):
        for session in sessions:
            session.speak(utterance)
            session.ask(utterance)
    await dispatcher.drain()
    for session in sessions:
        assert session.finals == session.right_finals()
    assert dispatcher.stats.batches < 24
    assert dispatcher.stats.jobs == 24
    await dispatcher.stop()


async def test_when_the_model_is_gone_after_a_loss_every_session_is_told(
    trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that cannot be started again must not leave sessions waiting."""
    monkeypatch.setattr("inference.pool.local.FIRST_DELAY_S", 0.0)
    dispatcher, pool = await dispatcher_over(f"hang-once:{trap.path}")
    session = Session(dispatcher, "a")
    session.speak(0)
    session.ask(0)
    await trap.sprung.wait()
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    assert pool.worker_pid is not None
    os.kill(pool.worker_pid, signal.SIGKILL)
    await dispatcher.drain()
    assert session.finals == {}
    (sentence,) = session.trouble
    assert "ended with status 1 while it loaded the model" in sentence
    assert pool.failure == dispatcher.failure
    await dispatcher.stop()
