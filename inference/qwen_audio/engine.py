"""Qwen-Audio and Qwen-Audio-Chat in a worker: captions while people speak, and answers to what is asked about it.

A step hears what its jobs' clips lack (`hearing`), puts all that is to be written into one batch, and decodes it:
captions to their end, answers by a few tokens, so that a long answer does not hold up the captions beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from inference.adapters.base import LONGEST_SAMPLES, JobRefused
from inference.pool.interface import (
    FRAME_SAMPLES,
    SAMPLE_RATE,
    EngineInfo,
    Hypothesis,
    HypothesisWord,
    Job,
    StepResult,
    StepStats,
    StreamSpec,
)
from inference.pool.tasks import Answer
from inference.qwen_audio.asking import Asker, caption_task
from inference.qwen_audio.cache import CacheLedger
from inference.qwen_audio.hearing import Hearing, Running
from inference.qwen_audio.incremental import IncrementalSettings
from inference.qwen_audio.instructions import supported_tasks
from inference.qwen_audio.model import QwenAudio
from inference.qwen_audio.special_tokens import LANGUAGE_TAGS
from inference.qwen_audio.tokenizer import QwenTokenizer
from inference.qwen_audio.utterances import BYTES_PER_SAMPLE, Stream, Utterance
from inference.qwen_audio.words import CaptionWords
from inference.qwen_audio.writing import Writer

MAX_BATCH = 16
MOST_TASKS = 32
"""Of one answer job."""


class QwenAudioEngine:
    """Implements `inference.pool.core.StepEngine`."""

    def __init__(
        self,
        model: QwenAudio,
        tokenizer: QwenTokenizer,
        *,
        name: str,
        chats: bool = False,
        cache_bytes: int | None = None,
        settings: IncrementalSettings | None = None,
    ) -> None:
        """
        Args:
            chats: it is the chat model, which is asked in words.
            cache_bytes: what all that is kept of utterances may take, beside their PCM; None: no limit.
            settings: how interims are encoded.
        """
        self.model = model
        self.tokenizer = tokenizer
        self.asker = Asker(tokenizer, model.config, chats)
        self.ledger = CacheLedger(cache_bytes)
        self.hearing = Hearing(model, self.asker, settings or IncrementalSettings(), self.ledger)
        self.captions = CaptionWords(tokenizer)
        self.writer = Writer(model, self.asker, self.captions, self.hearing)
        self.info = EngineInfo(
            name,
            str(model.device),
            str(model.dtype).removeprefix("torch."),
            max_batch=MAX_BATCH,
            languages=LANGUAGE_TAGS,
            tasks=supported_tasks(self.asker.family),
            answers=True,
            targets=LANGUAGE_TAGS,
            chat=self.asker.limits,
        )
        chat_samples = round(self.asker.limits.audio_s * SAMPLE_RATE) if self.asker.limits else 0
        self._most_samples = max(LONGEST_SAMPLES, chat_samples)
        self._streams: dict[str, Stream] = {}

    # -- StepEngine ------------------------------------------------------------------------------------------------

    def open(self, stream: str, spec: StreamSpec) -> None:
        held = self._streams.get(stream)
        self._streams[stream] = Stream(spec, held.utterances if held else {})

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        held = self._streams.get(stream)
        if held is None or len(pcm) < BYTES_PER_SAMPLE:
            return
        if utterance not in held.utterances:
            if first_sample % FRAME_SAMPLES:
                return  # its jobs are answered with `missing_audio`
            held.utterances[utterance] = Utterance(first_sample)
        held.utterances[utterance].append(first_sample, pcm, self._most_samples)

    def discard(self, stream: str, utterance: int) -> None:
        kept = self._streams[stream].utterances.pop(utterance, None) if stream in self._streams else None
        if kept is not None:
            kept.release(self.writer.batch)

    def close(self, stream: str) -> None:
        held = self._streams.pop(stream, None)
        for utterance in held.utterances.values() if held else ():
            utterance.release(self.writer.batch)

    def step(self, jobs: Sequence[Job]) -> StepResult:
        began = time.perf_counter()
        before = self._costs()
        running = [self._admitted(job) for job in jobs]
        with torch.inference_mode():
            self._run([each for each in running if each.refusal is None])
        hypotheses: list[Hypothesis] = []
        self._together(lambda each: hypotheses.extend(map(self._hypothesis, each)), running, at_once=False)
        frames, whole, calls, passes = (now - had for now, had in zip(self._costs(), before, strict=True))
        return StepResult(
            tuple(hypotheses),
            tuple(each.refusal for each in running if each.refusal is not None),
            StepStats(len(jobs), frames, whole, calls, passes, time.perf_counter() - began),
        )

    # -- one step --------------------------------------------------------------------------------------------------

    def _admitted(self, job: Job) -> Running:
        """With a refusal, where it cannot be done."""
        stream = self._streams.get(job.stream)
        kept = stream.utterances.get(job.utterance) if stream else None
        spec = job.spec or (stream.spec if stream else StreamSpec())
        running = Running(job, kept or Utterance(job.start_sample), spec)
        self._together(lambda one: self._admit(one[0], known=kept is not None), [running])
        return running

    def _admit(self, running: Running, known: bool) -> None:
        """Raises JobRefused, TaskError."""
        job, utterance = running.job, running.utterance
        longest = self._most_samples if job.chat is not None else LONGEST_SAMPLES
        if not 0 < running.samples <= longest:
            raise JobRefused("bad_job", f"the audio may last 1 to {longest} samples, not {running.samples}")
        if not known or utterance.end_sample < job.until_sample:
            raise JobRefused("missing_audio", f"the audio of utterance {job.utterance} is not all here")
        if utterance.start_sample != job.start_sample:
            raise JobRefused("bad_job", f"utterance {job.utterance} begins at {utterance.start_sample}")
        if job.kind == "answer":
            self._admit_question(running)
            return
        task = caption_task(running.spec)
        self.asker.after(task)
        if not all(self.captions.may_be(token, task.name == "word_timestamps") for token in job.prefix):
            raise JobRefused("bad_job", "the prefix holds ids that are not a caption's")

    def _admit_question(self, running: Running) -> None:
        job, utterance = running.job, running.utterance
        running.goes_on = utterance.asked is not None and utterance.asked.question == running.question
        if running.goes_on:
            return  # it was looked at when it began
        if bool(job.tasks) is (job.chat is not None):
            raise JobRefused("bad_job", "an answer job has either tasks or a chat")
        if len(job.tasks) > MOST_TASKS:
            raise JobRefused("bad_job", f"at most {MOST_TASKS} tasks are answered at once, not {len(job.tasks)}")
        if job.chat is not None:
            self.asker.conversation(job.chat, running.samples)

    def _run(self, running: Sequence[Running]) -> None:
        interims = [each for each in running if each.job.kind == "interim"]
        for each in interims:
            each.utterance.drop_whole()  # speech goes on behind what an early final heard
        self._together(self.hearing.listen, interims)
        self._together(self.hearing.read_whole, [each for each in running if each.reads_whole])
        unknown = [each for each in running if any(map(self.asker.hears_language, each.tasks))]
        self._together(self.hearing.name_languages, unknown)
        self._together(lambda each: self.writer.begin(each[0]), running, at_once=False)
        self.writer.write([each for each in running if each.refusal is None], self._fail)
        for each in running:
            if each.job.kind == "final":
                each.utterance.drop_live()

    def _together(
        self, work: Callable[[Sequence[Running]], None], running: Sequence[Running], at_once: bool = True
    ) -> None:
        """Has the work done for all whose job is not refused; should it fail, for each alone, so that only those fail
        that must. `at_once`: else it is done for each alone from the begin."""
        going = [each for each in running if each.refusal is None]
        if at_once and len(going) > 1:
            try:
                return work(going)
            except Exception:  # noqa: BLE001 (whatever it was, each is tried alone)
                pass
        for each in going:
            try:
                work([each])
            except Exception as error:  # noqa: BLE001 (reported as the job's own failure)
                self._fail(each, error)
        return None

    def _fail(self, running: Running, error: Exception) -> None:
        """Refuses the job. What is kept of its utterance goes where it takes the room that lacks, or is not to be
        trusted; then its audio has to come again."""
        running.refuse(error)
        assert running.refusal is not None
        if running.refusal.code in ("internal", "out_of_memory"):
            running.utterance.release(self.writer.batch)
        if running.refusal.code == "internal" or isinstance(error, torch.OutOfMemoryError):
            self.discard(running.job.stream, running.job.utterance)

    # -- what is answered ------------------------------------------------------------------------------------------

    def _hypothesis(self, running: Running) -> Hypothesis:
        job = running.job
        words: tuple[HypothesisWord, ...] = ()
        answers: tuple[Answer, ...] = ()
        more, language = False, running.spec.language or running.language
        if running.text is not None:
            task = self.asker.settled(caption_task(running.spec), running.language)
            text = running.text
            written = self.asker.written_language(task)
            words = self.captions.words(text.tokens, text.probabilities, job.start_sample, job.until_sample, written)
        else:
            asked = running.utterance.asked
            assert asked is not None
            answers, more = asked.answers(self.asker), not asked.done
            if not more:
                running.utterance.drop_asked(self.writer.batch)
        return Hypothesis(
            stream=job.stream,
            utterance=job.utterance,
            revision=job.revision,
            final=job.kind == "final",
            early=job.kind == "early_final",
            decoded_until=job.until_sample,
            words=words,
            language=language,
            answers=answers,
            more=more,
        )

    def _costs(self) -> tuple[int, int, int, int]:
        """Encoder frames, those of whole clips, passes of the language model per sequence, and per batch."""
        hearing, batch = self.hearing, self.writer.batch
        return hearing.frames, hearing.frames_whole, hearing.calls + batch.calls, hearing.passes + batch.passes
