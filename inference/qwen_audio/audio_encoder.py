"""Qwen-Audio's audio encoder: Whisper's (arXiv 2212.04356), pooled in pairs, projected, between two learned embeddings.

Attention is bidirectional over the clip's own frames: a clip of 2 s costs 100 frames, not 1500. Linear layers take the
rows of many clips at once without padding, convolutions and attention go clip by clip. So no clip can see another one
or its padding, and a batch gives what its clips give alone.

Parameters are named as in the original checkpoint, below `transformer.audio.`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference.qwen_audio.config import AudioConfig
from inference.qwen_audio.features import FRAMES_PER_TOKEN
from inference.whisper.features import MEL_PER_FRAME

BEFORE, AFTER = 2, 1
"""Feature frames beyond a run's own that its two convolutions see on each side."""
Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys, values (rows, heads, head size) → (rows, heads * head size)."""


class AudioAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def split(self, x: Tensor) -> Tensor:
        """(rows, width) → (rows, heads, head size)."""
        return x.view(x.shape[0], self.heads, x.shape[1] // self.heads)


class AudioBlock(nn.Module):
    """A pre-norm transformer block over packed rows."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        width = config.n_state
        self.attn = AudioAttention(width, config.n_head)
        self.attn_ln = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.mlp_ln = nn.LayerNorm(width)

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        """x: (rows, width), through attention that the caller provides and the feed-forward layers."""
        normed = self.attn_ln(x)
        part = self.attn
        mixed = attention(part.split(part.query(normed)), part.split(part.key(normed)), part.split(part.value(normed)))
        x = x + part.out(mixed)
        changed: Tensor = x + self.mlp(self.mlp_ln(x))
        return changed


class AudioEncoder(nn.Module):
    positional_embedding: Tensor

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(config.n_mels, config.n_state, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(config.n_state, config.n_state, kernel_size=3, stride=2, padding=1)
        self.register_buffer("positional_embedding", sinusoids(config.n_ctx, config.n_state))
        self.blocks = nn.ModuleList(AudioBlock(config) for _ in range(config.n_layer))
        self.ln_post = nn.LayerNorm(config.n_state)
        self.proj = nn.Linear(config.n_state, config.output_dim)
        self.audio_bos_eos_token = nn.Embedding(2, config.output_dim)

    def forward(self, mels: Sequence[Tensor]) -> list[Tensor]:
        """Encodes whole clips.

        Args:
            mels: per clip normalised log-mel (n_mels, 2 * frames), as from `clip_mel`, in any floating type and on
                any device. A clip may be empty.
        Returns:
            per clip (frames // 2 + 2, output_dim): begin embedding, pooled frames, end embedding. Differentiable.
        Raises:
            ValueError: a clip has an odd number of feature frames, or more than a window has.
        """
        stems = [self.stem(mel) for mel in mels]
        rows = [stem.shape[0] for stem in stems]
        if not rows:
            return []

        def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            clips = zip(queries.split(rows), keys.split(rows), values.split(rows), strict=True)
            return torch.cat([_bidirectional(*clip) for clip in clips])

        x = torch.cat(stems)
        for block in self.blocks:
            x = block(x, attention)
        begin, end = self.audio_bos_eos_token.weight[:1], self.audio_bos_eos_token.weight[1:]
        return [torch.cat([begin, self.pool(clip), end]) for clip in x.split(rows)]

    def stem(self, mel: Tensor) -> Tensor:
        """The two convolutions over a whole clip, and positions: (n_mels, 2 * frames) → (frames, n_state)."""
        features = mel.shape[1]
        if features % MEL_PER_FRAME or features > MEL_PER_FRAME * self.config.n_ctx:
            raise ValueError(
                f"a clip has an even number of feature frames, at most {MEL_PER_FRAME * self.config.n_ctx}: {features}"
            )
        if features == 0:
            return self.conv1.weight.new_zeros(0, self.config.n_state)
        return self.stem_run(F.pad(mel, (BEFORE, AFTER)), 0)

    def stem_run(self, mel: Tensor, first_frame: int) -> Tensor:
        """The same for a run of frames somewhere in a clip.

        Args:
            mel: normalised log-mel (n_mels, BEFORE + 2 * n + AFTER), from feature frame 2 * first_frame - BEFORE on;
                zero before the clip's begin and behind its end.
            first_frame: the run's first frame in the clip.
        Returns:
            (n, n_state).
        """
        x = F.gelu(F.conv1d(mel[None].to(self.conv1.weight), self.conv1.weight, self.conv1.bias))
        if first_frame == 0:  # the second convolution's padding
            x = torch.cat([torch.zeros_like(x[:, :, :1]), x[:, :, 1:]], dim=2)
        frames: Tensor = F.gelu(F.conv1d(x, self.conv2.weight, self.conv2.bias, stride=2))[0].T
        return frames + self.positional_embedding[first_frame : first_frame + frames.shape[0]]

    def pool(self, x: Tensor) -> Tensor:
        """Frames in pairs to positions of the language model: (n, n_state) → (n // 2, output_dim).

        `x` begins at an even frame of its clip; an odd last frame is dropped.
        """
        pairs = x.shape[0] // FRAMES_PER_TOKEN
        pooled = x[: FRAMES_PER_TOKEN * pairs].view(pairs, FRAMES_PER_TOKEN, x.shape[1]).mean(dim=1)
        projected: Tensor = self.proj(self.ln_post(pooled))
        return projected


def sinusoids(length: int, channels: int) -> Tensor:
    """Whisper's fixed positions, (length, channels): sines, then cosines, of wavelengths from 2 pi to 10000 * 2 pi."""
    increment = math.log(10_000) / (channels // 2 - 1)
    inverse = torch.exp(-increment * torch.arange(channels // 2))
    angles = torch.outer(torch.arange(length, dtype=torch.float32), inverse)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _bidirectional(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """(n, heads, size) each → (n, heads * size)."""
    mixed = F.scaled_dot_product_attention(
        queries.transpose(0, 1)[None], keys.transpose(0, 1)[None], values.transpose(0, 1)[None]
    )
    return mixed[0].transpose(0, 1).flatten(1)
