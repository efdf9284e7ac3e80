"""An engine without a model, for tests of everything above it: scripted, deterministic, in process.

What it answers is a function of the script and the job alone. It keeps real books on the audio it was given, so a
gateway that forgets to send audio again after a loss gets `missing_audio` here as it would from a worker.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from inference.pool.interface import (
    BLOCK_SAMPLES,
    FRAME_SAMPLES,
    SAMPLE_RATE,
    BlockScores,
    EngineInfo,
    EngineStartError,
    ErrorCode,
    Hypothesis,
    HypothesisWord,
    Job,
    JobError,
    Sound,
    StepResult,
    StepStats,
    StreamSpec,
    WorkerLost,
)
from inference.pool.tasks import Answer, Task

BYTES_PER_SAMPLE = 2
WORD_SAMPLES = 6_400  # the default script says a word each 0.4 s
_ALPHABET = """
alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike
november oscar papa quebec romeo sierra tango uniform victor whiskey xray yankee zulu
"""
ALPHABET = tuple(_ALPHABET.split())
"""The default script's words: ordinary ones, for which a transcript need not wait as it does for numbers."""
_VOCABULARY: list[str] = []
"""A token is a place in it, for every engine of the process, as for all workers of one model."""


@dataclass(frozen=True, slots=True)
class ScriptedWord:
    """What is said in a stream, and when: samples at 16 kHz on the stream's clock."""

    text: str
    start_sample: int
    end_sample: int


Script = Callable[[str], Sequence[ScriptedWord]]
"""Stream name -> its words, in order of time."""


def alphabet_script(stream: str, *, words: int = 1000, word_samples: int = WORD_SAMPLES) -> list[ScriptedWord]:
    """The spelling alphabet over and over, without pauses; every stream says the same."""
    return [ScriptedWord(ALPHABET[n % len(ALPHABET)], n * word_samples, (n + 1) * word_samples) for n in range(words)]


@dataclass(slots=True)
class _Held:
    """The span of audio that the fake worker has of one utterance."""

    first_sample: int
    end_sample: int


@dataclass(slots=True)
class _Stream:
    words: Sequence[ScriptedWord]
    utterances: dict[int, _Held] = field(default_factory=dict)
    answered: Counter[int] = field(default_factory=Counter)
    """Answer jobs of each utterance since the last one that was done."""


