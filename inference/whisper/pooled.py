"""What each encoder layer holds, block by block: mean and deviation over the block's frames.

Gong et al., 2023, "Whisper-AT: Noise-Robust Automatic Speech Recognizers are Also Strong General Audio Event
Taggers" (arXiv 2307.03183): all layers of Whisper's encoder together know what is heard beside words. The captions'
passes compute them anyhow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from inference.pool.interface import BLOCK_SAMPLES
from inference.whisper.features import FRAME

if TYPE_CHECKING:
    from inference.whisper.encoder import Span

_BLOCK_FRAMES = BLOCK_SAMPLES // FRAME


@dataclass(frozen=True, slots=True)
class PooledBlock:
    """The frames of one block of the sample clock's grid that an utterance has."""

    first_sample: int
    until_sample: int
    layers: Tensor
    """(1 + encoder layers, 2, d_model), float32: mean and deviation of what enters the layers and leaves each."""


@dataclass(slots=True)
class PooledStates:
    """Of one utterance."""

    kept: list[PooledBlock] = field(default_factory=list)
    """Oldest first: blocks that were run with all of their right context."""
    provisional: list[PooledBlock] = field(default_factory=list)
    """What the newest pass covered beyond them."""


class Pooling:
    """Watches one pass. Order of calls: `layer` with what enters the layers, then with what leaves each; `keep`."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._pieces = list(_pieces(spans))
        self._moments: list[list[Tensor]] = [[] for _ in self._pieces]

    def layer(self, x: Tensor) -> None:
        """x: the rows of all spans, (rows, d_model). Each block is summed by itself, whatever else is in the batch."""
        for piece, moments in zip(self._pieces, self._moments, strict=True):
            deviation, mean = torch.std_mean(x[piece.row : piece.row + piece.frames].float(), dim=0, correction=0)
            moments.append(torch.stack((mean, deviation)))

    def keep(self) -> None:
        """Gives the blocks to their utterances."""
        for piece in self._pieces:
            piece.states.provisional.clear()
        for piece, moments in zip(self._pieces, self._moments, strict=True):
            first = piece.start_sample + piece.first * FRAME
            block = PooledBlock(first, first + piece.frames * FRAME, torch.stack(moments).cpu())
            (piece.states.kept if piece.kept else piece.states.provisional).append(block)


@dataclass(frozen=True, slots=True)
class _Piece:
    states: PooledStates
    start_sample: int
    first: int
    frames: int
    row: int
    kept: bool


def _pieces(spans: Sequence[Span]) -> Iterator[_Piece]:
    """The spans, cut at the grid; without the silence after their heads."""
    row = 0
    for span in spans:
        if (states := span.state.pooled) is not None:
            start = span.state.start_sample
            offset, first = start // FRAME, span.first
            head = min(span.head, -(-span.head_samples // FRAME))  # behind the audio's end there is nothing to hear
            while first < head:
                until = min(((first + offset) // _BLOCK_FRAMES + 1) * _BLOCK_FRAMES - offset, head)
                yield _Piece(states, start, first, until - first, row + first - span.first, until <= span.keep)
                first = until
        row += span.rows
