"""The tag head: what the layers of Whisper's encoder hold of a block becomes scores of sounds.

Gong et al., 2023, "Whisper-AT" (arXiv 2307.03183): each layer is projected and attended over time, then the layers are
attended over; here over the few blocks that lead to the one that is scored, so that a stream can be heard live.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from inference.tagging.hearing import Hearing
from inference.tagging.hysteresis import Threshold
from inference.whisper.pooled import PooledBlock

BUNDLED: Final = "tiny.en-events.safetensors"


class HeadMismatchError(ValueError):
    """The head was trained on another encoder."""


class TagHead(nn.Module):
    """Implements `inference.tagging.hearing.Tagger` on pooled blocks."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, labels: Sequence[str], layers: int, d_model: int, context_blocks: int = 4, hidden: int = 64
    ) -> None:
        """`layers`: of the encoder, with what enters the first one."""
        super().__init__()
        self.labels = tuple(labels)
        self.layers, self.d_model, self.context_blocks, self.hidden = layers, d_model, context_blocks, hidden
        self.speech_below = 0.0
        self.thresholds: dict[str, Threshold] = {}
        self.register_buffer("mean", torch.zeros(layers, 2 * d_model))
        self.register_buffer("deviation", torch.ones(layers, 2 * d_model))
        self.project = nn.Parameter(torch.randn(layers, 2 * d_model, hidden) * (2 * d_model) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(layers, hidden))
        self.time_query = nn.Parameter(torch.zeros(layers, hidden))
        self.age = nn.Parameter(torch.zeros(context_blocks))
        self.layer_query = nn.Parameter(torch.zeros(2 * hidden))
        self.layer_bias = nn.Parameter(torch.zeros(layers))
        self.norm = nn.LayerNorm(2 * hidden)
        self.dropout = nn.Dropout(0.3)
        self.classify = nn.Linear(2 * hidden, len(self.labels))

    def embed(self, x: Tensor) -> Tensor:
        """Each block by itself: (..., layers, 2 * d_model) to (..., layers, hidden)."""
        normal = (x - self.mean) / self.deviation
        h = torch.einsum("...ld,ldh->...lh", normal, self.project) + self.bias
        embedded: Tensor = self.dropout(nn.functional.gelu(h))
        return embedded

    def attend(self, h: Tensor, known: Tensor) -> Tensor:
        """Logits (n, labels) of each item's newest block.

        Args:
            h: what `embed` made of the item's blocks, the newest last, (n, context_blocks, layers, hidden).
            known: bool (n, context_blocks): there is such a block.
        """
        weight = (h * self.time_query).sum(-1) + self.age[:, None]
        weight = weight.masked_fill(~known[:, :, None], -torch.inf).softmax(dim=1)
        lately = (weight[..., None] * h).sum(dim=1)
        both = torch.cat((h[:, -1], lately), dim=-1)  # (n, layers, 2 * hidden)
        share = ((both * self.layer_query).sum(-1) + self.layer_bias).softmax(dim=1)
        logits: Tensor = self.classify(self.dropout(self.norm((share[..., None] * both).sum(dim=1))))
        return logits

    @torch.inference_mode()
    def scores(self, recent: Sequence[Sequence[PooledBlock]]) -> Tensor:
        """Probabilities (n, labels), float32: of each item's newest block, the last of at most `context_blocks`."""
        lately = [blocks[-self.context_blocks :] for blocks in recent]
        each = {
            id(block): block for blocks in lately for block in blocks
        }  # a block is of several items: once is enough
        places = {block: place for place, block in enumerate(each)}
        embedded = self.embed(torch.stack([block.layers.flatten(1) for block in each.values()]))
        at = torch.zeros(len(recent), self.context_blocks, dtype=torch.long)
        known = torch.zeros(len(recent), self.context_blocks, dtype=torch.bool)
        for item, blocks in enumerate(lately):
            at[item, -len(blocks) :] = torch.tensor([places[id(block)] for block in blocks])
            known[item, -len(blocks) :] = True
        return self.attend(embedded[at], known).sigmoid()

    def hear(self, wanted: Sequence[Hearing]) -> list[tuple[float, ...]]:
        """See `Tagger`; on the CPU, wherever the encoder runs: it is some ten thousandths of its work."""
        return [tuple(round(score, 4) for score in row) for row in self.scores([w.recent for w in wanted]).tolist()]

    def clip_scores(self, blocks: Sequence[PooledBlock]) -> Tensor:
        """Probabilities (labels,) for a whole clip: the mean of each label's better half of the blocks."""
        each = self.scores([blocks[max(0, i + 1 - self.context_blocks) : i + 1] for i in range(len(blocks))])
        return each.sort(dim=0, descending=True).values[: -(-len(blocks) // 2)].mean(dim=0)

    def fits(self, layers: int, d_model: int) -> bool:
        """It was trained on an encoder with so many layers of this width."""
        return (self.layers, self.d_model) == (layers + 1, d_model)

    @classmethod
    def load(cls, file: Path | None = None) -> TagHead:
        """Reads a head; None: the one that ships with the service.

        Raises:
            HeadMismatchError: the file is not of a head.
        """
        if file is None:
            with as_file(files("inference.tagging") / "weights" / BUNDLED) as bundled:
                return cls.load(bundled)
        from safetensors import safe_open

        with safe_open(file, framework="pt") as weights:
            about = weights.metadata() or {}
            tensors = {name: weights.get_tensor(name).float() for name in weights.keys()}  # noqa: SIM118
        try:
            shape = json.loads(about["head"])
            head = cls(**shape)
            head.load_state_dict(tensors)
            head.speech_below = float(about["speech_below"])
            limits = json.loads(about["thresholds"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise HeadMismatchError(f"{file} is not a tag head: {error}") from error
        head.thresholds = {label: Threshold(on, off) for label, (on, off) in limits.items()}
        return head.eval()

    def save(self, file: Path, about: dict[str, str]) -> None:
        """Writes it in half precision, with what it is and `about` how it was made."""
        from safetensors.torch import save_file

        shape = {
            "labels": self.labels,
            "layers": self.layers,
            "d_model": self.d_model,
            "context_blocks": self.context_blocks,
            "hidden": self.hidden,
        }
        limits = {label: (each.on, each.off) for label, each in self.thresholds.items()}
        own = {"head": json.dumps(shape), "thresholds": json.dumps(limits), "speech_below": str(self.speech_below)}
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: value.half().contiguous() for name, value in self.state_dict().items()}, file, {**about, **own}
        )
