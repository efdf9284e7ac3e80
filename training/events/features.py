"""What the live encoder holds of audio, block by block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.whisper.encoder import WhisperIncrementalEncoder
from inference.whisper.model import build_model
from inference.whisper.pooled import PooledBlock, PooledStates
from inference.whisper.weights import load_weights

_BATCH = 8
WINDOW = 28 * 16_000


class Ear:
    """The encoder of a Whisper, as a worker on a CPU runs it: in int8, on one thread."""

    def __init__(self, model: str = "tiny.en") -> None:
        torch.set_num_threads(1)
        weights = load_weights(model)
        self.encoder = WhisperIncrementalEncoder(
            build_model(weights, torch.device("cpu"), torch.float32, quantised=True)
        )

    def live(self, clips: Sequence[NDArray[np.int16]]) -> list[list[PooledBlock]]:
        """Blocks as a stream's captions would leave them; the last ones lack right context, as at a stream's end."""
        heard: list[list[PooledBlock]] = []
        for first in range(0, len(clips), _BATCH):
            states = []
            for pcm in clips[first : first + _BATCH]:
                state = self.encoder.new_state(0)
                state.pooled = PooledStates()
                state.append(pcm[:WINDOW].astype("<i2").tobytes())
                states.append(state)
            self.encoder.advance([(state, state.end_sample) for state in states])
            heard += [[*state.pooled.kept, *state.pooled.provisional] for state in states if state.pooled]
        return heard

    def whole(self, clips: Sequence[NDArray[np.int16]]) -> list[list[PooledBlock]]:
        """The same from one bidirectional pass over each, as a final's."""
        heard: list[list[PooledBlock]] = []
        for pcm in clips:
            state = self.encoder.new_state(0)
            state.pooled = PooledStates()
            state.append(pcm[:WINDOW].astype("<i2").tobytes())
            [whole] = self.encoder.encode_many([(state, state.end_sample)])
            heard.append(list(whole.pooled.kept) if whole.pooled else [])
        return heard


def stacked(blocks: Sequence[PooledBlock], most: int) -> Tensor:
    """(at most `most` blocks, layers, 2 * d_model), half precision."""
    return torch.stack([block.layers.flatten(1) for block in blocks[:most]]).half()
