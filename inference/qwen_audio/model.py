"""Qwen-Audio: an audio encoder whose frames take the place of tokens in Qwen's language model.

Chu et al., 2023 (arXiv 2311.07919); the language model is Qwen-7B's (arXiv 2309.16609): pre-norm with RMSNorm,
rotary positions, SwiGLU, biases on queries, keys and values only. Linear layers take the rows of many sequences at
once without padding; attention is per sequence, or per shared prefix. So a sequence's answer does not depend on its
neighbours, their lengths, or where padding would lie.

Parameters are named as in the original checkpoint.

A prompt is a list of segments in order: tensors of token ids (n,), or of embeddings (n, hidden_size) such as
`encode_audio` gives, which take the place of an audio's start tag, pads and end tag.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference.qwen_audio.attention import causal, over_caches
from inference.qwen_audio.audio_encoder import AudioEncoder
from inference.qwen_audio.cache import CacheLedger, KvCache
from inference.qwen_audio.config import QwenAudioConfig
from inference.qwen_audio.rotary import Phases, phases, prompt_alpha

Prompt = Sequence[Tensor]
Attention = Callable[[int, list[Tensor], list[Tensor], list[Tensor]], list[Tensor]]
"""Layer, and per sequence queries, keys, values (n, heads, kv_channels) → per sequence (n, heads * kv_channels)."""


class RmsNorm(nn.Module):
    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        normed = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.epsilon)
        return normed.to(x.dtype) * self.weight


class SelfAttention(nn.Module):
    def __init__(self, config: QwenAudioConfig) -> None:
        super().__init__()
        self.c_attn = nn.Linear(config.hidden_size, 3 * config.attention_width)
        self.c_proj = nn.Linear(config.attention_width, config.hidden_size, bias=not config.no_bias)


class FeedForward(nn.Module):
    def __init__(self, config: QwenAudioConfig) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.hidden_size, config.feed_forward, bias=not config.no_bias)
        self.w2 = nn.Linear(config.hidden_size, config.feed_forward, bias=not config.no_bias)
        self.c_proj = nn.Linear(config.feed_forward, config.hidden_size, bias=not config.no_bias)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.c_proj(self.w1(x) * F.silu(self.w2(x)))
        return changed


class Block(nn.Module):
    def __init__(self, config: QwenAudioConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.ln_1 = RmsNorm(config.hidden_size, config.layer_norm_epsilon)
        self.attn = SelfAttention(config)
        self.ln_2 = RmsNorm(config.hidden_size, config.layer_norm_epsilon)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor, layer: int, rows: list[int], at: Phases, attention: Attention) -> Tensor:
        """x: (rows of all sequences, hidden_size)."""
        parts = self.attn.c_attn(self.ln_1(x)).chunk(3, dim=-1)
        queries, keys, values = (part.reshape(x.shape[0], self.heads, -1) for part in parts)
        split = (part.split(rows) for part in (at.rotate_queries(queries), at.rotate_keys(keys), values))
        x = x + self.attn.c_proj(torch.cat(attention(layer, *(list(part) for part in split))))
        changed: Tensor = x + self.mlp(self.ln_2(x))
        return changed


class Transformer(nn.Module):
    def __init__(self, config: QwenAudioConfig) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.hidden_size)
        self.h = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.ln_f = RmsNorm(config.hidden_size, config.layer_norm_epsilon)
        self.audio = AudioEncoder(config.audio)


class QwenAudio(nn.Module):
    """The whole model. It keeps nothing of a request: what is kept of one is in its `KvCache`."""

    def __init__(self, config: QwenAudioConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    @property
    def device(self) -> torch.device:
        return self.lm_head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.lm_head.weight.dtype

    @property
    def audio(self) -> AudioEncoder:
        return self.transformer.audio

    def encode_audio(self, mels: Sequence[Tensor]) -> list[Tensor]:
        """Embeddings (tokens + 2, hidden_size) of whole clips, ready for a prompt; see `AudioEncoder.forward`."""
        encoded: list[Tensor] = self.audio(mels)
        return encoded

    def embed(self, prompt: Prompt) -> Tensor:
        """A prompt's segments as one run of embeddings, (n, hidden_size).

        Raises:
            ValueError: a segment is neither ids (n,) nor embeddings (n, hidden_size), or an id is unknown.
        """
        return torch.cat([self._embed_segment(segment) for segment in prompt])

    def forward(self, prompts: Sequence[Prompt]) -> list[Tensor]:
        """Logits at every position of whole prompts, per prompt (n, vocab_size). Differentiable; nothing is cached.

        Raises:
            ValueError: as `embed`, or a prompt has no token.
        """
        embedded = [self.embed(prompt) for prompt in prompts]
        rows = [each.shape[0] for each in embedded]
        return list(self.lm_head(self.hidden_states(embedded)).split(rows))

    def hidden_states(self, embedded: Sequence[Tensor]) -> Tensor:
        """The last layer's normed states of whole prompts: (n, hidden_size) each → (rows of all, hidden_size).

        Differentiable; nothing is cached.
        """
        at = [(0, each.shape[0], prompt_alpha(self.config, each.shape[0])) for each in embedded]

        def attention(_layer: int, queries: list[Tensor], keys: list[Tensor], values: list[Tensor]) -> list[Tensor]:
            return [causal(*each) for each in zip(queries, keys, values, strict=True)]

        return self._layers(embedded, at, attention)

    def new_cache(self, prompt_length: int | None = None, ledger: CacheLedger | None = None) -> KvCache:
        """An empty cache. `prompt_length`: the tokens of the whole prompt, where it is to come in pieces."""
        return KvCache.new(self.config, self.device, self.dtype, prompt_length, ledger)

    @torch.inference_mode()
    def prefill(
        self,
        caches: Sequence[KvCache],
        prompts: Sequence[Prompt],
        every_position: bool = False,
        last: Sequence[int] | None = None,
    ) -> list[Tensor]:
        """Appends to each cache the segments of its prompt: a whole prompt, one more piece of it, or one token.

        Args:
            caches: distinct ones; they may hold nothing, a shared prefix, or a live conversation.
            every_position: logits at all appended positions, not at the last one only.
            last: per prompt logits at so many of its last positions.
        Returns:
            per prompt float32 logits (vocab_size,), or (n, vocab_size) with `every_position` or `last`.
        Raises:
            ValueError: as `embed`, a prompt has no token, or a cache is given twice.
            CacheError: no room.

        Whatever it raises, the caches then hold what they held before.
        """
        embedded = [self.embed(prompt) for prompt in prompts]
        hidden = self._appended(caches, embedded)
        rows = [each.shape[0] for each in embedded]
        counts = rows if every_position else last
        if counts is not None:
            wanted = [each[len(each) - count :] for each, count in zip(hidden.split(rows), counts, strict=True)]
            logits = list(self.lm_head(torch.cat(wanted)).float().split(list(counts)))
        else:
            ends = torch.tensor(rows, device=hidden.device).cumsum(0) - 1
            logits = list(self.lm_head(hidden[ends]).float())
        _commit(caches, rows)
        return logits

    @torch.inference_mode()
    def advance(self, caches: Sequence[KvCache], ids: Sequence[int]) -> Tensor:
        """Appends one token to each cache. Returns float32 logits (caches, vocab_size); raises as `prefill`."""
        embedded = self._embed_segment(torch.tensor(ids, dtype=torch.long))
        logits: Tensor = self.lm_head(self._appended(caches, embedded.split(1))).float()
        _commit(caches, [1] * len(caches))
        return logits

    def _appended(self, caches: Sequence[KvCache], embedded: Sequence[Tensor]) -> Tensor:
        """Normed states (all rows, hidden_size); keys and values are written, and count once they are committed."""
        if len({id(cache) for cache in caches}) != len(caches):
            raise ValueError("a cache is given twice: the second piece would have to follow the first")
        rows = [each.shape[0] for each in embedded]
        for cache, count in zip(caches, rows, strict=True):
            cache.prepare(count)
        at = [(cache.length, count, cache.alpha_with(count)) for cache, count in zip(caches, rows, strict=True)]
        return self._layers(embedded, at, lambda layer, *parts: over_caches(layer, caches, *parts))

    def _layers(self, embedded: Sequence[Tensor], at: Sequence[tuple[int, int, float]], attention: Attention) -> Tensor:
        """Normed states (all rows, hidden_size)."""
        rows = [each.shape[0] for each in embedded]
        if not rows or min(rows) < 1:
            raise ValueError("there must be prompts, and each must have at least one token")
        positions = phases(self.config, at, self.device)
        x = torch.cat(list(embedded))
        for layer, block in enumerate(self.transformer.h):
            x = block(x, layer, rows, positions, attention)
        normed: Tensor = self.transformer.ln_f(x)
        return normed

    def _embed_segment(self, segment: Tensor) -> Tensor:
        if segment.is_floating_point():
            if segment.dim() != 2 or segment.shape[1] != self.config.hidden_size:
                raise ValueError(f"embeddings are (n, {self.config.hidden_size}), not {tuple(segment.shape)}")
            return segment.to(device=self.device, dtype=self.dtype)
        if segment.dim() != 1:
            raise ValueError(f"token ids are (n,), not {tuple(segment.shape)}")
        if segment.numel() and (int(segment.min()) < 0 or int(segment.max()) >= self.config.vocab_size):
            raise ValueError(f"a token id is outside the vocabulary of {self.config.vocab_size}")
        embedded: Tensor = self.transformer.wte(segment.to(self.device))
        return embedded


def _commit(caches: Sequence[KvCache], rows: Sequence[int]) -> None:
    for cache, count in zip(caches, rows, strict=True):
        cache.commit(count)
