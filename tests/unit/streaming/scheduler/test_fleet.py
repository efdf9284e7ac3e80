"""Several workers as one: who gets which utterance, when another worker starts, and what happens when one is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from inference.pool.fake import FakeEngine
from inference.pool.interface import EngineInfo, EngineStartError, StreamSpec
from streaming.scheduler.dispatcher import FEWEST_WAITS, Dispatcher
from streaming.scheduler.fleet import OPEN_BEFORE_NEXT, Fleet, most_cpu_workers, usable_cores
from streaming.scheduler.listener import StreamClosedError
from streaming.scheduler.policy import Policy
from streaming.scheduler.stats import StreamCost
from tests.support.recording_session import RecordingSession

CPU = EngineInfo(model="fake", device="cpu", dtype="none")


def make_fleet(engines: Sequence[FakeEngine], as_needed: bool = True) -> Fleet:
    dispatchers = [Dispatcher(engine, Policy(max_wait_s=0), clock=lambda: 0.0) for engine in engines]
    return Fleet(dispatchers, as_needed=as_needed)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def fill(fleet: Fleet, workers: int) -> list[RecordingSession]:
    """Opens so many utterances that each of the workers is started and has OPEN_BEFORE_NEXT of them."""
    sessions = []
    for index in range(workers * OPEN_BEFORE_NEXT):
        sessions.append(RecordingSession(fleet, f"s{index}"))
        sessions[-1].speak(0)
        await settle()
    return sessions


def streams_of(engine: FakeEngine) -> set[str]:
    return {job.stream for batch in engine.batches for job in batch}


async def test_one_stream_keeps_one_worker_and_starts_no_other() -> None:
    engines = [FakeEngine(info=CPU), FakeEngine(info=CPU)]
    fleet = make_fleet(engines)
    await fleet.start()
    session = RecordingSession(fleet, "a")
    for utterance in range(5):
        session.speak(utterance)
        session.ask(utterance)
        await fleet.drain()
        fleet.discard("a", utterance)
    assert len(session.finals()) == 5
    assert (fleet.workers, engines[1].generation) == (1, 0)
    await fleet.stop()


async def test_another_worker_starts_when_all_that_run_have_enough() -> None:
    engines = [FakeEngine(info=CPU) for _ in range(3)]
    fleet = make_fleet(engines)
    await fleet.start()
    running = []
    for index in range(3 * OPEN_BEFORE_NEXT):
        RecordingSession(fleet, f"s{index}").speak(0)
        await settle()
        running.append(fleet.workers)
    assert running == [1] * (OPEN_BEFORE_NEXT - 1) + [2] * OPEN_BEFORE_NEXT + [3] * (OPEN_BEFORE_NEXT + 1)
    await fleet.stop()


async def test_a_model_that_answers_is_too_large_for_a_second_copy_unless_told() -> None:
    info = msgspec.structs.replace(CPU, answers=True)
    fleet = make_fleet([FakeEngine(info=info) for _ in range(3)])
    await fleet.start()
    await fill(fleet, 3)
    assert fleet.workers == 1
    await fleet.stop()


async def test_an_utterance_goes_where_least_is_open_and_stays_there() -> None:
    engines = [FakeEngine(info=CPU), FakeEngine(info=CPU)]
    fleet = make_fleet(engines)
    await fleet.start()
    sessions = await fill(fleet, 2)
    for session in sessions:
        session.ask(0, "interim", seconds=1)
        session.ask(0)
    await fleet.drain()
    first, second = map(streams_of, engines)
    assert len(first) == len(second) == OPEN_BEFORE_NEXT
    assert not first & second
    assert all(session.finals() and not session.rebuilt for session in sessions)
    await fleet.stop()


async def test_the_next_utterance_of_a_stream_may_go_elsewhere() -> None:
    engines = [FakeEngine(info=CPU), FakeEngine(info=CPU)]
    fleet = make_fleet(engines)
    await fleet.start()
    sessions = await fill(fleet, 2)
    mover = sessions[-1]
    for session in sessions[:OPEN_BEFORE_NEXT]:  # the first worker's are done
        fleet.discard(session.stream, 0)
    mover.speak(1)
    mover.ask(0)
    mover.ask(1)
    await fleet.drain()
    assert [h.utterance for h in sorted(mover.hypotheses, key=lambda h: h.utterance)] == [0, 1]
    assert all(mover.stream in streams_of(engine) for engine in engines)
    cost = fleet.cost(mover.stream)
    fleet.discard(mover.stream, 0)
    fleet.discard(mover.stream, 1)
    assert fleet.cost(mover.stream) == cost
    assert cost.jobs == 2
    await fleet.stop()


async def test_a_gpu_has_one_worker_unless_more_are_asked_for() -> None:
    gpu = EngineInfo(model="fake", device="cuda", dtype="none")
    for as_needed, workers in ((True, 1), (False, 2)):
        fleet = make_fleet([FakeEngine(info=gpu), FakeEngine(info=gpu)], as_needed)
        await fleet.start()
        await fill(fleet, 2)
        assert fleet.workers == workers
        await fleet.stop()


async def test_where_the_number_is_prescribed_all_start_with_the_service() -> None:
    fleet = make_fleet([FakeEngine(info=CPU) for _ in range(3)], as_needed=False)
    await fleet.start()
    assert fleet.workers == 3
    await fleet.stop()


async def test_a_worker_that_cannot_be_started_leaves_the_others_alone(caplog: pytest.LogCaptureFixture) -> None:
    fleet = make_fleet([FakeEngine(info=CPU), FakeEngine(start_error="no memory"), FakeEngine(info=CPU)])
    await fleet.start()
    sessions = await fill(fleet, 2)
    assert (fleet.workers, fleet.failure) == (1, None)
    assert "no memory" in caplog.text
    for session in sessions:
        session.ask(0)
    await fleet.drain()
    assert all(session.finals() for session in sessions)
    await fleet.stop()


async def test_when_one_worker_is_lost_for_good_new_utterances_go_to_the_other() -> None:
    engines = [FakeEngine(info=CPU), FakeEngine(info=CPU)]
    fleet = make_fleet(engines)
    await fleet.start()
    sessions = await fill(fleet, 2)
    quiet = RecordingSession(fleet, "quiet")
    engines[0].fail_for_good("the model file is gone")
    sessions[0].ask(0)
    await settle()
    there = [session for session in sessions if session.failures]
    assert len(there) == OPEN_BEFORE_NEXT, "those that had an utterance there are told"
    assert (fleet.failure, quiet.failures) == (None, [])
    quiet.speak(0)
    quiet.ask(0)
    await fleet.drain()
    assert quiet.finals()
    await fleet.stop()


async def test_when_the_last_worker_is_lost_everybody_is_told_even_who_is_silent() -> None:
    engine = FakeEngine(info=CPU)
    fleet = make_fleet([engine])
    await fleet.start()
    speaking, silent = RecordingSession(fleet, "a"), RecordingSession(fleet, "b")
    speaking.speak(0)
    engine.fail_for_good("the model file is gone")
    speaking.ask(0)
    await settle()
    assert speaking.failures[:1] == silent.failures == ["the model file is gone"]
    with pytest.raises(EngineStartError, match="the model file is gone"):
        RecordingSession(fleet, "late")
    await fleet.stop()


async def test_a_worker_that_is_being_replaced_gets_no_new_utterances() -> None:
    engines = [FakeEngine(info=CPU), FakeEngine(info=CPU)]
    fleet = make_fleet(engines, as_needed=False)
    await fleet.start()
    engines[0].lose_worker(restart=False)
    sessions = [RecordingSession(fleet, name) for name in "abc"]
    for session in sessions:
        session.speak(0)
        session.ask(0)
    await fleet.drain()
    assert all(session.finals() for session in sessions)
    assert not engines[0].batches
    await fleet.stop()


async def test_a_loss_for_good_is_told_though_nothing_was_asked_for() -> None:
    engine = FakeEngine(info=CPU)
    fleet = make_fleet([engine])
    await fleet.start()
    silent = RecordingSession(fleet, "a")
    engine.fail_for_good("the model file is gone")
    assert silent.failures == []
    fleet.check()
    assert silent.failures == ["the model file is gone"]
    await fleet.stop()


async def test_speech_that_finds_no_worker_ends_its_stream_and_raises_nothing() -> None:
    engine = FakeEngine(info=CPU)
    fleet = make_fleet([engine])
    await fleet.start()
    session = RecordingSession(fleet, "a")
    engine.fail_for_good("the model file is gone")
    session.speak(0)
    assert session.failures == ["the model file is gone"]
    with pytest.raises(StreamClosedError):
        session.ask(0)
    await fleet.stop()


async def test_when_the_last_worker_is_lost_another_one_takes_its_place_if_there_may_be_one() -> None:
    engines = [FakeEngine(info=CPU), FakeEngine(info=CPU)]
    fleet = make_fleet(engines)
    await fleet.start()
    speaking, silent = RecordingSession(fleet, "a"), RecordingSession(fleet, "b")
    speaking.speak(0)
    engines[0].fail_for_good("the model file is gone")
    fleet.check()
    await settle()
    assert speaking.failures == ["the model file is gone"]
    assert (silent.failures, fleet.failure, fleet.workers) == ([], None, 1)
    silent.speak(0)
    silent.ask(0)
    await fleet.drain()
    assert silent.finals()
    await fleet.stop()


async def test_another_worker_starts_when_jobs_wait_long_however_few_speak() -> None:
    """Two streams: each of the second one's jobs has to wait half a second for one of the first."""
    now = 0.0
    engines = [FakeEngine(info=CPU), FakeEngine(info=CPU)]
    dispatchers = [Dispatcher(engine, Policy(max_wait_s=0), clock=lambda: now) for engine in engines]
    fleet = Fleet(dispatchers, as_needed=True)
    await fleet.start()
    first, second = RecordingSession(fleet, "a"), RecordingSession(fleet, "b")
    for utterance in range(FEWEST_WAITS // 2):
        fleet.check()
        await settle()
        assert fleet.workers == 1
        for session in (first, second):
            session.speak(utterance)
        engines[0].hold_steps()
        first.ask(utterance)
        await engines[0].stepping.wait()
        second.ask(utterance)
        now += 0.5
        engines[0].release_steps()
        await fleet.drain()
        for session in (first, second):
            fleet.discard(session.stream, utterance)
    fleet.check()
    await settle()
    assert fleet.workers == 2
    await fleet.stop()


async def test_waits_are_those_of_the_worker_that_is_best_off_and_lost_ones_do_not_count() -> None:
    engines = [FakeEngine(info=CPU), FakeEngine(info=CPU)]
    now = 0.0
    dispatchers = [Dispatcher(engine, Policy(1, max_wait_s=0), clock=lambda: now) for engine in engines]
    fleet = Fleet(dispatchers)
    await fleet.start()
    sessions = [RecordingSession(fleet, f"s{index}") for index in range(2 * (FEWEST_WAITS + 1))]
    for session in sessions:
        session.speak(0)
    for engine in engines:
        engine.hold_steps()
    for session in sessions[::2]:  # all of one worker
        session.ask(0)
    await settle()
    now = 2.0
    assert fleet.wait_s(10.0) == 0.0, "the other one has nothing to do"
    engines[1].fail_for_good("gone")
    assert fleet.wait_s(10.0) == 2.0
    assert fleet.workers == 1
    await fleet.stop()


async def test_of_workers_that_start_together_one_failure_waits_for_the_others(tmp_path: Path) -> None:
    engines = [FakeEngine(info=CPU), FakeEngine(start_error="no memory"), FakeEngine(info=CPU)]
    fleet = make_fleet(engines, as_needed=False)
    with pytest.raises(EngineStartError, match="no memory"):
        await fleet.start()
    assert engines[2].generation == 1
    await fleet.stop()
    assert not engines[2].up


def test_a_containers_quota_bounds_the_cores(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    everything = usable_cores(tmp_path / "none")
    for text, cores in (
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("max 100000", everything),
        ("nonsense", everything),
    ):
        quota.write_text(text)
        assert usable_cores(quota) == cores


async def test_closed_streams_ignore_what_still_comes() -> None:
    fleet = make_fleet([FakeEngine(info=CPU)])
    await fleet.start()
    session = RecordingSession(fleet, "a")
    session.speak(0)
    with pytest.raises(ValueError, match="open already"):
        fleet.open("a", StreamSpec(), session)
    fleet.close("a")
    session.speak(1)
    fleet.discard("a", 0)
    fleet.close("a")
    assert fleet.cost("a") == StreamCost()
    with pytest.raises(StreamClosedError):
        session.ask(0)
    await fleet.stop()


async def test_a_start_that_fails_raises_the_workers_sentence() -> None:
    with pytest.raises(EngineStartError, match="no such model: x"):
        await make_fleet([FakeEngine(start_error="no such model: x")]).start()


async def test_sums_are_those_of_all_workers() -> None:
    fleet = make_fleet([FakeEngine(info=CPU), FakeEngine(info=CPU)])
    await fleet.start()
    sessions = await fill(fleet, 2)
    for session in sessions:
        session.ask(0)
    await fleet.drain()
    stats = fleet.stats
    assert (stats.jobs, stats.workers, stats.queued) == (2 * OPEN_BEFORE_NEXT, 2, 0)
    assert stats.encoder_frames == sum(fleet.cost(session.stream).encoder_frames for session in sessions)
    await fleet.stop()


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 2), (8, 8), (64, 8)])
def test_there_is_a_worker_for_each_core_within_bounds(cores: int, workers: int) -> None:
    assert most_cpu_workers(cores) == workers
