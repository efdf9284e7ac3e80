"""Engines with the bundled weights, and jobs for them: for tests of the engine as a worker sees it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engine.engine import WhisperEngine
from inference.engine.settings import EngineSettings
from inference.pool.core import StepEngine
from inference.pool.interface import Hypothesis, Job, JobError, JobKind, StepResult, StreamSpec
from tests.support.checkpoints import bundled, clip


def make_engine(**settings: Any) -> WhisperEngine:
    """tiny.en in float32, so that the answers are the same on every machine."""
    return WhisperEngine(bundled(), "cpu", EngineSettings(threads=1, precision="float32", **settings))


@lru_cache(maxsize=1)
def shared_engine() -> WhisperEngine:
    return make_engine()


def job(
    until: int,
    kind: JobKind = "final",
    *,
    stream: str = "s",
    utterance: int = 0,
    start: int = 0,
    prefix: tuple[int, ...] = (),
    revision: int = 1,
    speech_until: int | None = None,
) -> Job:
    return Job(stream, utterance, revision, kind, start, until, prefix, speech_until)


def hear(
    engine: StepEngine, pcm: NDArray[np.int16], *, stream: str = "s", utterance: int = 0, first: int = 0
) -> NDArray[np.int16]:
    engine.append(stream, utterance, first, pcm.astype("<i2").tobytes())
    return pcm


def only(result: StepResult) -> Hypothesis:
    assert result.errors == ()
    (hypothesis,) = result.hypotheses
    return hypothesis


def refused(result: StepResult) -> JobError:
    assert result.hypotheses == ()
    (error,) = result.errors
    return error


def words(hypothesis: Hypothesis) -> list[str]:
    return [word.text for word in hypothesis.words]


@lru_cache(maxsize=8)
def heard_alone(name: str) -> Hypothesis:
    engine = shared_engine()
    engine.open("alone", StreamSpec())
    pcm = hear(engine, clip(name), stream="alone")
    hypothesis = only(engine.step([job(len(pcm), stream="alone")]))
    engine.close("alone")
    return hypothesis


def check_times(hypothesis: Hypothesis, start: int) -> None:
    """Within the audio, each word after the last, none of negative length."""
    at = start
    for word in hypothesis.words:
        assert at <= word.start_sample <= word.end_sample <= hypothesis.decoded_until
        at = word.end_sample
        assert 0 <= word.confidence <= 1
