"""The engine: one step for many streams at once, from jobs to hypotheses.

A step encodes what the jobs' utterances lack, decodes all jobs in one ragged batch (each with its last hypothesis as
the draft), looks at the finals with the guards, and turns tokens into words with times and confidence.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import torch

from inference.engine.device import DeviceError, choose_device, choose_threads
from inference.engine.judge import FinalJudge
from inference.engine.listening import Listening
from inference.engine.precision import choose_precision, torch_dtype
from inference.engine.settings import EngineSettings
from inference.engine.tasks import Stream, Task, Utterance
from inference.engine.writer import HypothesisWriter
from inference.pool.interface import (
    SAMPLE_RATE,
    EngineInfo,
    EngineStartError,
    ErrorCode,
    Hypothesis,
    Job,
    JobError,
    StepResult,
    StepStats,
    StreamSpec,
)
from inference.qwen_audio.instructions import supported_tasks
from inference.tagging.hearing import Tagger
from inference.tagging.load import OFF, load_tagger
from inference.whisper.decoder import WhisperDecoder
from inference.whisper.decoding import DecodeRequest
from inference.whisper.encoder import WhisperIncrementalEncoder
from inference.whisper.features import FRAME
from inference.whisper.model import build_model
from inference.whisper.text import WordSplitter
from inference.whisper.weights import WeightsError, WhisperWeights, load_weights

_BYTES_PER_SAMPLE = 2
_LONGEST_PROMPT = 4  # start, language, task, no timestamps


class JobRefused(Exception):
    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ErrorCode = code


def build_engine(model: str, device: str, settings: EngineSettings | None = None) -> WhisperEngine:
    """Loads the model and returns an engine that is warm.

    Raises:
        EngineStartError: weights or device are not to be had; one sentence with the remedy.
    """
    try:
        weights = load_weights(model)
        tagger = load_tagger(settings.tagger if settings else OFF, weights.config, choose_device(device))
        return WhisperEngine(weights, device, settings, tagger)
    except (WeightsError, DeviceError) as error:
        raise EngineStartError(str(error)) from error


class WhisperEngine:
    """Implements `inference.pool.core.StepEngine` on a Whisper checkpoint."""

    def __init__(
        self,
        weights: WhisperWeights,
        device: str = "auto",
        settings: EngineSettings | None = None,
        tagger: Tagger | None = None,
    ) -> None:
        """`tagger`: what hears more than words; None: nothing does."""
        self.settings = settings or EngineSettings()
        where = choose_device(device)
        if where.type == "cpu":
            torch.set_num_threads(choose_threads(self.settings.threads))
        self.precision = choose_precision(self.settings.precision, where)
        self.model = build_model(weights, where, torch_dtype(self.precision), quantised=self.precision == "int8")
        self.vocabulary = weights.vocabulary
        self.splitter = WordSplitter(weights.tokenizer, weights.vocabulary.end_of_text)
        self.writer = HypothesisWriter(self.splitter, self.settings.guard)
        self.encoder = WhisperIncrementalEncoder(self.model, self.settings.encoder)
        self.listening = Listening(tagger, self.encoder) if tagger else None
        self.judge = FinalJudge(self.splitter, self.settings.guard)
        self.decoder = WhisperDecoder(
            self.model,
            weights.vocabulary,
            self.encoder.tail,
            weights.alignment_heads,
            self.settings.budget,
            kinds=self.judge.kinds,
        )
        self.info = EngineInfo(
            model=weights.name,
            device=str(where),
            dtype=self.precision,
            max_batch=self.settings.max_batch,
            languages=tuple(weights.vocabulary.languages) or ("en",),
            tasks=tuple(
                task for task in supported_tasks("whisper") if weights.vocabulary.languages or task != "translate"
            ),
            sounds=tagger.labels if tagger else (),
            sound_thresholds={name: (each.on, each.off) for name, each in tagger.thresholds.items()} if tagger else {},
            sound_context_samples=self.settings.encoder.right_context_frames * FRAME,
        )
        self._streams: dict[str, Stream] = {}
        self._frames_final = 0
        self._warm_up()

    def open(self, stream: str, spec: StreamSpec) -> None:
        held = self._streams.get(stream)
        self._streams[stream] = Stream(spec, held.utterances if held else {})

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        held = self._streams.get(stream)
        if held is None or len(pcm) < _BYTES_PER_SAMPLE:
            return
        kept = held.utterances.get(utterance)
        if kept is None:
            if first_sample % FRAME:
                return  # its jobs are answered with `missing_audio`
            kept = held.utterances[utterance] = Utterance(self.encoder.new_state(first_sample))
            if self.listening:
                self.listening.begin(kept.audio)
        known = kept.audio.end_sample - first_sample
        if 0 <= known < len(pcm) // _BYTES_PER_SAMPLE:
            kept.audio.append(pcm[known * _BYTES_PER_SAMPLE : len(pcm) & ~1])

    def discard(self, stream: str, utterance: int) -> None:
        if stream in self._streams:
            self._streams[stream].utterances.pop(utterance, None)

    def close(self, stream: str) -> None:
        self._streams.pop(stream, None)

    def step(self, jobs: Sequence[Job]) -> StepResult:
        """Runs the jobs as one batch; should the batch fail, one by one, so that only the bad one is answered so."""
        began = time.perf_counter()
        counters = self.decoder.counters
        before = (self.encoder.frames_computed, self._frames_final, counters.calls, counters.passes)
        hypotheses: list[Hypothesis] = []
        errors: list[JobError] = []
        try:
            self._run(jobs, hypotheses, errors)
        except Exception:  # noqa: BLE001 (whatever it was, each job is tried alone)
            hypotheses, errors = [], []
            for job in jobs:
                self._run_alone(job, hypotheses, errors)
        stats = StepStats(
            jobs=len(jobs),
            encoder_frames=self.encoder.frames_computed - before[0],
            encoder_frames_final=self._frames_final - before[1],
            decoder_calls=counters.calls - before[2],
            decoder_passes=counters.passes - before[3],
            seconds=time.perf_counter() - began,
        )
        return StepResult(tuple(hypotheses), tuple(errors), stats)

    def _run_alone(self, job: Job, hypotheses: list[Hypothesis], errors: list[JobError]) -> None:
        try:
            self._run([job], hypotheses, errors)
        except torch.OutOfMemoryError as error:
            errors.append(_error(job, "out_of_memory", f"the device has no memory left for this job: {error}"))
        except Exception as error:  # noqa: BLE001 (reported as the job's own failure)
            errors.append(_error(job, "internal", f"{type(error).__name__}: {error}"))
            self.discard(job.stream, job.utterance)

    def _run(self, jobs: Sequence[Job], hypotheses: list[Hypothesis], errors: list[JobError]) -> None:
        tasks = []
        for job in jobs:
            try:
                tasks.append(self._admit(job))
            except JobRefused as refused:
                errors.append(_error(job, refused.code, str(refused)))
        captions = [task for task in tasks if task.job.kind != "sounds"]
        self._encode(captions)
        spoken = self._listen(tasks, captions)
        self._choose_prompts(spoken)
        self._decode(spoken)
        hypotheses.extend(self._hypothesis(task) for task in tasks)
        for task in tasks:
            if task.job.kind == "final":
                self.discard(task.job.stream, task.job.utterance)

    def _listen(self, tasks: Sequence[Task], captions: Sequence[Task]) -> list[Task]:
        """Hears what jobs ask for; returns the tasks in whose audio somebody speaks."""
        if self.listening is None:
            return list(captions)
        self.listening.advance(tasks)
        self.listening.score(tasks)
        silent = {id(task) for task in self.listening.silent(captions)}
        return [task for task in captions if id(task) not in silent]

    def _hypothesis(self, task: Task) -> Hypothesis:
        job = task.job
        if job.kind == "sounds":
            answer = Hypothesis(job.stream, job.utterance, job.revision, False, job.until_sample, ())
        else:
            answer = self.writer.hypothesis(task)
        heard = self.listening.answer(task) if self.listening else ()
        return msgspec.structs.replace(answer, heard=heard) if heard else answer

    def _admit(self, job: Job) -> Task:
        """Raises JobRefused."""
        if job.kind == "answer":
            raise JobRefused("bad_job", f"{self.info.model} writes captions only; it answers nothing else")
        stream = self._streams.get(job.stream)
        utterance = stream.utterances.get(job.utterance) if stream else None
        if stream is None or utterance is None or utterance.audio.end_sample < job.until_sample:
            raise JobRefused("missing_audio", f"the audio of utterance {job.utterance} is not all here")
        audio = utterance.audio
        longest = self.model.config.audio_positions * FRAME
        if audio.start_sample != job.start_sample or not 0 < job.until_sample - job.start_sample <= longest:
            raise JobRefused(
                "bad_job",
                f"utterance {job.utterance} begins at {audio.start_sample} and may last {longest} samples; "
                f"[{job.start_sample}, {job.until_sample}) was asked for",
            )
        if job.kind == "sounds" and job.sounds is not None and job.sounds.until_sample > audio.end_sample:
            raise JobRefused("missing_audio", f"audio of utterance {job.utterance} is to be heard that is not here")
        if any(not 0 <= token < self.vocabulary.end_of_text for token in job.prefix):
            raise JobRefused("bad_job", "the prefix holds ids that are not text tokens")
        room = self.model.config.text_positions - _LONGEST_PROMPT - 1
        if len(job.prefix) > room:
            raise JobRefused("bad_job", f"the prefix has {len(job.prefix)} tokens, {room} are allowed")
        return Task(job, utterance, job.spec or stream.spec, audio)

    def _encode(self, tasks: Sequence[Task]) -> None:
        """Interims from the incremental states, finals from one bidirectional pass over their utterance."""
        self.encoder.advance((t.audio, t.job.until_sample) for t in tasks if t.job.kind == "interim")
        finals = [task for task in tasks if task.job.kind != "interim"]
        self._encode_whole(finals, full_window=False)

    def _encode_whole(self, tasks: Sequence[Task], full_window: bool) -> None:
        before = self.encoder.frames_computed
        wholes = self.encoder.encode_many([(t.utterance.audio, t.job.until_sample) for t in tasks], full_window)
        for task, whole in zip(tasks, wholes, strict=True):
            task.audio = whole
        self._frames_final += self.encoder.frames_computed - before

    def _choose_prompts(self, tasks: Sequence[Task]) -> None:
        """`<|startoftranscript|>`, then language and task where the model knows any, then `<|notimestamps|>`."""
        vocabulary = self.vocabulary
        if not vocabulary.languages:
            for task in tasks:
                task.prompt, task.language = (vocabulary.start_of_transcript, vocabulary.no_timestamps), "en"
            return
        unknown = [t for t in tasks if t.spec.language not in vocabulary.languages]
        # An interim keeps the utterance's first guess; finals look at all of it, an early one for itself only.
        guess = [t for t in unknown if t.utterance.language is None or t.job.kind != "interim"]
        if guess:
            codes = list(vocabulary.languages)
            scores = self.decoder.first_token_scores([t.audio for t in guess], list(vocabulary.languages.values()))
            for task, row in zip(guess, scores, strict=True):
                task.language = codes[int(row.argmax())]
                if task.job.kind != "early_final":
                    task.utterance.language = task.language
        for task in tasks:
            if task.spec.language in vocabulary.languages:
                task.language = task.spec.language
            task.language = task.language or task.utterance.language
            assert task.language is not None
            what = vocabulary.translate if task.spec.task == "translate" else vocabulary.transcribe
            prompt = (vocabulary.start_of_transcript, vocabulary.languages[task.language], what)
            task.prompt = (*(token for token in prompt if token is not None), vocabulary.no_timestamps)

    def _decode(self, tasks: Sequence[Task]) -> None:
        requests = [self._request(task) for task in tasks]
        for task, decoded in zip(tasks, self.decoder.decode(requests), strict=True):
            task.decoded, task.first = decoded, tuple(decoded.tokens)
        finals = [task for task in tasks if task.job.kind != "interim"]
        self._decode_without_repeats([task for task in finals if self.judge.repeats(task.decoded)])
        self._decode_full_window([task for task in finals if self.judge.trips(task.decoded)])

    def _request(self, task: Task, step: int = 0) -> DecodeRequest:
        """`step` on the ladder of temperatures: the first is greedy."""
        job, utterance = task.job, task.utterance
        bound = len(job.prefix)
        draft = utterance.draft if task.first is None else task.first
        known = utterance.draft[:bound] == job.prefix and not task.fallback
        return DecodeRequest(
            audio=task.audio,
            prompt=task.prompt,
            prefix=job.prefix,
            draft=draft[bound:] if draft[:bound] == job.prefix else (),
            prefix_logprobs=utterance.logprobs[:bound] if known else None,
            temperature=self.settings.fallback_temperatures[step] if task.fallback else 0.0,
            seed=job.start_sample + step,
            want_no_speech=job.kind != "interim",
            frontier=self.settings.frontier if job.kind == "interim" else None,
            no_fourth_repeat=task.no_fourth_repeat,
        )

    def _decode_without_repeats(self, finals: Sequence[Task]) -> None:
        """Finals that say something four times in a row: without that, unless the model is sure of the repetition."""
        if not finals:
            return
        for task in finals:
            task.no_fourth_repeat = True
        for task, without in zip(finals, self.decoder.decode([self._request(task) for task in finals]), strict=True):
            sure = self.judge.sure_of_repeat(task.decoded, without)
            task.repeats, task.fallback, task.no_fourth_repeat = sure, not sure, not sure
            task.decoded = task.decoded if sure else without

    def _decode_full_window(self, finals: Sequence[Task]) -> None:
        """Finals that tripped a guard: over the full window, hotter until one passes; if none does, the best of all."""
        if not finals:
            return
        for task in finals:
            task.fallback = True
            task.no_fourth_repeat |= not self.judge.repeats(task.decoded)
        self._encode_whole(finals, full_window=True)
        left = list(finals)
        for step in range(len(self.settings.fallback_temperatures)):
            answers = self.decoder.decode([self._request(task, step) for task in left])
            tripped = []
            for task, decoded in zip(left, answers, strict=True):
                if self.judge.trips(decoded):
                    tripped.append(task)
                    task.decoded = self.judge.better(task.decoded, decoded)
                else:
                    task.decoded = decoded
            left = tripped
            if not left:
                break
        for task in finals:
            task.repeats = self.judge.repeats(task.decoded)

    def _warm_up(self) -> None:
        """One interim and one final of a second of silence: the first client does not wait for lazy set-up."""
        self.open("warm-up", StreamSpec())
        self.append("warm-up", 0, 0, bytes(SAMPLE_RATE * _BYTES_PER_SAMPLE))
        for kind in ("interim", "final"):
            self.step([Job("warm-up", 0, 0, kind, 0, SAMPLE_RATE)])
        self.close("warm-up")


def _error(job: Job, code: ErrorCode, message: str) -> JobError:
    return JobError(job.stream, job.utterance, job.revision, code, message[:300])
