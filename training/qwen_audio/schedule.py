"""How the learning rate goes, and which weights decay."""

from __future__ import annotations

import math

import torch
from torch import nn

from training.qwen_audio.config import Optimiser


def learning_rate(step: int, settings: Optimiser) -> float:
    """Of the step with this number, from 0: linear warm-up to the peak, then half a cosine down to its floor."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    part = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    lowest = settings.floor * settings.learning_rate
    return lowest + (settings.learning_rate - lowest) * 0.5 * (1 + math.cos(math.pi * part))


def make_optimiser(model: nn.Module, settings: Optimiser) -> torch.optim.AdamW:
    """AdamW over what is trained; matrices other than embeddings decay."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [each for each in trained if each.dim() > 1 and id(each) not in embeddings]
    others = [each for each in trained if each.dim() <= 1 or id(each) in embeddings]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, eps=settings.eps)
