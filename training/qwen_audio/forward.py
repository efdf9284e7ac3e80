"""The native model's forward pass for training: as `QwenAudio.forward`, with logits where something is learnt only.

A vocabulary of 155,947 makes logits the largest tensor of a step, and most positions are prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inference.qwen_audio.model import QwenAudio
from inference.qwen_audio.prompts import AudioSlot
from training.qwen_audio.examples import IGNORED, Example


def learnt_logits(
    model: QwenAudio, examples: Sequence[Example], heard: Sequence[Tensor], read: Sequence[tuple[int, ...]]
) -> tuple[Tensor, Tensor]:
    """
    Args:
        heard: of each example its clip's embeddings, (span, hidden_size).
        read: of each example the answer as the decoder reads it, without its end.

    Returns:
        logits (m, vocab_size) and labels int64 (m,) of the positions that have a label, example after example.
    """
    embedded = [_embed(model, *each) for each in zip(examples, heard, read, strict=True)]
    states = model.hidden_states(embedded)
    labels = [example.labels(clip.shape[0]) for example, clip in zip(examples, heard, strict=True)]
    wanted = torch.tensor([label for row in labels for label in row], device=states.device)
    learnt = wanted != IGNORED
    return model.lm_head(states[learnt]), wanted[learnt]


def _embed(model: QwenAudio, example: Example, heard: Tensor, read: tuple[int, ...]) -> Tensor:
    parts = [heard if isinstance(part, AudioSlot) else torch.tensor(part) for part in example.prompt.parts]
    return model.embed([*parts, torch.tensor(read, dtype=torch.long)])
