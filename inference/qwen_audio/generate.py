"""Decodes many sequences at once, token by token: they join, run and leave between steps, each with its own prefix.

A sequence's ids do not depend on who runs beside it: its cache and its random numbers are its own. (Logits of another
batch differ in float32 by about 1e-6, so an exact tie of two tokens is the only thing that could fall otherwise.)
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from inference.qwen_audio.cache import CacheError, KvCache
from inference.qwen_audio.model import Prompt, QwenAudio

Finish = Literal["stop", "length", "full"]
"""A stop id was decoded; `max_new` ids were; or there was no room for another token, in positions or in memory."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How one sequence is decoded: greedily, or at a temperature from the most likely tokens that make up `top_p`."""

    stop_ids: frozenset[int]
    max_new: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    """Of the sequence's own random numbers."""

    def __post_init__(self) -> None:
        if self.max_new < 1 or self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"max_new must be at least 1, temperature at least 0, top_p in (0, 1]: {self}")


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step brought for one sequence."""

    ids: tuple[int, ...]
    """New ones, without the stop id; those that the sequence was bound to come first."""
    finish: Finish | None = None
    unread: tuple[int, ...] = ()
    """When finished: what was decoded but is not in the cache; whoever goes on with the cache begins with it."""
    probabilities: tuple[float, ...] = field(default=(), compare=False)
    """The model's, of each of the ids among those that are allowed, at temperature 1."""


@dataclass(slots=True)
class _Sequence:
    cache: KvCache
    decoding: Decoding
    release: bool
    random: torch.Generator
    prompt: Tensor | None
    """Embeddings that are still to be read, those of `bound` among them."""
    bound: tuple[int, ...] = ()
    """Ids at the prompt's end that belong to the answer."""
    allowed: Tensor | None = None
    """(vocab_size,) bool"""
    chosen: int = 0
    """The last id, which is not in the cache yet."""
    decoded: int = 0
    fresh: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    """Of the fresh ones."""
    finish: Finish | None = None
    unread: tuple[int, ...] = ()


class GenerationBatch:
    """The sequences that are being decoded. Not for several threads at once."""

    def __init__(self, model: QwenAudio, prefill_positions: int = 4096) -> None:
        """`prefill_positions`: prompts that join are read in rounds of at most so many positions, or one prompt."""
        if prefill_positions < 1:
            raise ValueError(f"prefill_positions must be at least 1, not {prefill_positions}")
        self._model = model
        self._prefill_positions = prefill_positions
        self._sequences: dict[int, _Sequence] = {}
        self._keys = itertools.count()
        self.passes = 0
        """Forward passes of the model since the begin."""
        self.calls = 0
        """The same, counted per sequence that took part."""

    def __len__(self) -> int:
        return len(self._sequences)

    @torch.inference_mode()
    def join(
        self,
        cache: KvCache,
        prompt: Prompt,
        decoding: Decoding,
        release: bool = True,
        bound: Sequence[int] = (),
        allowed: Tensor | None = None,
    ) -> int:
        """Adds a sequence: the prompt's segments after what is in the cache, and then what the model answers.

        Args:
            cache: of this sequence alone, e.g. a fork; it belongs to the batch until the sequence is over.
            release: give the cache back when the sequence is over, else leave it to the caller.
            bound: ids that the answer begins with; `max_new` does not count them.
            allowed: (vocab_size,) bool on the model's device: the ids that may be decoded; None: all.
        Returns:
            the key under which `step` reports it.
        Raises:
            ValueError: the prompt is not one, or has no token; the cache runs already.
        """
        embedded = self._model.embed([*prompt, torch.tensor(bound, dtype=torch.long)])
        if embedded.shape[0] == len(bound):
            raise ValueError("a prompt must have at least one token")
        if any(sequence.cache is cache for sequence in self._sequences.values()):
            raise ValueError("the cache belongs to a sequence that is being decoded")
        key = next(self._keys)
        random = torch.Generator().manual_seed(decoding.seed)
        self._sequences[key] = _Sequence(cache, decoding, release, random, embedded, tuple(bound), allowed)
        return key

    def leave(self, key: int) -> None:
        """Ends a sequence where it stands; one that is over already is no error."""
        sequence = self._sequences.pop(key, None)
        if sequence is not None and sequence.release:
            sequence.cache.release()

    def step(self, tokens: int = 1, keys: Collection[int] | None = None) -> dict[int, Progress]:
        """Advances each sequence by up to so many tokens; the first comes with the reading of its prompt.

        Should it raise, no sequence has lost anything: it can be called again, for fewer sequences if need be.

        Args:
            keys: of the sequences that go on, the others wait; None: all.
        Returns:
            by key what is new, of every sequence that was to go on (nothing new for one that waits to be read). Those
            that finished have left.
        """
        chosen = {key: each for key, each in self._sequences.items() if keys is None or key in keys}
        for _ in range(tokens):
            going = [sequence for sequence in chosen.values() if sequence.finish is None]
            if not going:
                break
            self._decode([sequence for sequence in going if sequence.prompt is None])
            self._read([sequence for sequence in going if sequence.prompt is not None])
        progress = {key: _take(sequence) for key, sequence in chosen.items()}
        for key, made in progress.items():
            if made.finish is not None:
                self.leave(key)
        return progress

    def _decode(self, sequences: Sequence[_Sequence]) -> None:
        able = [sequence for sequence in sequences if _has_room(sequence, 1)]
        if able:
            logits = self._model.advance([each.cache for each in able], [each.chosen for each in able])
            self._count(able)
            self._choose(able, logits)

    def _read(self, sequences: Sequence[_Sequence]) -> None:
        round_: list[_Sequence] = []
        positions = 0
        for sequence in sequences:
            assert sequence.prompt is not None
            rows = sequence.prompt.shape[0]
            if round_ and positions + rows > self._prefill_positions:
                break
            if _has_room(sequence, rows):
                round_.append(sequence)
                positions += rows
        if round_:
            prompts = [[sequence.prompt] for sequence in round_ if sequence.prompt is not None]
            last = [1 + len(sequence.bound) for sequence in round_]
            logits = self._model.prefill([sequence.cache for sequence in round_], prompts, last=last)
            self._count(round_)
            for sequence, each in zip(round_, logits, strict=True):
                sequence.prompt = None
                if sequence.bound:
                    sequence.fresh += sequence.bound
                    sequence.probabilities += _probabilities(_allowed(each[:-1], sequence), sequence.bound)
            self._choose(round_, torch.stack([each[-1] for each in logits]))

    def _count(self, sequences: Sequence[_Sequence]) -> None:
        self.passes += 1
        self.calls += len(sequences)

    def _choose(self, sequences: Sequence[_Sequence], logits: Tensor) -> None:
        if any(sequence.allowed is not None for sequence in sequences):
            logits = torch.stack([_allowed(row, each) for row, each in zip(logits, sequences, strict=True)])
        greedy = logits.argmax(dim=-1).tolist()
        chosen = [
            int(best) if each.decoding.temperature == 0 else draw(row, each.decoding, each.random)
            for each, best, row in zip(sequences, greedy, logits, strict=True)
        ]
        for sequence, token, share in zip(sequences, chosen, _probabilities(logits, chosen), strict=True):
            decoding = sequence.decoding
            sequence.chosen = token
            sequence.decoded += 1
            if token in decoding.stop_ids:
                sequence.finish, sequence.unread = "stop", (token,)
                continue
            sequence.fresh.append(token)
            sequence.probabilities.append(share)
            if sequence.decoded == decoding.max_new:
                sequence.finish, sequence.unread = "length", (token,)


