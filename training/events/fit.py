"""Fits a head to blocks whose truth is known, and finds the thresholds of its labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from inference.tagging.head import TagHead
from inference.tagging.hysteresis import Threshold
from training.events.sources import LABELS

CONTEXT = 4
_CLIPS = 24  # that make a batch
_RATE = 2e-3
_DECAY = 1e-2


@dataclass(frozen=True, slots=True)
class Blocks:
    """Of many clips, one after the other."""

    x: Tensor
    """(n, layers, 2 * d_model), half precision."""
    truth: Tensor
    """(n, labels): 1, 0, or -1 where it is not said."""
    place: Tensor
    """int (n,): how many blocks of its clip come before."""
    fold: Tensor
    """int (n,)."""

    def pick(self, chosen: Tensor) -> Blocks:
        return Blocks(self.x[chosen], self.truth[chosen], self.place[chosen], self.fold[chosen])

    def windows(self) -> tuple[Tensor, Tensor]:
        """Of each block the places of those that lead to it and its own, (n, CONTEXT), and which of them there are."""
        back = torch.arange(CONTEXT - 1, -1, -1)
        known = back <= self.place[:, None]
        return (torch.arange(len(self.place))[:, None] - back).clamp(min=0), known

    def clips(self) -> list[Tensor]:
        """The places of each clip's blocks."""
        starts = torch.nonzero(self.place == 0).flatten().tolist()
        return [torch.arange(first, until) for first, until in pairwise([*starts, len(self.place)])]


def fit(blocks: Blocks, epochs: int, seed: int, tell: Callable[[], None]) -> TagHead:
    """`tell` is called after each epoch."""
    torch.manual_seed(seed)
    layers, width = blocks.x.shape[1:]
    head = TagHead(LABELS, layers, width // 2, CONTEXT)
    sample = blocks.x[torch.randperm(len(blocks.x))[:20_000]].float()
    head.mean, head.deviation = sample.mean(0), sample.std(0).clamp(min=1e-3)
    clips = blocks.clips()
    steps = epochs * -(-len(clips) // _CLIPS)
    optimiser = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    said = blocks.truth >= 0
    often = ((blocks.truth == 1).sum(0) / said.sum(0)).clamp(min=0.01)
    weight = (0.25 / often).clamp(1, 6)  # rare labels are not drowned
    head.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(clips)).split(_CLIPS):
            batch = blocks.pick(torch.cat([clips[clip] for clip in chosen.tolist()]))
            x, truth = batch.x.float(), batch.truth
            at, known = batch.windows()
            logits = head.attend(head.embed(x + 0.1 * head.deviation * torch.randn_like(x))[at], known)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                logits, truth.clamp(min=0), reduction="none", pos_weight=weight
            )
            optimiser.zero_grad()
            (loss * (truth >= 0)).sum(1).mean().backward()
            optimiser.step()
            schedule.step()
        tell()
    return head.eval()


@torch.inference_mode()
def predict(head: TagHead, blocks: Blocks) -> Tensor:
    """Probabilities (n, labels)."""
    embedded = torch.cat([head.embed(part.float()) for part in blocks.x.split(2048)])
    at, known = blocks.windows()
    return head.attend(embedded[at], known).sigmoid()


def thresholds(scores: Tensor, truth: Tensor, false_per_hour: float) -> dict[str, Threshold]:
    """Where each label begins: at its best F1 of blocks, or higher where more blocks than allowed begin falsely.

    Args:
        scores, truth: (n, labels) of blocks that the head was not fitted to.
        false_per_hour: blocks without the label that may pass, of 7200.
    """
    found: dict[str, Threshold] = {}
    for column, label in enumerate(LABELS):
        said = truth[:, column] >= 0
        score, holds = scores[said, column], truth[said, column] == 1
        best, best_f1 = 0.95, 0.0
        for on in torch.arange(0.2, 0.96, 0.01).tolist():
            passed = score >= on
            hits, false = int((passed & holds).sum()), int((passed & ~holds).sum())
            f1 = 2 * hits / max(1, hits + false + int(holds.sum()))
            if f1 > best_f1 and false / len(score) * 7200 <= false_per_hour:
                best, best_f1 = on, f1
        found[label] = Threshold(round(best, 2), round(0.5 * best, 2))
    return found
