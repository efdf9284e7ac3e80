"""A real worker process that hosts the fake step engine: its start, its ends, and what the gateway sees of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inference.pool.fake_step import words_of
from inference.pool.fake_trap import Trap
from inference.pool.interface import Engine, EngineStartError, Job, StreamSpec, WorkerLost
from inference.pool.local import LocalPool
from inference.pool.process import WorkerSettings

SECOND = 16_000
PCM = bytes(n % 251 for n in range(4 * SECOND))  # two seconds


def settings(model: str = "fake", **overrides: float) -> WorkerSettings:
    return WorkerSettings(model=model, device="cpu", engine="fake", **overrides)  # type: ignore[arg-type]


def final(stream: str = "a", utterance: int = 0, *, until: int = 2 * SECOND) -> Job:
    return Job(stream, utterance, 1, "final", 0, until)


def send_utterance(pool: Engine, stream: str = "a", *, chunk_bytes: int = 6_400) -> None:
    pool.open(stream, StreamSpec())
    for offset in range(0, len(PCM), chunk_bytes):
        pool.append(stream, 0, offset // 2, PCM[offset : offset + chunk_bytes])


@pytest.fixture
async def trap(tmp_path: Path) -> AsyncIterator[Trap]:
    trap = Trap(tmp_path)
    yield trap
    trap.close()


@pytest.fixture
async def pool() -> AsyncIterator[LocalPool]:
    pool = LocalPool(settings())
    await pool.start()
    yield pool
    await pool.stop()


async def test_a_step_answers_from_exactly_the_audio_that_was_appended(pool: LocalPool) -> None:
    send_utterance(pool)
    result = await pool.step([final()])
    assert result.hypotheses[0].words == words_of(0, PCM)
    assert result.stats.jobs == 1


async def test_jobs_without_audio_get_missing_audio_and_the_others_their_answer(pool: LocalPool) -> None:
    send_utterance(pool, "a")
    pool.open("b", StreamSpec())
    result = await pool.step([final("a"), final("b"), final("never opened")])
    assert [h.stream for h in result.hypotheses] == ["a"]
    assert [(e.stream, e.code) for e in result.errors] == [("b", "missing_audio"), ("never opened", "missing_audio")]


async def test_discarded_utterances_and_closed_streams_are_forgotten(pool: LocalPool) -> None:
    for stream in "ab":
        send_utterance(pool, stream)
    pool.discard("a", 0)
    pool.close("b")
    result = await pool.step([final("a"), final("b")])
    assert [error.code for error in result.errors] == ["missing_audio", "missing_audio"]


async def test_an_utterance_longer_than_one_frame_arrives_whole(pool: LocalPool) -> None:
    pcm = PCM * 50  # 6.4 MB, in one append
    pool.open("a", StreamSpec())
    pool.append("a", 0, 0, pcm)
    assert pool.outbound_bytes > 0
    await pool.wait_writable()
    result = await pool.step([final(until=100 * SECOND)])
    assert result.hypotheses[0].words == words_of(0, pcm)


async def test_a_worker_killed_within_a_step_is_replaced_and_the_step_raises(trap: Trap) -> None:
    pool = LocalPool(settings(f"hang-once:{trap.path}"))
    await pool.start()
    send_utterance(pool)
    step = asyncio.create_task(pool.step([final()]))
    await trap.sprung.wait()
    first_pid = pool.worker_pid
    assert first_pid is not None
    os.kill(first_pid, signal.SIGKILL)
    with pytest.raises(WorkerLost):
        await step
    await pool.wait_ready()
    assert pool.generation == 2
    assert pool.worker_pid not in (None, first_pid)
    send_utterance(pool)
    result = await pool.step([final()])
    assert result.hypotheses[0].words == words_of(0, PCM)
    await pool.stop()


async def test_the_watchdog_kills_a_worker_whose_step_hangs(trap: Trap) -> None:
    pool = LocalPool(settings(f"hang-once:{trap.path}", step_timeout_s=0.2))
    await pool.start()
    with pytest.raises(WorkerLost, match=r"busy with one command for more than 0\.2 s"):
        await pool.step([final()])
    await pool.wait_ready()
    assert pool.generation == 2
    await pool.stop()


async def test_a_worker_that_stops_answering_is_killed() -> None:
    """SIGSTOP freezes both of its threads, so that no ping is answered, without a step or with one."""
    pool = LocalPool(settings(silence_timeout_s=0.4))
    await pool.start()
    assert pool.worker_pid is not None
    os.kill(pool.worker_pid, signal.SIGSTOP)
    with pytest.raises(WorkerLost, match="answered no ping"):
        await pool.step([final()])
    await pool.wait_ready()
    await pool.stop()


async def test_an_engine_that_raises_ends_its_worker_with_a_sentence(trap: Trap) -> None:
    pool = LocalPool(settings(f"crash-once:{trap.path}"))
    await pool.start()
    with pytest.raises(WorkerLost, match="the engine failed: RuntimeError: the engine broke"):
        await pool.step([final()])
    await pool.wait_ready()
    await pool.stop()


async def test_while_no_worker_is_up_steps_raise_and_commands_do_nothing(trap: Trap) -> None:
    pool = LocalPool(settings(f"crash-once:{trap.path}"))
    await pool.start()
    with pytest.raises(WorkerLost):
        await pool.step([final()])
    send_utterance(pool)
    with pytest.raises(WorkerLost):
        await pool.step([final()])
    await pool.wait_ready()
    send_utterance(pool)
    result = await pool.step([final()])
    assert result.hypotheses[0].words == words_of(0, PCM)
    await pool.stop()


async def test_a_model_that_cannot_be_loaded_gives_the_workers_sentence() -> None:
    with pytest.raises(EngineStartError) as caught:
        await LocalPool(settings("broken")).start()
    assert str(caught.value) == "The weights of the model 'broken' cannot be read: choose another model."


async def test_a_start_that_takes_too_long_is_ended() -> None:
    with pytest.raises(EngineStartError, match=r"was not loaded within 0\.001 s"):
        await LocalPool(settings(start_timeout_s=0.001)).start()


async def test_a_stopped_pool_leaves_no_process(pool: LocalPool) -> None:
    pid = pool.worker_pid
    assert pid is not None
    await pool.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_ctrl_c_does_not_reach_the_worker(pool: LocalPool) -> None:
    assert pool.worker_pid is not None
    os.kill(pool.worker_pid, signal.SIGINT)
    send_utterance(pool)
    result = await pool.step([final()])
    assert len(result.hypotheses) == 1
    assert pool.generation == 1


def test_settings_refuse_timeouts_that_are_not_positive() -> None:
    with pytest.raises(ValueError, match="step_timeout_s must be positive"):
        settings(step_timeout_s=0)
