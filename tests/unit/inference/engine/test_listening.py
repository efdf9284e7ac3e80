"""The engine hears blocks beside words, the same at any load; where nobody speaks it writes none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.engine.engine import WhisperEngine
from inference.engine.settings import EngineSettings
from inference.pool.interface import BlockScores, Hypothesis, Job, JobKind, SoundsWanted, StreamSpec
from inference.tagging.hearing import Hearing
from inference.tagging.hysteresis import Threshold
from inference.whisper.weights import load_weights
from tests.support.checkpoints import SECOND, clip

BLOCK = SECOND // 2


class Meter:
    """Its score is what the last layer holds; SPEECH is what is loud."""

    labels = ("Speech", "Level")
    context_blocks = 3
    thresholds: Mapping[str, Threshold] = MappingProxyType({})
    speech_below = 0.5

    def hear(self, wanted: Sequence[Hearing]) -> list[tuple[float, ...]]:
        return [self._score(each) for each in wanted]

    def _score(self, hearing: Hearing) -> tuple[float, ...]:
        block, audio = hearing.recent[-1], hearing.audio
        pcm = audio.pcm[block.first_sample - audio.start_sample : block.until_sample - audio.start_sample]
        return (float(pcm.abs().max() > 0.01), float(block.layers[-1, 1].mean()) + len(hearing.recent))


@pytest.fixture(scope="module")
def engine() -> WhisperEngine:
    return WhisperEngine(load_weights("tiny.en"), "cpu", EngineSettings(precision="float32"), Meter())


def ask(
    engine: WhisperEngine, pcm: NDArray[np.int16], *jobs: tuple[JobKind, int, SoundsWanted | None], stream: str = "s"
) -> list[Hypothesis]:
    engine.open(stream, StreamSpec())
    engine.append(stream, 1, 0, pcm.astype("<i2").tobytes())
    answers = []
    for revision, (kind, until, sounds) in enumerate(jobs, start=1):
        result = engine.step([Job(stream, 1, revision, kind, 0, until, sounds=sounds)])
        assert result.errors == ()
        answers += result.hypotheses
    engine.close(stream)
    return answers


def close(left: Sequence[BlockScores], right: Sequence[BlockScores]) -> bool:
    spans = [(each.first_sample, each.until_sample) for each in left]
    return spans == [(each.first_sample, each.until_sample) for each in right] and np.allclose(
        [each.scores for each in left], [each.scores for each in right], atol=1e-3
    )


def test_it_says_what_it_hears_and_how_long_after(engine: WhisperEngine) -> None:
    assert engine.info.sounds == ("Speech", "Level")
    assert engine.info.sound_context_samples == BLOCK


def test_an_interim_brings_the_scores_that_are_asked_for(engine: WhisperEngine) -> None:
    pcm = clip("question.flac")[: 3 * SECOND]
    [interim] = ask(engine, pcm, ("interim", 3 * SECOND, SoundsWanted(BLOCK, 3 * SECOND)))
    assert [each.first_sample // BLOCK for each in interim.heard] == [1, 2, 3, 4]
    assert interim.words


def test_a_sounds_job_writes_no_words(engine: WhisperEngine) -> None:
    [answer] = ask(engine, clip("question.flac")[: 3 * SECOND], ("sounds", 3 * SECOND, SoundsWanted(0, 3 * SECOND)))
    assert answer.words == ()
    assert not answer.final
    assert len(answer.heard) == 5


def test_however_often_it_was_asked_the_scores_are_the_same(engine: WhisperEngine) -> None:
    pcm = clip("prose.flac")[: 4 * SECOND]
    wanted = SoundsWanted(0, 4 * SECOND)
    often = [("interim", until, None) for until in range(BLOCK, 4 * SECOND + 1, BLOCK)]
    [*_, after_many] = ask(engine, pcm, *often, ("final", 4 * SECOND, wanted))  # type: ignore[arg-type]
    [at_once] = ask(engine, pcm, ("final", 4 * SECOND, wanted))
    assert close(after_many.heard, at_once.heard)
    assert len(at_once.heard) == 7


def test_a_final_hears_audio_behind_its_segment(engine: WhisperEngine) -> None:
    pcm = clip("prose.flac")[: 4 * SECOND]
    [final] = ask(engine, pcm, ("final", 3 * SECOND, SoundsWanted(2 * SECOND, 4 * SECOND)))
    assert [each.first_sample // BLOCK for each in final.heard] == [4, 5, 6]


def test_at_the_end_the_rest_is_heard_without_right_context(engine: WhisperEngine) -> None:
    pcm = clip("prose.flac")[: 2 * SECOND + 3200]
    end = len(pcm)
    [answer] = ask(engine, pcm, ("sounds", end, SoundsWanted(0, end, rest=True)))
    assert [(each.first_sample, each.until_sample) for each in answer.heard][-2:] == [
        (3 * BLOCK, 4 * BLOCK),
        (4 * BLOCK, end),
    ]


def test_sounds_that_are_not_all_here_are_missing_audio(engine: WhisperEngine) -> None:
    engine.open("short", StreamSpec())
    engine.append("short", 1, 0, bytes(2 * SECOND))
    result = engine.step([Job("short", 1, 1, "sounds", 0, SECOND, sounds=SoundsWanted(0, 2 * SECOND))])
    assert [error.code for error in result.errors] == ["missing_audio"]


@pytest.mark.parametrize("kind", ["interim", "early_final", "final"])
def test_where_nobody_speaks_no_words_are_written(engine: WhisperEngine, kind: JobKind) -> None:
    hiss = np.random.default_rng(3).integers(-300, 300, 3 * SECOND).astype(np.int16)
    [answer] = ask(engine, hiss, (kind, 3 * SECOND, None))
    assert answer.words == ()


def test_words_that_were_said_bind_even_there(engine: WhisperEngine) -> None:
    token = 7751
    hiss = np.random.default_rng(3).integers(-300, 300, 2 * SECOND).astype(np.int16)
    engine.open("bound", StreamSpec())
    engine.append("bound", 1, 0, hiss.astype("<i2").tobytes())
    result = engine.step([Job("bound", 1, 1, "final", 0, 2 * SECOND, prefix=(token,))])
    assert result.hypotheses[0].words[0].tokens[0] == token
