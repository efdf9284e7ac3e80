"""Streams as the engine sees them, without sockets: jobs on the clock's grid, one batch a block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from inference.engine.engine import WhisperEngine
from inference.pool.interface import BLOCK_SAMPLES, FRAME_SAMPLES, Hypothesis, Job, JobKind, StreamSpec
from streaming.session.settings import SessionSettings
from streaming.transcript.stabilizer import Stabilizer

LONGEST_SAMPLES = 28 * 16_000
_PAD_SAMPLES = 6_400  # of silence after each utterance, as the endpoint leaves it: 400 ms


@dataclass(slots=True)
class TalkingStream:
    """Says clips one after another, each of them one utterance of its own; 100 % speech."""

    name: str
    clips: Sequence[NDArray[np.int16]]
    engine: WhisperEngine
    clip: int
    """Index of the clip it says now."""
    utterance: int = 0
    said: int = 0
    """Samples of the present clip."""
    revision: int = 0
    texts: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    """(clip, words of its final)."""
    _stabilizer: Stabilizer | None = None
    _word_ids: count[int] = field(default_factory=count)

    def next_job(self) -> Job:
        """Half a second on: an interim up to there, or the final where the clip ends."""
        if self.said == 0:
            self._begin()
        pcm = self.clips[self.clip]
        until = min(self.said + BLOCK_SAMPLES, len(pcm))
        self.engine.append(self.name, self.utterance, self.said, pcm[self.said : until].astype("<i2").tobytes())
        self.said, self.revision = until, self.revision + 1
        kind: JobKind = "final" if until == len(pcm) else "interim"
        assert self._stabilizer is not None
        prefix = self._stabilizer.prefix_tokens(kind)
        until -= until % FRAME_SAMPLES
        return Job(self.name, self.utterance, self.revision, kind, 0, until, prefix, until - _PAD_SAMPLES)

    def take(self, hypothesis: Hypothesis) -> None:
        assert self._stabilizer is not None
        self._stabilizer.hypothesis(hypothesis)
        if hypothesis.final:
            self.texts.append((self.clip, tuple(word.text for word in hypothesis.words)))
            self.utterance, self.clip, self.said = self.utterance + 1, (self.clip + 1) % len(self.clips), 0

    def _begin(self) -> None:
        settings = SessionSettings()
        self.engine.open(self.name, StreamSpec())
        self._stabilizer = Stabilizer(
            self.utterance,
            0,
            "stable",
            lambda: next(self._word_ids),
            agreement=settings.agreement,
            patient_agreement=settings.patient_agreement,
            hold_back_samples=settings.hold_back_samples,
            min_confidence=settings.min_confidence,
            unsure_confidence=settings.unsure_confidence,
            not_before_sample=0,
        )


def utterances(clips: Sequence[NDArray[np.int16]]) -> list[NDArray[np.int16]]:
    """Clips that are short enough for an utterance, with the silence that an endpoint leaves."""
    silence = np.zeros(_PAD_SAMPLES, np.int16)
    return [np.concatenate((clip, silence)) for clip in clips if len(clip) + _PAD_SAMPLES <= LONGEST_SAMPLES]