class FakeEngine:
    """Implements `inference.pool.interface.Engine`.

    A hypothesis has the scripted words that lie between the job's `start_sample` and `until_sample`. An interim that
    ends within a word also has that word's beginning, misheard, as its last word when `mishear` is set. Each text is
    one token; a job's `prefix` binds the answer's first words, whatever the script says.

    An answer job on tasks is answered with the scripted words, one on a chat with its last turn, what it was given, and
    the last turn once more; a few words come with each of `answer_jobs` jobs.
    """

    def __init__(
        self,
        script: Script = alphabet_script,
        *,
        sounds: Sequence[Sound] = (),
        heard: Sequence[Sound] = (),
        mishear: bool = True,
        step_s: float = 0.0,
        job_s: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        answer_jobs: int = 1,
        info: EngineInfo | None = None,
        start_error: str | None = None,
    ) -> None:
        """`sounds` come with every stream's finals; `heard` is what a tagger hears in every stream, where `info` has
        such labels; each step sleeps `step_s` seconds and `job_s` for each job."""
        self.generation = 0
        self.batches: list[list[Job]] = []
        """Every batch that was begun, in order."""
        self.stepping = asyncio.Event()
        """Set while a step runs."""
        self.outbound_bytes = 0
        """Tests set it, and call `set_writable`."""
        self._script = script
        self._sounds = sounds
        self._heard_beside = heard
        self._mishear = mishear
        self._step_s = step_s
        self._job_s = job_s
        self._sleep = sleep
        self._answer_jobs = answer_jobs
        self._info = info or EngineInfo(model="fake", device="cpu", dtype="none", max_batch=64)
        self._start_error = start_error
        self._streams: dict[str, _Stream] = {}
        self._errors: dict[str, deque[ErrorCode]] = {}
        self._lost: asyncio.Event = asyncio.Event()
        self._up = asyncio.Event()
        self._may_step = asyncio.Event()
        self._may_step.set()
        self._writable = asyncio.Event()
        self._writable.set()
        self.failure: str | None = None

    # -- what tests do to it ------------------------------------------------------------------------------------

    def lose_worker(self, *, restart: bool = True) -> None:
        """All state is gone; a running step raises WorkerLost. Without `restart`, `restart_worker` brings it back."""
        self._streams.clear()
        self._lost.set()
        self._lost = asyncio.Event()
        self._up.clear()
        if restart:
            self.restart_worker()

    def restart_worker(self) -> None:
        """The next generation is up."""
        self.generation += 1
        self._up.set()

    def fail_for_good(self, reason: str) -> None:
        """The worker is lost and no restart will be tried."""
        self.failure = reason
        self.lose_worker(restart=False)
        self._up.set()

    def fail_jobs(self, stream: str, *codes: ErrorCode) -> None:
        """The stream's next jobs fail with these codes, one after the other."""
        self._errors.setdefault(stream, deque()).extend(codes)

    def hold_steps(self) -> None:
        """Steps begin, and do not end before `release_steps`."""
        self._may_step.clear()

    def release_steps(self) -> None:
        self._may_step.set()

    def set_writable(self, writable: bool) -> None:
        """What `wait_writable` waits for."""
        if writable:
            self._writable.set()
        else:
            self._writable.clear()

    def held(self, stream: str, utterance: int) -> tuple[int, int] | None:
        """(first sample, end sample) of the audio that it has of an utterance."""
        state = self._streams.get(stream)
        span = state.utterances.get(utterance) if state else None
        return (span.first_sample, span.end_sample) if span else None

    def open_streams(self) -> set[str]:
        return set(self._streams)

    # -- Engine -------------------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        return self._running()

    async def start(self) -> EngineInfo:
        if self._start_error is not None:
            raise EngineStartError(self._start_error)
        self.restart_worker()
        return self._info

    async def wait_ready(self) -> None:
        await self._up.wait()
        if self.failure is not None:
            raise EngineStartError(self.failure)

    async def wait_writable(self) -> None:
        await self._writable.wait()

    def open(self, stream: str, spec: StreamSpec) -> None:
        if self._running() and stream not in self._streams:
            self._streams[stream] = _Stream(self._script(stream))

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        state = self._streams.get(stream)
        if state is None:
            return
        end_sample = first_sample + len(pcm) // BYTES_PER_SAMPLE
        held = state.utterances.setdefault(utterance, _Held(first_sample, first_sample))
        if first_sample <= held.end_sample:
            held.end_sample = max(held.end_sample, end_sample)

    async def step(self, jobs: Sequence[Job]) -> StepResult:
        if not self._running():
            raise WorkerLost("no worker is up")
        lost = self._lost
        self.batches.append(list(jobs))
        self.stepping.set()
        try:
            if seconds := self._seconds(jobs):
                await self._sleep(seconds)
            await _first(self._may_step, lost)
        finally:
            self.stepping.clear()
        if lost.is_set():
            raise WorkerLost("the fake worker was lost")
        answers = [self._answer(job) for job in jobs]
        return StepResult(
            hypotheses=tuple(answer for answer in answers if isinstance(answer, Hypothesis)),
            errors=tuple(answer for answer in answers if isinstance(answer, JobError)),
            stats=self._stats(jobs),
        )

    def discard(self, stream: str, utterance: int) -> None:
        if (state := self._streams.get(stream)) is not None:
            state.utterances.pop(utterance, None)

    def close(self, stream: str) -> None:
        self._streams.pop(stream, None)

    async def stop(self) -> None:
        self.lose_worker(restart=False)

    # -- answers ------------------------------------------------------------------------------------------------

    def _running(self) -> bool:
        return self._up.is_set() and self.failure is None

    def _answer(self, job: Job) -> Hypothesis | JobError:
        if errors := self._errors.get(job.stream):
            return _error(job, errors.popleft(), "scripted")
        state = self._streams.get(job.stream)
        held = state.utterances.get(job.utterance) if state else None
        if state is None or held is None or held.first_sample != job.start_sample or held.end_sample < job.until_sample:
            return _error(job, "missing_audio", "audio of the segment is missing")
        if job.kind == "answer":
            return self._answers(state, job)
        heard = block_scores(job, self._info, self._heard_beside)
        if job.kind == "sounds":
            return Hypothesis(job.stream, job.utterance, job.revision, False, job.until_sample, (), heard=heard)
        return Hypothesis(
            stream=job.stream,
            utterance=job.utterance,
            revision=job.revision,
            final=job.kind == "final",
            early=job.kind == "early_final",
            decoded_until=job.until_sample,
            words=tuple(self._bound(self._heard(state.words, job), job)),
            sounds=tuple(sound for sound in self._sounds if job.kind != "interim" and _within(sound, job)),
            language="en",
            heard=heard,
        )

    def _answers(self, state: _Stream, job: Job) -> Hypothesis:
        state.answered[job.utterance] += 1
        done = state.answered[job.utterance]
        if more := done < self._answer_jobs:
            share = done / self._answer_jobs
        else:
            share = 1.0
            del state.answered[job.utterance]
        heard = " ".join(word.text for word in state.words if _within(word, job))
        return Hypothesis(
            stream=job.stream,
            utterance=job.utterance,
            revision=job.revision,
            final=False,
            decoded_until=job.until_sample,
            words=(),
            answers=tuple(_part(answer, share) for answer in _whole_answers(job, heard)),
            more=more,
        )

    def _heard(self, script: Sequence[ScriptedWord], job: Job) -> list[HypothesisWord]:
        heard = [self._word(word.text, word.start_sample, word.end_sample) for word in script if _within(word, job)]
        if job.kind != "interim" or not self._mishear:
            return heard
        begun = [word for word in script if job.start_sample <= word.start_sample < job.until_sample < word.end_sample]
        return heard + [self._word(f"{word.text}-", word.start_sample, job.until_sample) for word in begun]

    def _bound(self, heard: list[HypothesisWord], job: Job) -> list[HypothesisWord]:
        bound: list[HypothesisWord] = []
        for place, token in enumerate(job.prefix):
            at = heard[place] if place < len(heard) else None
            start, end = (at.start_sample, at.end_sample) if at else (job.until_sample, job.until_sample)
            bound.append(self._word(_VOCABULARY[token], start, end))
        return bound + heard[len(job.prefix) :]

    def _word(self, text: str, start_sample: int, end_sample: int) -> HypothesisWord:
        if text not in _VOCABULARY:
            _VOCABULARY.append(text)
        return HypothesisWord(text, start_sample, end_sample, 0.9, (_VOCABULARY.index(text),))

    def _stats(self, jobs: Sequence[Job]) -> StepStats:
        frames = Counter[str]()
        for job in jobs:
            frames[job.kind] += (job.until_sample - job.start_sample) // FRAME_SAMPLES
        return StepStats(
            jobs=len(jobs),
            encoder_frames=frames.total(),
            encoder_frames_final=frames["final"] + frames["early_final"],
            decoder_calls=len(jobs),
            decoder_passes=1,
            seconds=self._seconds(jobs),
        )

    def _seconds(self, jobs: Sequence[Job]) -> float:
        return self._step_s + self._job_s * len(jobs)