def draw(logits: Tensor, decoding: Decoding, random: torch.Generator) -> int:
    """One id by nucleus sampling (Holtzman et al., 2019, arXiv 1904.09751). logits: (vocabulary,), any device."""
    likely, ids = (logits.float().cpu() / decoding.temperature).softmax(dim=-1).sort(descending=True, stable=True)
    before = likely.cumsum(dim=-1) - likely
    nucleus = torch.where(before < decoding.top_p, likely, 0.0)
    return int(ids[torch.multinomial(nucleus, 1, generator=random)])


def generate(model: QwenAudio, prompts: Iterable[Prompt], decoding: Decoding) -> list[list[int]]:
    """The answers to whole prompts, decoded in one batch: ids without the stop id."""
    batch = GenerationBatch(model)
    answers: dict[int, list[int]] = {batch.join(model.new_cache(), prompt, decoding): [] for prompt in prompts}
    while len(batch):
        for key, made in batch.step(decoding.max_new).items():
            answers[key] += made.ids
    return list(answers.values())


def _has_room(sequence: _Sequence, tokens: int) -> bool:
    try:
        sequence.cache.prepare(tokens)
    except CacheError:
        sequence.finish = "full"
        sequence.unread = () if sequence.prompt is not None else (sequence.chosen,)
    return sequence.finish is None


def _allowed(logits: Tensor, sequence: _Sequence) -> Tensor:
    """(..., vocab_size), minus infinity where an id is not to be decoded."""
    return logits if sequence.allowed is None else logits.masked_fill(~sequence.allowed, -torch.inf)


def _probabilities(logits: Tensor, ids: Sequence[int]) -> list[float]:
    """Of one id in each row of logits (rows, vocab_size)."""
    chosen = logits.gather(1, torch.tensor(ids, device=logits.device)[:, None])[:, 0]
    shares: list[float] = (chosen - logits.logsumexp(dim=-1)).exp().tolist()
    return shares


def _take(sequence: _Sequence) -> Progress:
    fresh, sequence.fresh = tuple(sequence.fresh), []
    shares, sequence.probabilities = tuple(sequence.probabilities), []
    return Progress(fresh, sequence.finish, sequence.unread, shares)
