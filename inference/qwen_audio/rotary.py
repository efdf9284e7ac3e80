"""Positions in Qwen's attention: rotary phases with a dynamic base, and queries scaled by the log of their position.

Rotary embedding: Su et al., 2021 (arXiv 2104.09864), halves rotated. Beyond the length of training, the base grows
with the prompt ("dynamic NTK") and queries are scaled by log_seq_length(position) ("logn attention"), as in Qwen's
technical report (arXiv 2309.16609, section 2.3). Alpha is chosen for a prompt and stays for as long as its keys are
cached: it belongs to a request, never to the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.qwen_audio.config import QwenAudioConfig


def ntk_alpha(length: int, seq_length: int) -> float:
    """By how much the base is stretched for a prompt of `length` tokens: 1 up to the length of training, then
    2^ceil(log2(length / seq_length) + 1) - 1."""
    if length <= seq_length:
        return 1.0
    return float(2 ** math.ceil(math.log2(length / seq_length) + 1) - 1)


def prompt_alpha(config: QwenAudioConfig, length: int) -> float:
    """Alpha for a prompt of `length` tokens under a configuration."""
    return ntk_alpha(length, config.seq_length) if config.use_dynamic_ntk else 1.0


def inverse_frequencies(config: QwenAudioConfig, alpha: float) -> Tensor:
    """Radians per position, (kv_channels / 2,) float32, for a base stretched by alpha^(d / (d - 2))."""
    size = config.kv_channels
    base = config.rotary_emb_base * alpha ** (size / (size - 2))
    exponents = torch.arange(0, size, 2, dtype=torch.float32) / size
    frequencies: Tensor = 1.0 / base**exponents
    return frequencies


@dataclass(frozen=True, slots=True)
class Phases:
    """Of packed rows, shared by all layers. Float32: angles of thousands of radians have no place in bfloat16."""

    cosine: Tensor
    """(rows, 1, kv_channels / 2)"""
    sine: Tensor
    query_scale: Tensor | None
    """(rows, 1, 1), where a row lies beyond the length of training."""

    def rotate_keys(self, x: Tensor) -> Tensor:
        """x: (rows, heads, kv_channels), in any floating type; the answer has the same shape and type."""
        return self._rotate(x.float()).to(x.dtype)

    def rotate_queries(self, x: Tensor) -> Tensor:
        """The same, scaled by the log of the position."""
        rotated = self._rotate(x.float())
        return (rotated if self.query_scale is None else rotated * self.query_scale).to(x.dtype)

    def _rotate(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * self.cosine - second * self.sine, second * self.cosine + first * self.sine], dim=-1)


def phases(config: QwenAudioConfig, runs: Sequence[tuple[int, int, float]], device: torch.device) -> Phases:
    """The phases of packed rows.

    Args:
        runs: (first position, rows, alpha) of each stream, in the order of the rows.
    """
    angles, scales = [], []
    for first, rows, alpha in runs:
        positions = torch.arange(first, first + rows, dtype=torch.float32)
        angles.append(torch.outer(positions, inverse_frequencies(config, alpha)))
        scales.append(((positions + 1).log() / math.log(config.seq_length)).clamp(min=1.0))
    angle = torch.cat(angles)[:, None]
    scaled = config.use_logn_attn and any(first + rows > config.seq_length for first, rows, _ in runs)
    return Phases(
        cosine=angle.cos().to(device),
        sine=angle.sin().to(device),
        query_scale=torch.cat(scales)[:, None, None].to(device) if scaled else None,
    )
