"""A row as tokens: the prompt that inference would give, and the answer that is learnt. The prompt is no label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from inference.qwen_audio.instructions import chat_instruction
from inference.qwen_audio.prompts import AudioSlot, Prompt, UserTurn, chat_prompt, task_prompt
from inference.qwen_audio.tags import to_tags
from inference.qwen_audio.tokenizer import QwenTokenizer
from training.qwen_audio.manifest import Row

IGNORED = -100
"""Label of a position that is not learnt, as in torch's cross-entropy."""


@dataclass(frozen=True, slots=True)
class Example:
    prompt: Prompt
    """With one slot for the clip."""
    answer: tuple[int, ...]
    """With the token that ends it; never empty."""

    def positions(self, span: int) -> int:
        """Positions of the model with a clip of so many (`ClipLengths.span`): the last token is never read."""
        return self.prompt.positions([span]) + len(self.answer) - 1

    def labels(self, span: int) -> list[int]:
        """Of each position the token that it is to predict, `IGNORED` within the prompt."""
        return [IGNORED] * (self.prompt.positions([span]) - 1) + list(self.answer)


def to_example(row: Row, tokenizer: QwenTokenizer, form: Literal["raw", "chat"] = "raw", tags: bool = True) -> Example:
    """
    Args:
        form, tags: see `training.qwen_audio.config.Data`.

    Raises:
        TaskError: the row's task cannot be asked.
    """
    specials = tokenizer.specials
    words = tokenizer.encode_text(row.target)
    if form == "chat":
        question = chat_instruction(row.task)
        return Example(chat_prompt([UserTurn(question, clips=1)], tokenizer), (*words, specials.im_end))
    prompt = task_prompt(to_tags(row.task), tokenizer) if tags else Prompt((AudioSlot(0),))
    return Example(prompt, (*words, specials.end_of_text))


def with_noise(read: tuple[int, ...], share: float, pieces: int, generator: np.random.Generator) -> tuple[int, ...]:
    """The answer as the decoder reads it, some tokens exchanged for other ordinary pieces.

    Args:
        share: of the tokens that are exchanged, on average.
        pieces: how many ordinary pieces there are; ids are 0 … pieces - 1.
    """
    if not share:
        return read
    exchanged = generator.random(len(read)) < share
    others = generator.integers(pieces, size=len(read))
    return tuple(int(other) if swap else token for token, other, swap in zip(read, others, exchanged, strict=True))
