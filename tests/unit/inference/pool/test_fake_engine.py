"""The fake engine keeps to the contract that it stands in for."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from inference.pool.fake import FakeEngine, ScriptedWord, alphabet_script
from inference.pool.interface import (
    EngineStartError,
    Hypothesis,
    Job,
    JobKind,
    Sound,
    StepResult,
    StreamSpec,
    WorkerLost,
)

SECOND = 16_000


def job(until: int, kind: JobKind = "interim", *, start: int = 0, prefix: tuple[int, ...] = ()) -> Job:
    return Job("a", 0, 1, kind, start, until, prefix)


async def started(engine: FakeEngine, *, start: int = 0, seconds: int = 2) -> FakeEngine:
    await engine.start()
    engine.open("a", StreamSpec())
    engine.append("a", 0, start, bytes(2 * SECOND * seconds))
    return engine


def only(result: StepResult) -> Hypothesis:
    [hypothesis] = result.hypotheses
    return hypothesis


def texts(result: StepResult) -> list[str]:
    return [word.text for word in only(result).words]


async def test_an_interim_has_the_finished_words_and_a_misheard_beginning() -> None:
    engine = await started(FakeEngine())
    assert texts(await engine.step([job(SECOND)])) == ["alpha", "bravo", "charlie-"]


async def test_a_final_has_the_finished_words_of_its_segment_only() -> None:
    engine = await started(FakeEngine(), start=6_400)
    assert texts(await engine.step([job(2 * SECOND, "final", start=6_400)])) == ["bravo", "charlie", "delta", "echo"]


async def test_without_mishearing_an_interim_has_finished_words_only() -> None:
    engine = await started(FakeEngine(mishear=False))
    assert texts(await engine.step([job(SECOND)])) == ["alpha", "bravo"]


async def test_a_prefix_binds_the_first_words_even_against_the_script() -> None:
    engine = await started(FakeEngine())
    misheard = only(await engine.step([job(SECOND)])).words
    prefix = tuple(token for word in misheard for token in word.tokens)
    assert texts(await engine.step([job(2 * SECOND, "final", prefix=prefix)])) == [
        "alpha",
        "bravo",
        "charlie-",
        "delta",
        "echo",
    ]


async def test_each_stream_speaks_its_own_script() -> None:
    engine = FakeEngine(lambda stream: [ScriptedWord(f"I-am-{stream}", 0, 6_400)])
    await started(engine)
    assert texts(await engine.step([job(SECOND)])) == ["I-am-a"]


async def test_sounds_come_with_finals() -> None:
    laugh = Sound("laughs", 100, 8_000)
    engine = await started(FakeEngine(sounds=[laugh, Sound("later", 3 * SECOND, 4 * SECOND)]))
    assert only(await engine.step([job(SECOND)])).sounds == ()
    assert only(await engine.step([job(SECOND, "final")])).sounds == (laugh,)


@pytest.mark.parametrize(
    ("first", "samples", "until", "start"),
    [(0, SECOND, SECOND + 1, 0), (0, SECOND, SECOND, 320), (320, SECOND, SECOND, 0)],
    ids=["too short", "starts later", "starts earlier"],
)
async def test_audio_that_does_not_cover_the_job_is_missing(first: int, samples: int, until: int, start: int) -> None:
    engine = FakeEngine()
    await engine.start()
    engine.open("a", StreamSpec())
    engine.append("a", 0, first, bytes(2 * samples))
    result = await engine.step([job(until, start=start)])
    assert [error.code for error in result.errors] == ["missing_audio"]


async def test_a_hole_in_the_audio_is_not_bridged() -> None:
    engine = await started(FakeEngine(), seconds=1)
    engine.append("a", 0, SECOND + 1, bytes(2 * SECOND))
    assert engine.held("a", 0) == (0, SECOND)


async def test_a_lost_worker_forgets_and_counts_its_generations() -> None:
    engine = await started(FakeEngine())
    before = engine.generation
    engine.hold_steps()
    step = asyncio.create_task(engine.step([job(SECOND)]))
    await engine.stepping.wait()
    engine.lose_worker()
    with pytest.raises(WorkerLost):
        await step
    engine.release_steps()
    assert engine.generation == before + 1
    assert engine.open_streams() == set()
    result = await engine.step([job(SECOND)])
    assert [error.code for error in result.errors] == ["missing_audio"]


async def test_while_it_is_down_steps_raise_and_commands_do_nothing() -> None:
    engine = await started(FakeEngine())
    engine.lose_worker(restart=False)
    engine.open("a", StreamSpec())
    assert engine.open_streams() == set()
    with pytest.raises(WorkerLost):
        await engine.step([job(SECOND)])
    ready = asyncio.create_task(engine.wait_ready())
    await asyncio.sleep(0)
    assert not ready.done()
    engine.restart_worker()
    await ready


async def test_an_engine_that_failed_for_good_says_so() -> None:
    engine = await started(FakeEngine())
    engine.fail_for_good("no device is left")
    with pytest.raises(EngineStartError, match="no device is left"):
        await engine.wait_ready()


async def test_steps_last_as_long_as_the_injected_sleep() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    engine = await started(FakeEngine(step_s=0.25, sleep=sleep))
    result = await engine.step([job(SECOND)])
    assert slept == [0.25]
    assert result.stats.seconds == 0.25


async def test_stats_count_frames_of_20_ms() -> None:
    engine = await started(FakeEngine())
    stats = (await engine.step([job(SECOND, "final")])).stats
    assert (stats.encoder_frames, stats.encoder_frames_final, stats.decoder_calls) == (50, 50, 1)


def test_the_alphabet_script_has_no_pauses() -> None:
    words = alphabet_script("any", words=28)
    assert [word.text for word in words[-3:]] == ["zulu", "alpha", "bravo"]
    assert all(a.end_sample == b.start_sample for a, b in itertools.pairwise(words))
