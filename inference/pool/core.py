"""The engine as a worker process hosts it: synchronous, one caller, no sockets.

`inference.engine.engine.build_engine` makes the real one, `inference.pool.fake_step` one without a model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from inference.pool.interface import EngineInfo, Job, StepResult, StreamSpec


class StepEngine(Protocol):
    """Holds the state of open utterances and runs one batch at a time.

    Order of calls: `open` a stream, `append` audio to its utterances, `step` jobs on them, `discard` each
    utterance that is done, `close` the stream. Nothing here raises for bad input: what one job lacks or
    breaks becomes its JobError, and calls for unknown streams or utterances do nothing. An exception
    means that the engine's state can no longer be trusted; the worker then ends and is replaced.
    """

    info: EngineInfo

    def open(self, stream: str, spec: StreamSpec) -> None:
        """A stream that is open already keeps its utterances and takes the new spec."""

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        """Adds mono s16le PCM at 16 kHz.

        The first append fixes the utterance's start. Audio it already has is ignored; audio that begins behind
        its end is ignored too, since the hole would bend the clock: jobs that need it get `missing_audio`.
        """

    def step(self, jobs: Sequence[Job]) -> StepResult:
        """Exactly one Hypothesis or JobError for each job, in any order; at most one job per stream."""

    def discard(self, stream: str, utterance: int) -> None:
        """Frees one utterance's state."""

    def close(self, stream: str) -> None:
        """Frees the stream's state."""


EngineBuilder = Callable[[str, str, int | None, str, str], StepEngine]
"""(model, device, CPU threads, precision, tagger) -> engine. Raises EngineStartError: one sentence and its remedy."""
