"""Rows of one split, ready to be learnt: their examples, their lengths, and how their clips are heard in a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inference.qwen_audio.features import TOKEN_SAMPLES, clip_mel
from inference.qwen_audio.model import QwenAudio
from inference.qwen_audio.tokenizer import QwenTokenizer
from inference.whisper.features import HOP, SAMPLE_RATE
from training.qwen_audio.audio import EncoderCache, masked, project, read_clip, span_of
from training.qwen_audio.config import Augment, Data
from training.qwen_audio.examples import to_example, with_noise
from training.qwen_audio.forward import learnt_logits
from training.qwen_audio.manifest import Row

_PLAIN = Augment()


class Lessons:
    """Rows that fit; those that are too long are counted in `left_out`."""

    def __init__(
        self, rows: Sequence[Row], tokenizer: QwenTokenizer, data: Data, augment: Augment = _PLAIN,
        cache: EncoderCache | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            cache: of the encoder's states; None: the encoder is run in every step.

        Raises:
            TaskError: a row's task cannot be asked.
        """
        slowest = min(augment.speeds)
        sized = []
        for row in rows:  # counted with tags in any case, so that the ablation has the same batches
            positions = to_example(row, tokenizer, data.form).positions(span_of(row.seconds, slowest))
            sized.append((row, to_example(row, tokenizer, data.form, data.tags), positions))
        kept = [each for each in sized if each[2] <= data.positions_per_row]
        self.rows = [row for row, _, _ in kept]
        self.positions = [positions for _, _, positions in kept]
        self.left_out = len(rows) - len(kept)
        self._examples = [example for _, example, _ in kept]
        self._augment, self._cache = augment, cache
        self._pieces = tokenizer.specials.base

    @property
    def clips(self) -> int:
        """How many clips there are, each at each of its speeds."""
        return len({row.audio for row in self.rows}) * len(self._augment.speeds)

    def answer_tokens(self, row: int) -> int:
        """Labels of the row with this number."""
        return len(self._examples[row].answer)

    def prepare(self, done: Callable[[int], None] = lambda count: None) -> None:
        """Fills the cache, if there is one. `Trainer.train` does so too; what is there is not made again.

        Args:
            done: hears of each number of clips that are ready.
        """
        if self._cache is not None:
            self._cache.prepare([(row.audio, speed) for row in self.rows for speed in self._augment.speeds], done)

    def learnt(
        self, model: QwenAudio, batch: Sequence[int], generator: np.random.Generator
    ) -> tuple[Tensor, Tensor, list[int]]:
        """What the model makes of a batch.

        Args:
            batch: numbers of rows.
            generator: of augmentation.

        Returns:
            logits (m, vocab_size), labels (m,), and how many of them are each row's.
        """
        examples = [self._examples[at] for at in batch]
        heard = self._hear(model, batch, generator)
        noise = self._augment.token_noise
        read = [with_noise(example.answer[:-1], noise, self._pieces, generator) for example in examples]
        logits, labels = learnt_logits(model, examples, heard, read)
        return logits, labels, [len(example.answer) for example in examples]

    def _hear(self, model: QwenAudio, batch: Sequence[int], generator: np.random.Generator) -> list[Tensor]:
        augment = self._augment
        clips = [(self.rows[at].audio, augment.speeds[generator.integers(len(augment.speeds))]) for at in batch]
        if self._cache is None:
            mels = [clip_mel(read_clip(*clip), model.config.audio.n_mels) for clip in clips]
            return model.encode_audio([masked(mel, augment, SAMPLE_RATE / HOP, generator) for mel in mels])
        states = [self._cache.get(*clip) for clip in clips]
        hidden = [masked(each.T, augment, SAMPLE_RATE / TOKEN_SAMPLES, generator).T for each in states]
        return project(model.audio, [each.to(model.device) for each in hidden])


def default_cache(output: Path) -> Path:
    """Where the states of frozen encoders are kept: beside the run, for all runs of its folder."""
    return output.parent / "encoder-states"


@torch.no_grad()
def losses_by_group(model: QwenAudio, lessons: Lessons, positions_per_batch: int) -> dict[str, float]:
    """Mean loss per token of each group, in nats; clips as they are."""
    totals: dict[str, list[float]] = {}
    generator = np.random.default_rng(0)
    for batch in in_order(lessons.positions, positions_per_batch):
        logits, labels, counts = lessons.learnt(model, batch, generator)
        losses = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        for at, part in zip(batch, losses.split(counts), strict=True):
            total = totals.setdefault(lessons.rows[at].group, [0.0, 0.0])
            total[0] += float(part.sum())
            total[1] += len(part)
    return {group: loss / tokens for group, (loss, tokens) in sorted(totals.items())}


def in_order(positions: Sequence[int], limit: int) -> list[list[int]]:
    """All rows once, packed up to the limit."""
    batches: list[list[int]] = []
    room = 0
    for at, count in enumerate(positions):
        if count > room or not batches:
            batches.append([])
            room = limit
        batches[-1].append(at)
        room -= count
    return batches
