"""Several workers as one: who gets which utterance, when another worker starts, and what happens when one is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from inference.pool.fake import FakeEngine
from inference.pool.interface import EngineInfo, EngineStartError, StreamSpec
from streaming.scheduler.dispatcher import Dispatcher
from streaming.scheduler.fleet import OPEN_BEFORE_NEXT, Fleet, most_cpu_workers
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
