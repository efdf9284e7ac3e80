"""What all adapters share: streams, utterances and their audio, one answer for each job, words of tokens.

A family gives the engine three things: a state for a new utterance, how it hears audio up to a sample, and what it
then says. Its state is a cache beside the PCM of the open utterance, which is kept, so that a job that ends before
what the state has heard is answered from a fresh state.

Jobs run one by one: the families' caches grow apart in length, and their code pads a batch, which changes results.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from inference.adapters.text import PieceSplitter
from inference.pool.interface import (
    FRAME_SAMPLES,
    SAMPLE_RATE,
    EngineInfo,
    ErrorCode,
    Hypothesis,
    HypothesisWord,
    Job,
    JobError,
    StepResult,
    StepStats,
    StreamSpec,
)
from inference.pool.tasks import Answer

LONGEST_SAMPLES = 30 * SAMPLE_RATE
"""An utterance may last this long; the segmenter cuts before."""
_BYTES_PER_SAMPLE = 2

Samples = NDArray[np.float32]
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Said:
    """What a family answers to one job. All sequences have one entry for each text token."""

    tokens: tuple[int, ...]
    probabilities: tuple[float, ...]
    spans: tuple[tuple[int, int], ...] | None
    """First and end sample of each token, from the segment's start; None where the model gives no times."""
    language: str | None = None


@dataclass(slots=True)
class Costs:
    """Counted by a family while it works; samples that went through the encoder's layers, and decoder passes."""

    encoded_samples: int = 0
    decoder_passes: int = 0


@dataclass(slots=True)
class _Utterance(Generic[S]):
    start_sample: int
    state: S
    pcm: bytearray = field(default_factory=bytearray)

    @property
    def end_sample(self) -> int:
        return self.start_sample + len(self.pcm) // _BYTES_PER_SAMPLE

    def samples(self, count: int) -> Samples:
        """The first ones, -1 to 1."""
        whole = np.frombuffer(bytes(self.pcm[: count * _BYTES_PER_SAMPLE]), dtype="<i2")
        return whole.astype(np.float32) / 32768.0


@dataclass(slots=True)
class _Stream(Generic[S]):
    spec: StreamSpec
    utterances: dict[int, _Utterance[S]] = field(default_factory=dict)


