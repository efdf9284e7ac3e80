"""What N tasks on one clip cost: each as a request of its own, all in one batch, and forked from one audio prefix."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.ceilings import synchronise
from benchmarks.qwen_audio.geometry import SECOND, noise
from inference.qwen_audio.features import clip_mel
from inference.qwen_audio.generate import Decoding, GenerationBatch
from inference.qwen_audio.model import QwenAudio

SUFFIX_TOKENS = 6
"""Of the tags that name a task."""


class TasksOnOneClip:
    """A clip, and N ways to ask about it; each way decodes `answer_tokens` per task, greedily, without a stop."""

    def __init__(self, model: QwenAudio, clip_s: float, tasks: int, answer_tokens: int) -> None:
        self.model = model
        self.pcm = noise(round(clip_s * SECOND))
        random = torch.Generator().manual_seed(1)
        self.suffixes = torch.randint(0, model.config.vocab_size, (tasks, SUFFIX_TOKENS), generator=random)
        self.decoding = Decoding(frozenset(), max_new=answer_tokens)

    def separate(self) -> list[tuple[int, ...]]:
        """One request after the other, as if the others were not there: encode, read, decode."""
        answers = []
        for suffix in self.suffixes:
            batch = self._new_batch()
            answers += self._answers(batch, [self._join_whole(batch, self._encode(), suffix)])
        return answers

    def batched(self) -> list[tuple[int, ...]]:
        """The clip is encoded once, and its frames are read by each task's prompt, all in one batch."""
        batch, heard = self._new_batch(), self._encode()
        return self._answers(batch, [self._join_whole(batch, heard, suffix) for suffix in self.suffixes])

    def shared(self) -> list[tuple[int, ...]]:
        """The clip is encoded and read once; the tasks are forks of that."""
        batch, prefix = self._new_batch(), self.model.new_cache()
        self.model.prefill([prefix], [[self._encode()]])
        forks = zip(prefix.fork(len(self.suffixes)), self.suffixes, strict=True)
        keys = [batch.join(fork, [suffix], self.decoding) for fork, suffix in forks]
        prefix.release()
        return self._answers(batch, keys)

    def _new_batch(self) -> GenerationBatch:
        return GenerationBatch(self.model, prefill_positions=1 << 20)

    @torch.inference_mode()
    def _encode(self) -> Tensor:
        return self.model.encode_audio([clip_mel(self.pcm, self.model.config.audio.n_mels)])[0]

    def _join_whole(self, batch: GenerationBatch, heard: Tensor, suffix: Tensor) -> int:
        return batch.join(self.model.new_cache(), [heard, suffix], self.decoding)

    def _answers(self, batch: GenerationBatch, keys: list[int]) -> list[tuple[int, ...]]:
        made = batch.step(self.decoding.max_new)
        return [made[key].ids for key in keys]


def measure_tasks(
    model: QwenAudio, clip_s: float, counts: list[int], answers: list[int], repeats: int
) -> list[dict[str, Any]]:
    """Medians of seconds, the three ways taken in turn so that a busy moment falls on all of them."""
    rows = []
    for answer_tokens in answers:
        for count in counts:
            case = TasksOnOneClip(model, clip_s, count, answer_tokens)
            ways = {"separate": case.separate, "batched": case.batched, "shared": case.shared}
            found = {name: way() for name, way in ways.items()}
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(repeats):
                for name, way in ways.items():
                    seconds[name].append(_seconds(way, model.device))
            medians = {name: statistics.median(each) for name, each in seconds.items()}
            cheaper = medians["separate"] / medians["shared"]
            rows.append({
                "tasks": count,
                "answer_tokens": answer_tokens,
                "seconds": {name: round(each, 4) for name, each in medians.items()},
                "seconds_range": {name: [round(min(each), 4), round(max(each), 4)] for name, each in seconds.items()},
                "shared_is_cheaper_by": round(cheaper, 2),
                "of_the_tasks": round(cheaper / count, 3),
                "same_answers": found["separate"] == found["batched"] == found["shared"],
            })  # fmt: skip
    return rows


def _seconds(way: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    began = time.perf_counter()
    way()
    synchronise(device)
    return time.perf_counter() - began
