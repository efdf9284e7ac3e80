"""The audio side of a step: each job's clip becomes a cache that ends with it, and many clips are read at once.

An interim goes on from what its utterance's earlier ones have heard ("blocks" of `incremental`). A final, an early one
and tasks hear the clip as the original does, in one piece; that cache stays, so that they share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.adapters.base import JobRefused
from inference.pool.interface import ErrorCode, Job, JobError, StreamSpec
from inference.pool.tasks import Task
from inference.qwen_audio.asking import Asker, caption_task
from inference.qwen_audio.cache import CacheError, CacheLedger, KvCache
from inference.qwen_audio.features import clip_lengths, clip_mel
from inference.qwen_audio.incremental import IncrementalSettings
from inference.qwen_audio.live import SUFFIX_TOKENS, Listener
from inference.qwen_audio.model import QwenAudio
from inference.qwen_audio.replies import Question, Writing
from inference.qwen_audio.tags import TaskError, language_tokens
from inference.qwen_audio.utterances import Live, Utterance, Whole

_PREFILL_POSITIONS = 4096
"""Clips are read in rounds of at most so many positions, or one clip."""


@dataclass(eq=False, slots=True)
class Running:
    """A job of the present step."""

    job: Job
    utterance: Utterance
    spec: StreamSpec
    goes_on: bool = False
    """An answer job whose answer was begun by an earlier one."""
    audio: KvCache | None = None
    """Of an interim: it ends with the clip, and is this job's own."""
    language: str | None = None
    """That the model heard."""
    text: Writing | None = None
    """Of a caption."""
    refusal: JobError | None = None

    @property
    def samples(self) -> int:
        return self.job.until_sample - self.job.start_sample

    @property
    def question(self) -> Question:
        """Of an answer job."""
        return (self.job.tasks, self.job.chat, self.samples)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is begun to be asked about the clip."""
        if self.job.kind != "answer":
            return (caption_task(self.spec),)
        return () if self.goes_on else self.job.tasks

    @property
    def reads_whole(self) -> bool:
        """Its clip is needed in one piece."""
        if self.job.kind == "answer":
            return self.job.chat is None and not self.goes_on
        return self.job.kind != "interim"

    def refuse(self, error: Exception) -> None:
        if self.audio is not None:
            self.audio.release()
            self.audio = None
        job, (code, message) = self.job, _told(error)
        self.refusal = JobError(job.stream, job.utterance, job.revision, code, message[:300])


class Hearing:
    """Counts what it costs since the begin."""

    def __init__(self, model: QwenAudio, asker: Asker, settings: IncrementalSettings, ledger: CacheLedger) -> None:
        self.model = model
        self.ledger = ledger
        self.listener = Listener(model, settings, ledger)
        self.frames_whole = 0
        """Encoder frames of 20 ms, of clips that were encoded in one piece."""
        self.calls = 0
        """Passes of the language model over audio, per clip."""
        self.passes = 0
        self._asker = asker
        self._languages = language_tokens(asker.tokenizer.specials)
        self._start = torch.tensor([asker.tokenizer.specials.id("startoftranscript")])

    @property
    def frames(self) -> int:
        return self.frames_whole + self.listener.encoder.frames_computed

    def listen(self, interims: Sequence[Running]) -> None:
        """Gives each a cache of its own. Raises CacheError; can be called again for fewer."""
        lives = [self._live(each.utterance, each.samples) for each in interims]
        clips = [live.clip for live in lives]
        known = [clip.cache.length for clip in clips]
        self.listener.advance(clips)
        for live in lives:
            live.charge()
        heard = self.listener.heard(clips)
        for each, cache in zip(interims, heard, strict=True):
            each.audio = cache
        moved = sum(clip.cache.length > before for clip, before in zip(clips, known, strict=True))
        self._count(len(clips))
        if moved:
            self._count(moved)

    def read_whole(self, running: Sequence[Running]) -> None:
        """Fills `whole` of their utterances where it does not end where the job does. Raises CacheError."""
        lacking = []
        for each in running:
            whole = each.utterance.whole
            if whole is None or whole.samples != each.samples:
                each.utterance.drop_whole()
                lacking.append(each)
        encoded = self.encode([each.utterance.samples(0, each.samples) for each in lacking])
        before = torch.tensor(self._asker.before, dtype=torch.long)
        for round_ in _rounds([len(before) + clip.shape[0] for clip in encoded]):
            lengths = [len(before) + encoded[at].shape[0] + SUFFIX_TOKENS for at in round_]
            caches = [self.model.new_cache(length, self.ledger) for length in lengths]
            try:
                self.model.prefill(caches, [[before, encoded[at]] for at in round_])
            except BaseException:
                for cache in caches:
                    cache.release()
                raise
            self._count(len(caches))
            for at, cache in zip(round_, caches, strict=True):
                lacking[at].utterance.whole = Whole(lacking[at].samples, cache)

    def encode(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """Embeddings (span, hidden_size) of clips, float32 (n,), each in one piece."""
        self.frames_whole += sum(clip_lengths(clip.shape[0]).frames for clip in clips)
        return self.model.encode_audio([clip_mel(clip, self.model.config.audio.n_mels) for clip in clips])

    def name_languages(self, running: Sequence[Running]) -> None:
        """Sets `language` to the likeliest one after the clip. Raises CacheError."""
        lacking = []
        for each in running:
            if each.audio is None and each.utterance.whole is not None and each.utterance.whole.language is not None:
                each.language = each.utterance.whole.language
            else:
                lacking.append(each)
        if not lacking:
            return
        forks = [self.clip(each).fork()[0] for each in lacking]
        try:
            logits = self.model.prefill(forks, [[self._start]] * len(forks))
        finally:
            for fork in forks:
                fork.release()
        self._count(len(forks))
        codes = list(self._languages)
        for each, row in zip(lacking, logits, strict=True):
            each.language = codes[int(row[list(self._languages.values())].argmax())]
            if each.audio is None and each.utterance.whole is not None:
                each.utterance.whole.language = each.language

    def clip(self, running: Running) -> KvCache:
        """The cache that ends with its clip."""
        if running.audio is not None:
            return running.audio
        assert running.utterance.whole is not None
        return running.utterance.whole.cache

    def _live(self, utterance: Utterance, samples: int) -> Live:
        """What is heard of an utterance, given its samples up to the job's end; anew if more was heard before."""
        if utterance.live is not None and utterance.live.clip.stream.samples > samples:
            utterance.drop_live()
        if utterance.live is None:
            utterance.live = Live(self.listener.open(self._asker.before), self.ledger)
        stream = utterance.live.clip.stream
        if stream.samples < samples:
            stream.append(utterance.samples(stream.samples, samples))
        return utterance.live

    def _count(self, clips: int) -> None:
        self.calls += clips
        self.passes += 1


def _rounds(positions: Sequence[int]) -> Iterator[list[int]]:
    """Places in consecutive rounds."""
    round_: list[int] = []
    total = 0
    for place, count in enumerate(positions):
        if round_ and total + count > _PREFILL_POSITIONS:
            yield round_
            round_, total = [], 0
        round_.append(place)
        total += count
    if round_:
        yield round_


def _told(error: Exception) -> tuple[ErrorCode, str]:
    match error:
        case JobRefused():
            return error.code, str(error)
        case TaskError():
            return "bad_job", str(error)
        case CacheError():
            return "out_of_memory", f"there is no room for what would be kept of this job: {error}"
        case torch.OutOfMemoryError():
            return "out_of_memory", f"the device has no memory left for this job: {error}"
        case _:
            return "internal", f"{type(error).__name__}: {error}"