def block_scores(job: Job, info: EngineInfo, heard: Sequence[Sound]) -> tuple[BlockScores, ...]:
    """What a worker answers to `job.sounds` that hears these: a label scores the part of a block that it fills."""
    if (wanted := job.sounds) is None:
        return ()
    scored: list[BlockScores] = []
    first = max(wanted.from_sample, job.start_sample)
    while first < wanted.until_sample:
        until = (first // BLOCK_SAMPLES + 1) * BLOCK_SAMPLES
        if until + info.sound_context_samples > wanted.until_sample and not wanted.rest:
            break
        until = min(until, wanted.until_sample)
        scored.append(BlockScores(first, until, tuple(_share(label, first, until, heard) for label in info.sounds)))
        first = until
    return tuple(scored)


def _share(label: str, first: int, until: int, heard: Sequence[Sound]) -> float:
    spans = (min(each.end_sample, until) - max(each.start_sample, first) for each in heard if each.label == label)
    return sum(max(0, span) for span in spans) / (until - first)


def _within(span: ScriptedWord | Sound, job: Job) -> bool:
    return job.start_sample <= span.start_sample and span.end_sample <= job.until_sample


def _whole_answers(job: Job, heard: str) -> list[Answer]:
    if job.chat is None:
        return [_task_answer(task, heard) for task in job.tasks]
    asked, clips = job.chat.turns[-1].text, len(job.chat.clip_samples)
    seconds = sum(job.chat.clip_samples) / SAMPLE_RATE
    return [Answer(text=f"{asked} ({len(job.chat.turns)} turns, {clips} clips, {seconds:g} s) {asked}")]


def _task_answer(task: Task, heard: str) -> Answer:
    return Answer(text=f"{task.name}: {heard}", labels=(task.name,))


def _part(answer: Answer, share: float) -> Answer:
    """The first words of an answer."""
    if share == 1.0:
        return answer
    words = answer.text.split(" ")
    return Answer(text=" ".join(words[: round(share * len(words))]), complete=False)


def _error(job: Job, code: ErrorCode, message: str) -> JobError:
    return JobError(job.stream, job.utterance, job.revision, code, message)


async def _first(*events: asyncio.Event) -> None:
    """Returns when one of the events is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
