"""Causal attention of many sequences at once over their caches; what several share is read once for all of them.

The softmax over a chain of runs is put together from partial ones by their log-sum-exp, as in Milakov and
Gimelshein, 2018 (arXiv 1805.02867); a shared prefix then costs one product for all that were forked from it (Juravsky
et al., 2024, "Hydragen", arXiv 2402.05099).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.qwen_audio.cache import KvCache, Piece


def causal(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One sequence from its begin: (n, heads, size) each → (n, heads * size)."""
    mixed = F.scaled_dot_product_attention(
        queries.transpose(0, 1)[None], keys.transpose(0, 1)[None], values.transpose(0, 1)[None], is_causal=True
    )
    return mixed[0].transpose(0, 1).reshape(queries.shape[0], -1)


def over_caches(
    layer: int, caches: Sequence[KvCache], queries: Sequence[Tensor], keys: Sequence[Tensor], values: Sequence[Tensor]
) -> list[Tensor]:
    """Appends each sequence's keys and values to its cache's layer, and attends to all that is in it.

    Args:
        queries, keys, values: per sequence (n, heads, size), keys and queries rotated.
    Returns:
        per sequence (n, heads * size).
    """
    partial: list[list[_Partial]] = [[] for _ in caches]
    for (run, length), members in _readers(caches):
        together = torch.cat([queries[member] for member in members]).transpose(0, 1)
        past_keys, past_values = run.store.read(layer, length)
        whole = _attend(together, past_keys, past_values, None)
        for member, part in zip(members, whole.split([queries[member].shape[0] for member in members]), strict=True):
            partial[member].append(part)
    answers = []
    for member, cache in enumerate(caches):
        cache.write(layer, keys[member].transpose(0, 1), values[member].transpose(0, 1))
        rows = queries[member].shape[0]
        own_keys, own_values = cache.own.store.read(layer, cache.own.length + rows)
        query = queries[member].transpose(0, 1)
        mask = _own_mask(rows, cache.own.length, query.device)
        if partial[member]:
            mixed = _merge([*partial[member], _attend(query, own_keys, own_values, mask)], query.dtype)
        else:
            mixed = F.scaled_dot_product_attention(query[None], own_keys[None], own_values[None], attn_mask=mask)[0]
        answers.append(mixed.transpose(0, 1).reshape(rows, -1))
    return answers


@dataclass(frozen=True, slots=True)
class _Partial:
    """Attention over a part of the keys, float32."""

    mixed: Tensor
    """(heads, n, size)"""
    log_sum: Tensor
    """(heads, n, 1): of the exponentials of the scores."""

    def split(self, rows: list[int]) -> list[_Partial]:
        pairs = zip(self.mixed.split(rows, dim=1), self.log_sum.split(rows, dim=1), strict=True)
        return [_Partial(mixed, log_sum) for mixed, log_sum in pairs]


def _readers(caches: Sequence[KvCache]) -> list[tuple[Piece, list[int]]]:
    """The shared pieces, each with the caches that read it, in the order in which they come."""
    found: dict[tuple[int, int], tuple[Piece, list[int]]] = {}
    for member, cache in enumerate(caches):
        for run, length in cache.shared:
            found.setdefault((id(run), length), ((run, length), []))[1].append(member)
    return list(found.values())


def _own_mask(rows: int, past: int, device: torch.device) -> Tensor | None:
    """(rows, past + rows), true where a row may look; nothing for a single row, which may look everywhere."""
    if rows == 1:
        return None
    return torch.ones(rows, past + rows, dtype=torch.bool, device=device).tril(past)


def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> _Partial:
    """query (heads, n, size), keys and values (heads, m, size)."""
    scores = (query @ keys.transpose(1, 2)).float() / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    log_sum = scores.logsumexp(dim=-1, keepdim=True)
    return _Partial(((scores - log_sum).exp().to(values.dtype) @ values).float(), log_sum)


def _merge(parts: Sequence[_Partial], dtype: torch.dtype) -> Tensor:
    shares = torch.stack([part.log_sum for part in parts]).softmax(dim=0)
    mixed = torch.stack([part.mixed for part in parts])
    return (shares * mixed).sum(dim=0).to(dtype)
