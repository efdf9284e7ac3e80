"""Greedy text of a language model that reads embeddings: what Qwen3-ASR and Qwen2-Audio share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Draft:
    """A text that is being written."""

    keys: DynamicCache
    scores: Tensor
    """For the token after those that are in the keys, shape (vocabulary,), float32."""
    choose: Callable[[Tensor], int] = lambda scores: int(scores.argmax())
    """The next token, of the scores of what may come."""
    tokens: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    unread: int | None = None
    """The last token, which is not in the keys."""
    ended: bool = False


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
        draft = Draft(reading.keys, reading.scores)
        if prefix:
            after = self._forward(reading.keys, self.embed(prefix))
            for token, row in zip(prefix, [draft.scores, *after[:-1]], strict=True):
                draft.probabilities.append(float(row.softmax(-1)[token]))
            draft.tokens, draft.scores = list(prefix), after[-1]
        self.go_on(draft, len(prefix) + _SPARE_TOKENS + math.ceil(_TOKENS_PER_S * samples / SAMPLE_RATE))
        return Said(tuple(draft.tokens), tuple(draft.probabilities), None, language)

    def go_on(self, draft: Draft, most: int) -> None:
        """Writes until the text ends, or has `most` tokens."""
        while not draft.ended and len(draft.tokens) < most:
            if draft.unread is not None:
                draft.scores = self._forward(draft.keys, self.embed([draft.unread]))[-1]
            allowed = draft.scores.masked_fill(~self._allowed, -torch.inf)
            token = draft.choose(allowed)
            draft.ended = token in self._stops
            if not draft.ended:
                draft.tokens.append(token)
                draft.probabilities.append(float(allowed.softmax(-1)[token]))
                draft.unread = token

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
