"""The text side of a step: all that is to be written, in one batch of sequences.

A caption is written to its end. An answer goes on by at most `STEP_TOKENS` in a step, and waits in the batch for the
next job that asks for it, so that a long one does not hold up the captions beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from inference.adapters.base import JobRefused
from inference.pool.interface import SAMPLE_RATE
from inference.qwen_audio.asking import TASK_TOKENS, Asker, caption_task
from inference.qwen_audio.cache import CacheError, KvCache
from inference.qwen_audio.generate import Decoding, GenerationBatch, Progress
from inference.qwen_audio.hearing import Hearing, Running
from inference.qwen_audio.model import QwenAudio
from inference.qwen_audio.prompts import AudioSlot
from inference.qwen_audio.replies import Asked, Reply, Writing
from inference.qwen_audio.tags import TaskError
from inference.qwen_audio.words import CaptionWords

STEP_TOKENS = 8
_SPARE_TOKENS = 16
_TOKENS_PER_S = 12
"""More than anybody says in a second; a text that goes on is a loop."""
_TIMED_TOKENS_PER_S = 36
"""The same with stamps and silences around words."""
_SEEDS = 1 << 63


class Writer:
    def __init__(self, model: QwenAudio, asker: Asker, captions: CaptionWords, hearing: Hearing) -> None:
        self.batch = GenerationBatch(model)
        self._model = model
        self._asker = asker
        self._hearing = hearing
        self._ends = asker.tokenizer.specials.ends
        self._allowed = {timed: self._caption_ids(captions, timed) for timed in (False, True)}

    def begin(self, running: Running) -> None:
        """Puts what the job asks for into the batch, unless an earlier one did. Raises JobRefused, CacheError."""
        if running.job.kind != "answer":
            self._begin_caption(running)
        elif not running.goes_on:
            running.utterance.drop_asked(self.batch)
            begin = self._begin_tasks if running.job.chat is None else self._begin_chat
            running.utterance.asked = begin(running)

    def write(self, running: Sequence[Running], fail: Callable[[Running, Exception], None]) -> None:
        """Captions to their end, answers by `STEP_TOKENS`. `fail` is told of the jobs that cannot go on."""
        going: dict[int, tuple[Running, Writing, int | None]] = {}
        for each in running:
            for text in _texts(each):
                if text.finish is None:
                    most = len(text.tokens) + STEP_TOKENS if each.job.kind == "answer" else None
                    going[text.key] = (each, text, most)
        while going:
            progress, failed = self._advance(list(going))
            for key, made in progress.items():
                each, text, most = going[key]
                text.take(made)
                if text.finish == "full":  # positions were counted before: it is memory
                    failed[key] = CacheError("what is written does not fit")
                elif text.finish is not None or (most is not None and len(text.tokens) >= most):
                    del going[key]
            for key, error in failed.items():
                if key in going:
                    lost = going[key][0]
                    fail(lost, error)
                    for text in _texts(lost):
                        self.batch.leave(text.key)
                    going = {other: entry for other, entry in going.items() if entry[0] is not lost}

    def _advance(self, keys: Sequence[int]) -> tuple[dict[int, Progress], dict[int, Exception]]:
        """One token for each; should they fail together, each alone. What was made, and what failed."""
        try:
            return self.batch.step(1, keys), {}
        except Exception as error:  # noqa: BLE001 (whatever it was, each is tried alone)
            if len(keys) == 1:
                return {}, {keys[0]: error}
        made: dict[int, Progress] = {}
        failed: dict[int, Exception] = {}
        for key in keys:
            one, lost = self._advance([key])
            made |= one
            failed |= lost
        return made, failed

    # -- what is put into the batch --------------------------------------------------------------------------------

    def _begin_caption(self, running: Running) -> None:
        task = self._asker.settled(caption_task(running.spec), running.language)
        timed = task.name == "word_timestamps"
        after, bound = self._asker.after(task), running.job.prefix
        cache = running.audio if running.audio is not None else self._hearing.clip(running).fork()[0]
        running.audio = None
        most = max(_SPARE_TOKENS, most_tokens(running.samples, timed) - len(bound))
        most = min(most, cache.room - len(after) - len(bound))
        if most < 1:
            cache.release()
            raise JobRefused("bad_job", f"a prefix of {len(bound)} tokens leaves no room for more")
        key = self._join(cache, after, Decoding(self._ends, most), bound, self._allowed[timed])
        running.text = Writing(key)

    def _begin_tasks(self, running: Running) -> Asked:
        asked = Asked(running.question, running.samples / SAMPLE_RATE)
        tasks = running.job.tasks
        forks = self._hearing.clip(running).fork(len(tasks))
        try:
            for task in tasks:
                try:
                    after = self._asker.after(self._asker.settled(task, running.language))
                except TaskError as error:
                    asked.replies.append(Reply(task, None, str(error)))
                    continue
                most = min(TASK_TOKENS, forks[0].room - len(after))
                if most < 1:
                    reason = f"a question of {len(after)} tokens leaves no room for an answer"
                    asked.replies.append(Reply(task, None, reason))
                    continue
                key = self._join(forks.pop(0), after, Decoding(self._ends, most))
                asked.replies.append(Reply(task, Writing(key)))
            for fork in forks:
                fork.release()
        except BaseException:
            asked.leave(self.batch)
            for fork in forks:
                fork.release()
            raise
        return asked

    def _begin_chat(self, running: Running) -> Asked:
        chat = running.job.chat
        assert chat is not None
        conversation = self._asker.conversation(chat, running.samples)
        ends = torch.tensor(chat.clip_samples).cumsum(0).tolist()
        begins = [0, *ends[:-1]]
        pcm = [running.utterance.samples(first, until) for first, until in zip(begins, ends, strict=True)]
        clips = self._hearing.encode(pcm)
        prompt = [
            clips[part.index] if isinstance(part, AudioSlot) else torch.tensor(part)
            for part in conversation.prompt.parts
        ]
        decoding = Decoding(self._ends, conversation.max_new, chat.temperature, chat.top_p, seed=chat.seed % _SEEDS)
        key = self.batch.join(self._model.new_cache(ledger=self._hearing.ledger), prompt, decoding)
        longest = max(chat.clip_samples) / SAMPLE_RATE
        return Asked(running.question, longest, [Reply(None, Writing(key))])

    def _join(
        self,
        cache: KvCache,
        after: Sequence[int],
        decoding: Decoding,
        bound: Sequence[int] = (),
        allowed: Tensor | None = None,
    ) -> int:
        """The cache is the batch's, or released."""
        try:
            return self.batch.join(cache, [torch.tensor(after)], decoding, bound=bound, allowed=allowed)
        except BaseException:
            cache.release()
            raise

    def _caption_ids(self, captions: CaptionWords, timed: bool) -> Tensor:
        """(vocab_size,) bool: what a caption may have, and what ends it."""
        size = self._model.config.vocab_size
        may = [captions.may_be(token, timed) or token in self._ends for token in range(size)]
        return torch.tensor(may, device=self._model.device)


def most_tokens(samples: int, timed: bool) -> int:
    """Of a caption of so many samples; `timed`: with stamps."""
    rate = _TIMED_TOKENS_PER_S if timed else _TOKENS_PER_S
    return _SPARE_TOKENS + math.ceil(rate * samples / SAMPLE_RATE)


def _texts(running: Running) -> list[Writing]:
    if running.text is not None:
        return [running.text]
    asked = running.utterance.asked
    return asked.writings if running.job.kind == "answer" and asked is not None else []
