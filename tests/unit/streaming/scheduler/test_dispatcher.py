"""The dispatcher over the fake engine: answers arrive, losses are rebuilt, one stream's trouble stays its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from inference.pool.fake import FakeEngine
from inference.pool.interface import Engine, EngineInfo, EngineStartError, ErrorCode, Hypothesis, Job, JobKind
from streaming.scheduler.dispatcher import Dispatcher
from streaming.scheduler.listener import StreamClosedError
from streaming.scheduler.policy import Policy
from tests.support.recording_session import UTTERANCE_SAMPLES, RecordingSession


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def dispatcher(engine: FakeEngine) -> AsyncIterator[Dispatcher]:
    checked: Engine = engine
    dispatcher = Dispatcher(checked, Policy(max_wait_s=0), clock=lambda: 0.0)
    await dispatcher.start()
    yield dispatcher
    await dispatcher.stop()


async def test_a_final_reaches_its_listener(dispatcher: Dispatcher) -> None:
    session = RecordingSession(dispatcher, "a")
    session.speak(0)
    session.ask(0)
    await dispatcher.drain()
    assert session.finals() == ["alpha bravo charlie delta echo"]
    assert session.rebuilt == []


async def test_jobs_that_arrive_during_a_step_share_the_next_batch(engine: FakeEngine, dispatcher: Dispatcher) -> None:
    """One step is in flight at a time; what queues up meanwhile runs together."""
    sessions = [RecordingSession(dispatcher, name) for name in "abcd"]
    for session in sessions:
        session.speak(0)
    engine.hold_steps()
    sessions[0].ask(0)
    await engine.stepping.wait()
    for session in sessions[1:]:
        session.ask(0)
    engine.release_steps()
    await dispatcher.drain()
    assert [[job.stream for job in batch] for batch in engine.batches] == [["a"], ["b", "c", "d"]]


async def test_the_prefix_is_asked_for_when_the_job_starts_not_when_it_is_submitted(
    engine: FakeEngine, dispatcher: Dispatcher
) -> None:
    """An interim that waited behind another is bound to the words that the first one made stable."""
    session = RecordingSession(dispatcher, "a")
    session.speak(0)

    def bind_all_words(hypothesis: Hypothesis) -> None:
        session.prefix = tuple(token for word in hypothesis.words for token in word.tokens)

    session.on_answer = bind_all_words
    engine.hold_steps()
    session.ask(0, "interim", revision=1, seconds=1)
    await engine.stepping.wait()
    session.ask(0, "interim", revision=2, seconds=2)
    engine.release_steps()
    await dispatcher.drain()
    first, second = session.hypotheses
    assert [word.text for word in first.words] == ["alpha", "bravo", "charlie-"]
    assert [word.text for word in second.words] == ["alpha", "bravo", "charlie-", "delta", "echo"]


async def test_a_worker_lost_during_a_step_gives_the_same_finals(engine: FakeEngine, dispatcher: Dispatcher) -> None:
    sessions = [RecordingSession(dispatcher, name) for name in "ab"]
    for session in sessions:
        session.speak(0)
        session.ask(0)
    engine.hold_steps()
    await engine.stepping.wait()
    engine.lose_worker()
    engine.release_steps()
    await dispatcher.drain()
    assert [session.finals() for session in sessions] == [["alpha bravo charlie delta echo"]] * 2
    assert [session.rebuilt for session in sessions] == [[0], [0]]
    assert [session.errors for session in sessions] == [[], []]


async def test_jobs_of_a_lost_batch_run_alone_the_next_time(engine: FakeEngine, dispatcher: Dispatcher) -> None:
    """So that the one that may have killed the worker cannot take the others with it again."""
    sessions = [RecordingSession(dispatcher, name) for name in "abc"]
    engine.hold_steps()
    for session in sessions:
        session.speak(0)
        session.ask(0)
    await engine.stepping.wait()
    engine.lose_worker()
    engine.release_steps()
    await dispatcher.drain()
    assert [len(batch) for batch in engine.batches] == [3, 1, 1, 1]


async def test_audio_appended_around_a_restart_is_complete_again(engine: FakeEngine, dispatcher: Dispatcher) -> None:
    """An utterance that straddles an idle restart is sent whole before its job, and not in halves before that."""
    session = RecordingSession(dispatcher, "a")
    session.speak(0, seconds=1)
    engine.lose_worker()
    session.pcm.clear()
    session.speak(0, seconds=2)
    assert engine.held("a", 0) is None
    session.ask(0)
    await dispatcher.drain()
    assert engine.held("a", 0) == (0, UTTERANCE_SAMPLES)
    assert session.finals() == ["alpha bravo charlie delta echo"]


async def test_jobs_wait_while_no_worker_is_up(engine: FakeEngine, dispatcher: Dispatcher) -> None:
    session = RecordingSession(dispatcher, "a")
    engine.lose_worker(restart=False)
    session.speak(0)
    session.ask(0)
    engine.restart_worker()
    await dispatcher.drain()
    assert session.finals() == ["alpha bravo charlie delta echo"]


async def test_a_job_that_keeps_failing_is_given_up_after_three_tries(
    engine: FakeEngine, dispatcher: Dispatcher
) -> None:
    session = RecordingSession(dispatcher, "a")
    session.speak(0)
    engine.fail_jobs("a", "internal", "out_of_memory", "internal")
    session.ask(0)
    await dispatcher.drain()
    assert len(engine.batches) == 3
    [(job, error)] = session.errors
    assert (job.utterance, job.kind, error.code) == (0, "final", "internal")


async def test_two_failures_then_success_is_a_success(engine: FakeEngine, dispatcher: Dispatcher) -> None:
    session = RecordingSession(dispatcher, "a")
    session.speak(0)
    engine.fail_jobs("a", "missing_audio", "out_of_memory")
    session.ask(0)
    await dispatcher.drain()
    assert session.finals() == ["alpha bravo charlie delta echo"]
    assert session.rebuilt == [0, 0]
    assert session.errors == []


async def test_one_streams_error_leaves_its_batch_alone(engine: FakeEngine, dispatcher: Dispatcher) -> None:
    good, bad = RecordingSession(dispatcher, "good"), RecordingSession(dispatcher, "bad")
    engine.fail_jobs("bad", "bad_job")
    for session in (good, bad):
        session.speak(0)
        session.ask(0)
    await dispatcher.drain()
    assert good.finals() == ["alpha bravo charlie delta echo"]
    assert [error.code for _, error in bad.errors] == ["bad_job"]
    assert len(engine.batches) == 1


@pytest.mark.parametrize(("kind", "code", "level"), [
    ("answer", "bad_job", "INFO"), ("answer", "internal", "ERROR"), ("final", "bad_job", "ERROR"),
])  # fmt: skip
async def test_what_a_client_may_ask_too_much_of_is_no_error_of_the_service(
    kind: JobKind, code: ErrorCode, level: str, engine: FakeEngine, dispatcher: Dispatcher,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    session = RecordingSession(dispatcher, "a")
    session.speak(0)
    engine.fail_jobs("a", *[code] * 3)
    with caplog.at_level("INFO", logger="streaming.scheduler.dispatcher"):
        session.ask(0, kind)
        await dispatcher.drain()
    assert [error.code for _, error in session.errors] == [code]
    assert [record.levelname for record in caplog.records if "given up" in record.message] == [level]


async def test_a_listener_that_raises_loses_its_own_stream_only(dispatcher: Dispatcher) -> None:
    good, bad = RecordingSession(dispatcher, "good"), RecordingSession(dispatcher, "bad")

    def fail(hypothesis: Hypothesis) -> None:
        raise RuntimeError("a bug in a session")

    bad.on_answer = fail
    for session in (bad, good):
        session.speak(0)
        session.ask(0)
    await dispatcher.drain()
    assert good.finals() == ["alpha bravo charlie delta echo"]
    assert bad.failures == ["internal error"]
    with pytest.raises(StreamClosedError):
        bad.ask(1)


async def test_audio_that_the_session_let_go_is_a_job_error(engine: FakeEngine, dispatcher: Dispatcher) -> None:
    session = RecordingSession(dispatcher, "a")
    session.speak(0)
    engine.lose_worker()
    session.pcm.clear()
    session.ask(0)
    await dispatcher.drain()
    assert [error.code for _, error in session.errors] == ["missing_audio"]


async def test_a_closed_streams_answer_does_not_reach_the_next_owner_of_its_name(
    engine: FakeEngine, dispatcher: Dispatcher
) -> None:
    first = RecordingSession(dispatcher, "a")
    first.speak(0)
    engine.hold_steps()
    first.ask(0)
    await engine.stepping.wait()
    dispatcher.close("a")
    second = RecordingSession(dispatcher, "a")
    engine.release_steps()
    second.speak(1)
    second.ask(1)
    await dispatcher.drain()
    assert first.hypotheses == []
    assert [h.utterance for h in second.hypotheses] == [1]


async def test_a_discarded_utterance_gets_no_answer_and_its_state_is_freed(
    engine: FakeEngine, dispatcher: Dispatcher
) -> None:
    session = RecordingSession(dispatcher, "a")
    session.speak(0)
    engine.hold_steps()
    session.ask(0, "interim")
    await engine.stepping.wait()
    dispatcher.discard("a", 0)
    engine.release_steps()
    await dispatcher.drain()
    assert session.hypotheses == []
    assert engine.held("a", 0) is None


async def test_audio_beyond_the_outbound_limit_is_sent_when_its_job_runs(engine: FakeEngine) -> None:
    """Nothing piles up before a worker that does not read, and nothing is lost."""
    dispatcher = Dispatcher(engine, Policy(max_wait_s=0), clock=lambda: 0.0, max_outbound_bytes=1000)
    await dispatcher.start()
    session = RecordingSession(dispatcher, "a")
    engine.outbound_bytes = 1001
    session.speak(0)
    assert engine.held("a", 0) is None
    engine.outbound_bytes = 0
    session.ask(0)
    await dispatcher.drain()
    assert session.finals() == ["alpha bravo charlie delta echo"]
    assert len(engine.batches) == 1
    await dispatcher.stop()


async def test_an_engine_that_fails_while_nothing_runs_is_seen_at_once(
    engine: FakeEngine, dispatcher: Dispatcher
) -> None:
    """Readiness must not wait for the next job to fail."""
    quiet = RecordingSession(dispatcher, "quiet")
    assert dispatcher.failure is None
    engine.fail_for_good("the device is gone")
    assert dispatcher.failure == "the device is gone"
    with pytest.raises(EngineStartError, match="the device is gone"):
        RecordingSession(dispatcher, "late")
    quiet.speak(0)
    quiet.ask(0)
    await dispatcher.drain()
    assert quiet.failures == ["the device is gone"]


async def test_when_no_engine_is_left_every_stream_is_told_and_no_job_is_given_up(
    engine: FakeEngine, dispatcher: Dispatcher
) -> None:
    busy, quiet = RecordingSession(dispatcher, "busy"), RecordingSession(dispatcher, "quiet")
    busy.speak(0)
    engine.hold_steps()
    busy.ask(0)
    await engine.stepping.wait()
    engine.fail_for_good("the model file is gone")
    await dispatcher.drain()
    assert busy.errors == []
    assert busy.failures == quiet.failures == ["the model file is gone"]
    assert dispatcher.failure == "the model file is gone"
    with pytest.raises(EngineStartError, match="the model file is gone"):
        RecordingSession(dispatcher, "late")


async def test_a_start_that_fails_raises_the_engines_sentence() -> None:
    dispatcher = Dispatcher(FakeEngine(start_error="no such model: x"), Policy(), clock=lambda: 0.0)
    with pytest.raises(EngineStartError, match="no such model: x"):
        await dispatcher.start()


async def test_the_engines_batch_limit_bounds_the_policys() -> None:
    engine = FakeEngine(info=EngineInfo(model="fake", device="cpu", dtype="none", max_batch=2))
    dispatcher = Dispatcher(engine, Policy(max_batch=8, max_wait_s=0), clock=lambda: 0.0)
    await dispatcher.start()
    for name in "abc":
        session = RecordingSession(dispatcher, name)
        session.speak(0)
        session.ask(0)
    await dispatcher.drain()
    assert [len(batch) for batch in engine.batches] == [2, 1]
    await dispatcher.stop()


async def test_costs_of_the_streams_add_up_to_the_totals(dispatcher: Dispatcher) -> None:
    sessions = [RecordingSession(dispatcher, name) for name in "ab"]
    for session in sessions:
        session.speak(0)
    sessions[0].ask(0, "interim", seconds=1)
    sessions[1].ask(0, "final", seconds=2)
    await dispatcher.drain()
    stats = dispatcher.stats
    costs = [dispatcher.cost(name) for name in "ab"]
    assert (stats.jobs, stats.batches, stats.encoder_frames, stats.encoder_frames_final) == (2, 1, 150, 100)
    assert [cost.encoder_frames for cost in costs] == [25, 125]
    assert [cost.decoder_calls for cost in costs] == [1, 1]


async def test_a_session_can_wait_until_the_engine_takes_more(engine: FakeEngine, dispatcher: Dispatcher) -> None:
    engine.set_writable(False)
    waiting = asyncio.create_task(dispatcher.wait_writable())
    await asyncio.sleep(0)
    assert not waiting.done()
    engine.set_writable(True)
    await waiting


async def test_a_lone_interim_runs_when_its_wait_for_company_is_over(engine: FakeEngine) -> None:
    """After a batch of two, one interim waits `max_wait_s`; the clock here stands still, so the timer must do it."""
    dispatcher = Dispatcher(engine, Policy(max_wait_s=0.001), clock=lambda: 0.0)
    await dispatcher.start()
    sessions = [RecordingSession(dispatcher, name) for name in "ab"]
    for session in sessions:
        session.speak(0)
        session.ask(0, "interim")
    await dispatcher.drain()
    sessions[0].ask(0, "interim", revision=2)
    await dispatcher.drain()
    assert [len(batch) for batch in engine.batches] == [2, 1]
    await dispatcher.stop()


async def test_a_stream_closed_while_audio_is_sent_again_is_not_asked_for_its_prefix(
    engine: FakeEngine, dispatcher: Dispatcher
) -> None:
    """Between sending audio and the step the name may get a new owner, who knows nothing of the old job."""
    old = RecordingSession(dispatcher, "a")
    old.speak(0)
    engine.lose_worker()
    engine.set_writable(False)
    old.ask(0)
    await old.was_rebuilt.wait()
    dispatcher.close("a")
    new = RecordingSession(dispatcher, "a")
    asked: list[Job] = []
    new.prefix_tokens = lambda job: asked.append(job) or ()  # type: ignore[func-returns-value, method-assign]
    engine.set_writable(True)
    await dispatcher.drain()
    new.speak(1)
    new.ask(1)
    await dispatcher.drain()
    assert [job.utterance for job in asked] == [1]
    assert [h.utterance for h in new.hypotheses] == [1]
