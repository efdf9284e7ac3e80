"""A session reduced to its PCM and the list of what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from inference.pool.interface import Hypothesis, Job, JobError, JobKind, StreamSpec
from streaming.scheduler.dispatcher import Dispatcher
from streaming.scheduler.fleet import Fleet

SECOND = 16_000
UTTERANCE_SAMPLES = 2 * SECOND


class RecordingSession:
    """Implements the scheduler's listener."""

    def __init__(self, scheduler: Dispatcher | Fleet, stream: str) -> None:
        self.stream = stream
        self.scheduler = scheduler
        self.hypotheses: list[Hypothesis] = []
        self.errors: list[tuple[Job, JobError]] = []
        self.rebuilt: list[int] = []
        self.was_rebuilt = asyncio.Event()
        self.failures: list[str] = []
        self.pcm: dict[int, tuple[int, bytes]] = {}
        self.prefix: tuple[int, ...] = ()
        self.on_answer: Callable[[Hypothesis], None] = lambda hypothesis: None
        scheduler.open(stream, StreamSpec(), self)

    def speak(self, utterance: int, *, seconds: int = 2) -> None:
        """Appends an utterance's audio in pieces of half a second; utterances stand one after the other."""
        first = utterance * UTTERANCE_SAMPLES
        for start in range(first, first + seconds * SECOND, SECOND // 2):
            begun, pcm = self.pcm.get(utterance, (first, b""))
            piece = bytes(SECOND)  # half a second, two bytes a sample
            self.pcm[utterance] = (begun, pcm + piece)
            self.scheduler.append(self.stream, utterance, start, piece)

    def ask(self, utterance: int, kind: JobKind = "final", *, revision: int = 1, seconds: int = 2) -> None:
        first = utterance * UTTERANCE_SAMPLES
        job = Job(self.stream, utterance, revision, kind, first, first + seconds * SECOND)
        self.scheduler.submit(job, deadline=float(utterance))

    def finals(self) -> list[str]:
        return [" ".join(word.text for word in h.words) for h in self.hypotheses if h.final]

    # -- Listener
    def on_hypothesis(self, hypothesis: Hypothesis) -> None:
        self.hypotheses.append(hypothesis)
        self.on_answer(hypothesis)

    def on_job_error(self, job: Job, error: JobError) -> None:
        self.errors.append((job, error))

    def on_rebuilt(self, utterance: int) -> None:
        self.rebuilt.append(utterance)
        self.was_rebuilt.set()

    def on_stream_failed(self, reason: str) -> None:
        self.failures.append(reason)

    def segment_pcm(self, utterance: int) -> tuple[int, bytes] | None:
        return self.pcm.get(utterance)

    def prefix_tokens(self, job: Job) -> tuple[int, ...]:
        return self.prefix
