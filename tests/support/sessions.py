"""Scripted parts for tests of the session: a loudness detector, audio with speech where the test wants it, a driver."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from inference.pool.fake import ALPHABET
from inference.pool.interface import Hypothesis, HypothesisWord, Job
from streaming.protocol.messages import (
    Audio,
    AudioFormat,
    ClientMessage,
    Endpointing,
    ModelInfo,
    ServerMessage,
    Signal,
    Start,
)
from streaming.session.core import SessionCore
from streaming.session.effects import Append, Effect, Finished, Send, StoreAudio, Submit
from streaming.session.settings import SessionSettings

_Message = TypeVar("_Message")

RATE = 16_000
MODEL = ModelInfo(name="fake", device="cpu", dtype="none")
ENDPOINTING = Endpointing(min_silence_ms=500, min_speech_ms=64, pre_roll_ms=200, pad_ms=200)


class LoudnessDetector:
    """Speech is what is loud."""

    frame_samples = 512

    def probability(self, frame: NDArray[np.int16]) -> float:
        return 1.0 if int(np.abs(frame).max(initial=0)) > 1000 else 0.0

    def reset(self) -> None:
        """It has no state."""

    def state(self) -> bytes:
        return b""

    def restore(self, state: bytes, recent: NDArray[np.int16]) -> None:
        """It has no state."""


def speech(*spans_s: tuple[float, float], total_s: float, rate: int = RATE) -> NDArray[np.int16]:
    """int16 (n,): loud, but no telephone tone, where the spans (begin, end; seconds) are, else silence."""
    samples = np.zeros(round(total_s * rate), np.int16)
    time = np.arange(len(samples)) / rate
    sweep = (8000 * np.sin(2 * np.pi * (440 * time + 20 * np.sin(2 * np.pi * 7 * time)))).astype(np.int16)
    for begin_s, end_s in spans_s:
        span = slice(round(begin_s * rate), round(end_s * rate))
        samples[span] = sweep[span]
    return samples


def audio(samples: NDArray[np.int16], first_sample: int = 0) -> Audio:
    """One message; `samples` is (n,) or, for two channels, (n, 2)."""
    return Audio(first_sample=first_sample, data=samples.astype("<i2").tobytes())


def make_core(start: Start | None = None, settings: SessionSettings | None = None) -> SessionCore:
    start = start or Start(audio=AudioFormat(), endpointing=ENDPOINTING)
    return SessionCore("s", start, lambda name: LoudnessDetector(), settings)


class Driver:
    """Carries out what a core asks for, on a clock that only moves when told, and keeps it all in lists; the client
    reads at once."""

    def __init__(self, core: SessionCore, *, answer: bool = False, resume: bool = False) -> None:
        """With `answer`, jobs are answered at once with a word for each half second of the segment; with `resume`, the
        core is a restored one."""
        self.core = core
        self.now = 0.0
        self.effects: list[Effect] = []
        self.messages: list[ServerMessage] = []
        self.jobs: list[Job] = []
        self._answer = answer
        self.carry_out(core.resume(MODEL, 1 << 20, self.now) if resume else core.begin(MODEL, 1 << 20))
        self._work()

    def give(self, *messages: ClientMessage | Signal) -> None:
        for message in messages:
            self.carry_out(self.core.receive(message, self.now))
            self._work()

    def _work(self) -> None:
        while self.core.busy:
            self.carry_out(self.core.work(self.now))

    def tick(self, now: float) -> None:
        self.now = now
        self.carry_out(self.core.tick(now))

    def reply(self, job: Job, *texts: str, confidence: float = 0.9) -> None:
        """Answers one job with these words, half a second each."""
        self.carry_out(self.core.hypothesis(answer_to(job, texts, confidence), self.now))

    def carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self.effects.append(effect)
            match effect:
                case Send(message):
                    self.messages.append(message)
                case Finished(summary):
                    self.messages.append(summary)
                case Submit(job):
                    self.jobs.append(job)
                    if self._answer:
                        self.reply(job, *scripted_words(job))
                case StoreAudio(ack_sample=ack_sample, commands=commands):
                    self.carry_out(self.core.stored(ack_sample, commands))
        while self.core.outbox.pop() is not None:
            pass

    def sent(self, kind: type[_Message]) -> list[_Message]:
        return [message for message in self.messages if isinstance(message, kind)]

    def appended(self, utterance: int) -> list[Append]:
        return [effect for effect in self.effects if isinstance(effect, Append) and effect.utterance == utterance]


def scripted_words(job: Job) -> list[str]:
    """A word for each whole half second of the job's audio, the same at the same place."""
    return [ALPHABET[n % len(ALPHABET)] for n in range((job.until_sample - job.start_sample) // 8_000)]


def answer_to(job: Job, texts: Iterable[str], confidence: float = 0.9) -> Hypothesis:
    """A hypothesis for a job with a word for each text, half a second each from the segment's start."""
    words = tuple(
        HypothesisWord(
            text, job.start_sample + n * 8_000, job.start_sample + (n + 1) * 8_000, confidence, (hash(text) % 1000,)
        )
        for n, text in enumerate(texts)
    )
    final, early = job.kind == "final", job.kind == "early_final"
    return Hypothesis(job.stream, job.utterance, job.revision, final, job.until_sample, words, early=early)
