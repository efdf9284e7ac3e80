"""What is kept of an utterance between steps, and the silence that stands for the rest of the window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inference.pool.interface import BLOCK_SAMPLES
from inference.whisper.features import LogMel
from inference.whisper.pooled import PooledStates


class KeyValues:
    """Keys and values of every layer for the frames of one utterance: (layers, 2, heads, capacity, head size)."""

    def __init__(
        self, layers: int, heads: int, head_size: int, device: torch.device, dtype: torch.dtype, step: int = 250
    ) -> None:
        """`step`: capacity is reserved in steps of so many frames."""
        self._data = torch.empty((layers, 2, heads, 0, head_size), device=device, dtype=dtype)
        self._step = step

    def reserve(self, frames: int) -> None:
        layers, two, heads, have, size = self._data.shape
        if frames <= have:
            return
        capacity = self._capacity(frames)
        grown = self._data.new_empty((layers, two, heads, capacity, size))
        grown[:, :, :, :have] = self._data
        self._data = grown

    def empty(self) -> KeyValues:
        """One like it, with nothing in it."""
        layers, _, heads, _, size = self._data.shape
        return KeyValues(layers, heads, size, self._data.device, self._data.dtype, self._step)

    def write(self, layer: int, first: int, keys: Tensor, values: Tensor) -> None:
        """keys, values: (heads, n, head size), put at frames first … first + n."""
        until = first + keys.shape[1]
        self._data[layer, 0, :, first:until] = keys
        self._data[layer, 1, :, first:until] = values

    def read(self, layer: int, until: int) -> tuple[Tensor, Tensor]:
        """Keys and values (heads, until, head size), views."""
        return self._data[layer, 0, :, :until], self._data[layer, 1, :, :until]

    @property
    def nbytes(self) -> int:
        return self._data.numel() * self._data.element_size()

    def bytes_for(self, frames: int) -> int:
        """`nbytes` after `reserve(frames)`."""
        layers, two, heads, have, size = self._data.shape
        return layers * two * heads * max(have, self._capacity(frames)) * size * self._data.element_size()

    def _capacity(self, frames: int) -> int:
        return -(-frames // self._step) * self._step


@dataclass(slots=True)
class SilenceTail:
    """Silence encoded once per model, which interims attend to in place of the window's rest.

    Every `stride`-th position is kept and stands for `stride` of them: log(stride) is added to its score.
    """

    stride: int
    positions: int
    encoder: list[tuple[Tensor, Tensor]]
    """Per encoder layer: keys, values (heads, positions / stride, head size)."""
    decoder: list[tuple[Tensor, Tensor]]
    """Per decoder layer: keys, values of its cross-attention."""

    def after(self, pair: tuple[Tensor, Tensor], head: int) -> tuple[Tensor, Tensor]:
        """Of one layer's keys and values those of the silence after `head` frames."""
        first = -(-head // self.stride)
        return pair[0][:, first:], pair[1][:, first:]


@dataclass(slots=True)
class UtteranceState:
    """What is kept of one utterance. `pcm` is the utterance from its begin, float32."""

    start_sample: int
    mel: LogMel
    self_attention: KeyValues
    cross_attention: KeyValues
    pcm: Tensor = field(default_factory=lambda: torch.empty(0))
    received: int = 0
    kept_frames: int = 0
    """Frames whose states are final."""
    head_frames: int = 0
    """Frames of audio that the keys and values cover now, with the provisional ones."""
    silence_bias: Tensor | None = None
    """Where the silence after the audio was encoded with it: what is added to the scores of its frames."""
    pooled: PooledStates | None = None
    """What its layers hold, for taggers; None: nobody asked."""

    def append(self, pcm: bytes) -> None:
        """Adds mono s16le PCM."""
        fresh = torch.from_numpy(np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768.0)
        needed = self.received + fresh.shape[0]
        if needed > self.pcm.shape[0]:
            grown = torch.zeros(max(needed, 2 * self.pcm.shape[0], 4 * BLOCK_SAMPLES))
            grown[: self.received] = self.pcm[: self.received]
            self.pcm = grown
        self.pcm[self.received : needed] = fresh
        self.received = needed

    @property
    def end_sample(self) -> int:
        return self.start_sample + self.received

    @property
    def nbytes(self) -> int:
        return self.self_attention.nbytes + self.cross_attention.nbytes + self.pcm.numel() * 4


def silence_positions(head: int, positions: int, density: Sequence[tuple[int, int]]) -> tuple[list[int], list[float]]:
    """Frames of the silence after `head` that are worth encoding, and what each adds to its score.

    Args:
        density: (frames, stride) pairs from the head on; the last stride goes on to the end of the window. A frame
            in the middle of each stride stands for all of them, by log(stride).
    """
    chosen: list[int] = []
    bias: list[float] = []
    at = head
    for index, (frames, stride) in enumerate(density):
        until = positions if index == len(density) - 1 else min(positions, at + frames)
        while at < until:
            step = min(stride, until - at)
            chosen.append(at + step // 2)
            bias.append(math.log(step))
            at += step
    return chosen, bias


Piece = tuple[Tensor, Tensor, Tensor | float | None]
"""Keys, values (heads, m, size), and what is added to the scores: (m,), one number for all, or nothing."""


def context_pieces(
    kept: KeyValues, layer: int, state: UtteranceState, tail: SilenceTail, pair: tuple[Tensor, Tensor]
) -> list[Piece]:
    """What an utterance's queries attend to in one layer: its frames, and the silence after them.

    The silence is the one that was encoded with the utterance, else the shared tail `pair`.
    """
    frames = state.head_frames
    if state.silence_bias is not None:
        keys, values = kept.read(layer, frames + state.silence_bias.shape[0])
        return [(keys, values, F.pad(state.silence_bias, (frames, 0)))]
    silent_keys, silent_values = tail.after(pair, frames)
    own: Piece = (*kept.read(layer, frames), None)
    if silent_keys.shape[1] == 0:
        return [own]
    silence: Piece = (silent_keys, silent_values, math.log(tail.stride))
    return [own, silence] if frames else [silence]


def context(
    kept: KeyValues, layer: int, state: UtteranceState, tail: SilenceTail, pair: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same in one piece: keys, values (heads, m, size) and what is added to the scores (m,) or None."""
    pieces = context_pieces(kept, layer, state, tail, pair)
    if len(pieces) == 1:
        keys, values, bias = pieces[0]
        return keys, values, bias if isinstance(bias, Tensor) or bias is None else keys.new_full(keys.shape[1:2], bias)
    (keys, values, _), (silent_keys, silent_values, weight) = pieces
    assert isinstance(weight, float)
    bias = keys.new_full((keys.shape[1] + silent_keys.shape[1],), weight)
    bias[: keys.shape[1]] = 0
    return torch.cat([keys, silent_keys], dim=1), torch.cat([values, silent_values], dim=1), bias


def attend(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    """Attention of one stream, queries being scaled already: (heads, n, size) → (n, heads * size)."""
    answer = F.scaled_dot_product_attention(
        queries[None],
        keys[None],
        values[None],
        attn_mask=None if bias is None else bias.expand(1, 1, queries.shape[1], -1),
        scale=1.0,
    )
    return answer[0].transpose(0, 1).reshape(queries.shape[1], -1)