class JobRefused(Exception):
    """The job cannot be done; a family raises it as well."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ErrorCode = code


class AdapterEngine(ABC, Generic[S]):
    """Implements `inference.pool.core.StepEngine`; `S` is a family's state of one utterance."""

    info: EngineInfo
    splitter: PieceSplitter
    longest_chat: int = 0
    """Samples of all clips of a chat together, where the family has chats."""

    def __init__(self) -> None:
        self.costs = Costs()
        self._streams: dict[str, _Stream[S]] = {}

    # -- what a family does ----------------------------------------------------------------------------------------

    @abstractmethod
    def new_state(self) -> S:
        """Of an utterance of which nothing was heard."""

    @abstractmethod
    def heard_samples(self, state: S) -> int:
        """How many samples of the utterance its state has taken in."""

    @abstractmethod
    def answer(self, state: S, samples: Samples, job: Job, spec: StreamSpec) -> Said:
        """Takes in what is new in `samples`, all of the segment's up to the job's end, and says what was heard.

        After an interim and an early final the state goes on; after a final it is used for answers only. The words
        begin with the job's prefix. Raises JobRefused.
        """

    def reply(self, state: S, samples: Samples, job: Job) -> tuple[tuple[Answer, ...], bool]:
        """Of a family that answers (`info.answers`): goes on with the answers to what the job asks, by a few tokens.

        Returns:
            one for each task, or for the chat, as far as it is written; and whether it is to be asked again.
        Raises:
            JobRefused.
        """
        raise JobRefused("bad_job", f"{self.info.model} writes captions only; it answers nothing else")

    # -- StepEngine ------------------------------------------------------------------------------------------------

    def open(self, stream: str, spec: StreamSpec) -> None:
        held = self._streams.get(stream)
        self._streams[stream] = _Stream(spec, held.utterances if held else {})

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        held = self._streams.get(stream)
        if held is None or len(pcm) < _BYTES_PER_SAMPLE:
            return
        kept = held.utterances.get(utterance)
        if kept is None:
            if first_sample % FRAME_SAMPLES:
                return  # its jobs are answered with `missing_audio`
            kept = held.utterances[utterance] = _Utterance(first_sample, self.new_state())
        known = kept.end_sample - first_sample
        if 0 <= known < len(pcm) // _BYTES_PER_SAMPLE:
            longest = max(LONGEST_SAMPLES, self.longest_chat)
            room = (longest - (kept.end_sample - kept.start_sample)) * _BYTES_PER_SAMPLE
            kept.pcm += pcm[known * _BYTES_PER_SAMPLE : len(pcm) & ~1][:room]

    def discard(self, stream: str, utterance: int) -> None:
        if stream in self._streams:
            self._streams[stream].utterances.pop(utterance, None)

    def close(self, stream: str) -> None:
        self._streams.pop(stream, None)

    def step(self, jobs: Sequence[Job]) -> StepResult:
        began = time.perf_counter()
        before = (self.costs.encoded_samples, self.costs.decoder_passes)
        encoded_final = 0
        answers: list[Hypothesis | JobError] = []
        for job in jobs:
            at = self.costs.encoded_samples
            answers.append(self._run(job))
            encoded_final += self.costs.encoded_samples - at if job.kind != "interim" else 0
        passes = self.costs.decoder_passes - before[1]
        return StepResult(
            tuple(answer for answer in answers if isinstance(answer, Hypothesis)),
            tuple(answer for answer in answers if isinstance(answer, JobError)),
            StepStats(
                jobs=len(jobs),
                encoder_frames=(self.costs.encoded_samples - before[0]) // FRAME_SAMPLES,
                encoder_frames_final=encoded_final // FRAME_SAMPLES,
                decoder_calls=passes,
                decoder_passes=passes,
                seconds=time.perf_counter() - began,
            ),
        )

    # -- one job ---------------------------------------------------------------------------------------------------

    def _run(self, job: Job) -> Hypothesis | JobError:
        try:
            stream, utterance = self._admit(job)
            samples = utterance.samples(job.until_sample - job.start_sample)
            if self.heard_samples(utterance.state) > len(samples):
                utterance.state = self.new_state()
            with torch.inference_mode():
                if job.kind == "answer":
                    return _answered(job, *self.reply(utterance.state, samples, job))
                said = self.answer(utterance.state, samples, job, job.spec or stream.spec)
        except JobRefused as refused:
            return _error(job, refused.code, str(refused))
        except torch.OutOfMemoryError as error:
            self.discard(job.stream, job.utterance)
            return _error(job, "out_of_memory", f"the device has no memory left for this job: {error}")
        except Exception as error:  # noqa: BLE001 (reported as the job's own failure)
            self.discard(job.stream, job.utterance)
            return _error(job, "internal", f"{type(error).__name__}: {error}")
        if job.kind == "final" and not self.info.answers:
            self.discard(job.stream, job.utterance)
        return self._hypothesis(job, said)

    def _admit(self, job: Job) -> tuple[_Stream[S], _Utterance[S]]:
        """Raises JobRefused."""
        stream = self._streams.get(job.stream)
        utterance = stream.utterances.get(job.utterance) if stream else None
        longest = LONGEST_SAMPLES if job.chat is None else max(LONGEST_SAMPLES, self.longest_chat)
        if not 0 < job.until_sample - job.start_sample <= longest:
            raise JobRefused("bad_job", f"the audio may last 1 to {longest} samples")
        if stream is None or utterance is None or utterance.end_sample < job.until_sample:
            raise JobRefused("missing_audio", f"the audio of utterance {job.utterance} is not all here")
        if utterance.start_sample != job.start_sample:
            raise JobRefused("bad_job", f"utterance {job.utterance} begins at {utterance.start_sample}")
        if not all(self.splitter.is_text(token) for token in job.prefix):
            raise JobRefused("bad_job", "the prefix holds ids that are not text tokens")
        return stream, utterance

    def _hypothesis(self, job: Job, said: Said) -> Hypothesis:
        length = job.until_sample - job.start_sample
        words = []
        for word in self.splitter.words(said.tokens, said.language):
            until = word.first + len(word.tokens)
            begin, end = 0, length
            if said.spans is not None:
                begin, end = said.spans[word.first][0], said.spans[until - 1][1]
            words.append(
                HypothesisWord(
                    text=word.text,
                    start_sample=job.start_sample + min(begin, length),
                    end_sample=job.start_sample + min(end, length),
                    confidence=round(float(np.mean(said.probabilities[word.first : until])), 4),
                    tokens=word.tokens,
                    glued=word.glued,
                )
            )
        return Hypothesis(
            stream=job.stream,
            utterance=job.utterance,
            revision=job.revision,
            final=job.kind == "final",
            early=job.kind == "early_final",
            decoded_until=job.until_sample,
            words=tuple(words),
            language=said.language,
        )


def _answered(job: Job, answers: tuple[Answer, ...], more: bool) -> Hypothesis:
    return Hypothesis(
        stream=job.stream,
        utterance=job.utterance,
        revision=job.revision,
        final=False,
        decoded_until=job.until_sample,
        words=(),
        answers=answers,
        more=more,
    )


def bound(said: Said, prefix: Sequence[int]) -> Said:
    """The answer with its first tokens as the prefix has them; it says the rest at their own places and times.

    For families whose text follows from the audio frame by frame: what they said once they say again, so that the
    prefix is there already, but for one that was said by another model or machine. A token of the prefix that has no
    counterpart is placed at the last one's end, or at the segment's start.
    """
    if said.tokens[: len(prefix)] == tuple(prefix):
        return said
    missing = max(0, len(prefix) - len(said.tokens))
    spans = said.spans
    if spans is not None:
        end = spans[-1][1] if spans else 0
        spans = spans + ((end, end),) * missing
    return Said(
        tokens=tuple(prefix) + said.tokens[len(prefix) :],
        probabilities=said.probabilities + (0.0,) * missing,
        spans=spans,
        language=said.language,
    )


def _error(job: Job, code: ErrorCode, message: str) -> JobError:
    return JobError(job.stream, job.utterance, job.revision, code, message[:300])
