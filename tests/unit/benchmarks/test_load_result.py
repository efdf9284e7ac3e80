"""The figures of a load stage from scripted outcomes, worked out by hand; and clients against a scripted service."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.accuracy.clips import Clip, Row
from benchmarks.accuracy.exchange import Exchange, Received, Sent
from benchmarks.accuracy.stream import StreamSettings
from benchmarks.load.resources import ResourceMeter, Use, children, usage
from benchmarks.load.result import Budget, stage_result
from benchmarks.load.stage import Outcome, run_stage
from benchmarks.load.table import best_stage, draw, row
from streaming.protocol.messages import ClientMessage, Error, Gap, ServerMessage, Speech, Summary, Transcript, Word
from tests.support.scripted_service import CLIP, good_answers, service

SCRIPT = Clip(Row("script-0", Path("script-0"), "hello there"), np.zeros(32_000, np.int16), 16_000)


def exchange(text: str, *more: ServerMessage, lag_ms: int = 500, ttfs_ms: int = 100) -> Exchange:
    """Two seconds sent in real time; one interim at 1 s, one final after the endpoint at 1.5 s."""

    def words(state: Any) -> list[Word]:
        said = enumerate(text.split())
        return [Word(id=n, text=one, start_ms=0, end_ms=0, confidence=1.0, state=state) for n, one in said]

    interim = Transcript(
        utterance=1, channel=0, revision=1, from_word=0, words=words("tentative"), decoded_until_ms=1000 - lag_ms
    )
    final = Transcript(utterance=1, channel=0, revision=2, from_word=0, words=words("final"), final=True, text=text)
    at: list[tuple[float, ServerMessage]] = [
        (0.1, Speech(channel=0, state="started", utterance=1, at_ms=0)),
        (1.0, interim),
        (1.5, Speech(channel=0, state="ended", utterance=1, at_ms=1500, rule="silence")),
        *((1.5, message) for message in more),
        (1.5 + ttfs_ms / 1000, final),
        (2.0, Summary(audio_ms=2000, speech_ms=1500, utterances=1, words=2)),
    ]
    sent = [Sent(ms / 1000, ms) for ms in range(100, 2001, 100)]
    return Exchange(sent, [Received(at_s, message) for at_s, message in at])


ALONE = {"script-0": exchange("hello there")}
GAP = Gap(from_sample=0, to_sample=100, reason="lost")


def result(*outcomes: Outcome, budget: Budget | None = None) -> dict[str, Any]:
    return stage_result(outcomes, ALONE, {}, {}, budget or Budget())


def test_a_stage_that_goes_well_has_no_misses() -> None:
    found = result(Outcome(SCRIPT, exchange("hello there")), Outcome(SCRIPT, exchange("hello there")))
    assert (found["streams"], found["errors"], found["refused"], found["gaps"]) == (2, 0, 0, 0)
    assert (found["wer"], found["wer_alone"], found["streams_with_other_words"]) == (0.0, 0.0, 0)
    assert found["ttfs_ms"]["p50"] == pytest.approx(100, abs=1)
    assert found["missed"] == []


def test_words_and_errors_are_compared_with_the_stream_alone() -> None:
    found = result(Outcome(SCRIPT, exchange("hello there")), Outcome(SCRIPT, exchange("hello where")))
    assert (found["wer"], found["wer_alone"], found["streams_with_other_words"]) == (25.0, 0.0, 1)


def test_refusals_failures_and_gaps_are_counted_apart_and_each_misses_the_budget() -> None:
    found = result(
        Outcome(SCRIPT, exchange("hello there", GAP)),
        Outcome(SCRIPT, None, "script-0: overloaded: full", refused=True),
        Outcome(SCRIPT, None, "script-0: it broke"),
    )
    assert (found["streams"], found["errors"], found["refused"], found["gaps"]) == (3, 1, 1, 1)
    assert found["problems"] == ["script-0: it broke"]
    assert found["missed"] == ["1 errors", "1 refused", "1 gaps"]


def test_latencies_over_the_budget_are_named() -> None:
    slow = Outcome(SCRIPT, exchange("hello there", lag_ms=900, ttfs_ms=400))
    found = result(slow, budget=Budget(partial_lag_p95_ms=800, ttfs_p95_ms=300))
    assert found["missed"] == ["partial_lag_ms p95 995 over 800", "ttfs_ms p95 400 over 300"]
    assert result(slow)["missed"] == []


def test_a_stage_in_which_nobody_came_through_is_a_miss() -> None:
    found = result(Outcome(SCRIPT, None, "no"))
    assert (found["wer"], found["partial_lag_ms"]) == (None, None)
    assert found["missed"] == ["1 errors", "no partial_lag_ms", "no ttfs_ms"]


def test_the_best_stage_has_most_streams_inside_the_budget() -> None:
    stages = [{"streams": n, "missed": [] if n < 8 else ["late"]} for n in (2, 4, 8, 16)]
    assert best_stage(stages)["streams"] == 4
    assert best_stage(stages[2:])["streams"] == 8


def test_a_row_says_what_was_missed() -> None:
    stage = result(Outcome(SCRIPT, None, "no")) | {"processes": {"worker": {"cpu_share": 0.91}}}
    assert row(stage)[0] == "1"
    assert row(stage)[-1].startswith("1 errors")
    assert "worker 0.91" in row(stage)
    assert row(result(Outcome(SCRIPT, exchange("hello there"))))[-1] == "kept"


def test_the_plot_is_written_as_svg_and_png(tmp_path: Path) -> None:
    stages = [result(*[Outcome(SCRIPT, exchange("hello there"))] * n) for n in (1, 2)]
    files = draw({"stages": stages}, Budget(), tmp_path)
    assert [file.suffix for file in files] == [".svg", ".png"]
    assert all(file.stat().st_size > 1000 for file in files)


async def test_each_client_says_its_script_and_one_that_is_refused_leaves_the_others_alone() -> None:
    asked = 0

    def third_is_refused(message: ClientMessage) -> list[ServerMessage]:
        nonlocal asked
        if type(message).__name__ == "Start":
            asked += 1
            if asked == 3:
                return [Error(code="overloaded", message="too many sessions", retryable=True)]
        return good_answers(message)

    done: list[int] = []
    async with service(third_is_refused) as scripted:
        outcomes = await run_stage(
            [CLIP, CLIP], [0.0] * 4, StreamSettings(scripted.url, chunk_ms=0), done.append, "at_once"
        )
    assert sum(outcome.refused for outcome in outcomes) == 1
    assert sum(outcome.exchange is not None for outcome in outcomes) == 3
    assert done == [1, 1, 1, 1]


async def test_a_client_that_fails_otherwise_is_not_refused() -> None:
    def break_it(message: ClientMessage) -> list[ServerMessage]:
        return [Error(code="internal", message="a bug")]

    async with service(break_it) as scripted:
        (outcome,) = await run_stage([CLIP], [0.0], StreamSettings(scripted.url), lambda more: None, "at_once")
    assert not outcome.refused
    assert "internal: a bug" in outcome.problem


def test_resources_are_those_of_the_process() -> None:
    import os

    meter = ResourceMeter({"me": os.getpid(), "nobody": 2**22 + 1}, now_s=0.0)
    held = np.ones(16_000_000)  # 128 MB: more than an allocator hands out again of what was freed before
    while (now := usage(os.getpid())) is not None and now.cpu_s == meter._before["me"].cpu_s:  # type: ignore[union-attr]
        held.sort()
    found = meter.read(now_s=1.0)
    assert list(found) == ["me"]
    assert isinstance(found["me"], Use)
    assert found["me"].cpu_share > 0
    assert found["me"].memory_growth_mb > 100
    assert children(2**22 + 1) == []
