"""A StepEngine without a model, for tests of the worker process: its words are made of the PCM itself.

Each half second of audio becomes one word that names its checksum, so an answer is right only if every sample
arrived, once and in order. The model's name chooses how it misbehaves:

- `fake`: it does not;
- `broken`: it cannot be built;
- `hang-once:PATH`: while the file or pipe PATH exists, a step writes a byte to it, removes it and never returns;
- `crash-once:PATH`: the same, with an exception in place of the hang.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

from inference.pool.interface import (
    BLOCK_SAMPLES,
    EngineInfo,
    EngineStartError,
    Hypothesis,
    HypothesisWord,
    Job,
    JobError,
    StepResult,
    StepStats,
    StreamSpec,
)

BYTES_PER_SAMPLE = 2


def words_of(first_sample: int, pcm: bytes) -> tuple[HypothesisWord, ...]:
    """One word per block of BLOCK_SAMPLES from the segment's start; the last may be shorter."""
    words: list[HypothesisWord] = []
    block_bytes = BLOCK_SAMPLES * BYTES_PER_SAMPLE
    for offset in range(0, len(pcm), block_bytes):
        block = pcm[offset : offset + block_bytes]
        checksum = zlib.crc32(block)
        start = first_sample + offset // BYTES_PER_SAMPLE
        words.append(HypothesisWord(f"{checksum:08x}", start, start + len(block) // BYTES_PER_SAMPLE, 1.0, (checksum,)))
    return tuple(words)


class FakeStepEngine:
    """Implements `inference.pool.core.StepEngine`."""

    def __init__(self, model: str, device: str) -> None:
        if model == "broken":
            raise EngineStartError("The weights of the model 'broken' cannot be read: choose another model.")
        self.info = EngineInfo(model=model, device=device, dtype="none", max_batch=8)
        self._mishap, _, path = model.partition(":")
        self._mark = Path(path) if path else None
        self._streams: dict[str, dict[int, tuple[int, bytearray]]] = {}

    def open(self, stream: str, spec: StreamSpec) -> None:
        self._streams.setdefault(stream, {})

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        if stream not in self._streams:
            return
        start, held = self._streams[stream].setdefault(utterance, (first_sample, bytearray()))
        overlap = start * BYTES_PER_SAMPLE + len(held) - first_sample * BYTES_PER_SAMPLE
        if overlap >= 0:
            held += pcm[overlap:]

    def step(self, jobs: Sequence[Job]) -> StepResult:
        if self._mark is not None and self._mark.exists():
            with self._mark.open("wb") as mark:
                self._mark.unlink()
                mark.write(b"!")
            if self._mishap == "crash-once":
                raise RuntimeError("the engine broke")
            threading.Event().wait()
        answers = [self._answer(job) for job in jobs]
        return StepResult(
            hypotheses=tuple(answer for answer in answers if isinstance(answer, Hypothesis)),
            errors=tuple(answer for answer in answers if isinstance(answer, JobError)),
            stats=StepStats(jobs=len(jobs), decoder_calls=len(jobs), decoder_passes=1),
        )

    def discard(self, stream: str, utterance: int) -> None:
        self._streams.get(stream, {}).pop(utterance, None)

    def close(self, stream: str) -> None:
        self._streams.pop(stream, None)

    def _answer(self, job: Job) -> Hypothesis | JobError:
        start, held = self._streams.get(job.stream, {}).get(job.utterance, (0, bytearray()))
        needed_bytes = (job.until_sample - job.start_sample) * BYTES_PER_SAMPLE
        if start != job.start_sample or len(held) < needed_bytes:
            return JobError(job.stream, job.utterance, job.revision, "missing_audio", "audio is missing")
        words = words_of(start, bytes(held[:needed_bytes]))
        return Hypothesis(
            job.stream,
            job.utterance,
            job.revision,
            job.kind == "final",
            job.until_sample,
            words,
            early=job.kind == "early_final",
        )


def build_fake_engine(
    model: str, device: str, threads: int | None = None, precision: str = "auto", tagger: str = "builtin"
) -> FakeStepEngine:
    """Raises EngineStartError for the model `broken`."""
    return FakeStepEngine(model, device)
