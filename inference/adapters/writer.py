"""Greedy text of a language model that reads embeddings: what Qwen3-ASR and Qwen2-Audio share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import DynamicCache

from inference.adapters.base import Costs, Said
from inference.adapters.text import PieceSplitter
from inference.pool.interface import SAMPLE_RATE, EngineStartError

_SPARE_TOKENS = 16
_TOKENS_PER_S = 12
"""More than anybody says in a second; a text that goes on is a loop."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a language model stands: keys and values of what it read, and its scores for the next token."""

    keys: DynamicCache
    scores: Tensor
    """Shape (vocabulary,), float32."""


class Writer:
    """Reads pieces of embeddings and writes text: nothing but text, whatever its likeliest token is."""

    def __init__(self, model: Any, splitter: PieceSplitter, stops: Sequence[int], costs: Costs) -> None:
        """`model`: with `model.language_model` and `lm_head`; `stops`: tokens that end a text."""
        self._body = model.model.language_model
        self._head = model.lm_head
        self._stops = frozenset(stops)
        self._costs = costs
        size = self._head.weight.shape[0]
        allowed = [splitter.is_text(token) or token in self._stops for token in range(size)]
        self._allowed = torch.tensor(allowed, device=self._head.weight.device)

    def embed(self, tokens: Sequence[int]) -> Tensor:
        """Shape (1, tokens, width)."""
        embedded: Tensor = self._body.embed_tokens(torch.tensor([list(tokens)], device=self._head.weight.device))
        return embedded

    def read(self, keys: DynamicCache, embedded: Tensor) -> Reading:
        """Takes in embeddings, shape (1, tokens, width), behind what the keys hold already."""
        return Reading(keys, self._forward(keys, embedded)[-1])

    def write(self, reading: Reading, prefix: Sequence[int], samples: int, language: str | None) -> Said:
        """Text that begins with the prefix, as long as `samples` of audio can have it at most; it has no times."""
        scores = reading.scores
        tokens, probabilities = list(prefix), list[float]()
        if tokens:
            after = self._forward(reading.keys, self.embed(tokens))
            for token, row in zip(tokens, [scores, *after[:-1]], strict=True):
                probabilities.append(float(row.softmax(-1)[token]))
            scores = after[-1]
        most = len(tokens) + _SPARE_TOKENS + math.ceil(_TOKENS_PER_S * samples / SAMPLE_RATE)
        while len(tokens) < most:
            shares = scores.masked_fill(~self._allowed, -torch.inf).softmax(-1)
            token = int(shares.argmax())
            if token in self._stops:
                break
            tokens.append(token)
            probabilities.append(float(shares[token]))
            if len(tokens) < most:
                scores = self._forward(reading.keys, self.embed([token]))[-1]
        return Said(tuple(tokens), tuple(probabilities), None, language)

    def _forward(self, keys: DynamicCache, embedded: Tensor) -> Tensor:
        """Scores after each position, shape (tokens, vocabulary), float32."""
        hidden = self._body(inputs_embeds=embedded, past_key_values=keys, use_cache=True).last_hidden_state
        self._costs.decoder_passes += 1
        scores: Tensor = self._head(hidden[0]).float()
        return scores


class Prompt:
    """Token ids of a chat's parts. Text becomes ordinary tokens, whatever it says; special tokens come by name."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._plain = Tokenizer.from_str(tokenizer.to_str())
        self._plain.encode_special_tokens = True

    def special(self, *names: str) -> list[int]:
        """Raises EngineStartError: the tokenizer does not know one."""
        ids: list[int] = []
        for name in names:
            token = self._tokenizer.token_to_id(name)
            if token is None:
                raise EngineStartError(f"The tokenizer has no {name}: get the checkpoint's tokenizer.json again.")
            ids.append(token)
        return ids

    def text(self, text: str) -> list[int]:
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids
