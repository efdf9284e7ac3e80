"""Keys and values of the language model: append-only, and shared between a prompt and what is forked from it.

A cache is a chain of runs. All but the last belong to caches that it was forked from, and are read up to the length
that they had then; the last run is its own, and only it grows. As a run is never rewritten, a fork copies nothing, and
neither the parent's going on nor a fork's is seen by the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from inference.qwen_audio.config import QwenAudioConfig
from inference.qwen_audio.rotary import prompt_alpha
from inference.whisper.state import KeyValues

_STEP = 64  # tokens by which a run grows


class CacheError(RuntimeError):
    """A cache was used after its release, or there is no room for another token."""


class CacheLedger:
    """Bytes held by the runs of all caches that were opened with it, shared runs counted once.

    With a limit, a cache that would grow past it raises CacheError and stays as it was.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0

    def take(self, count: int) -> None:
        if self.limit_bytes is not None and self.bytes + count > self.limit_bytes:
            raise CacheError(f"{self.bytes} bytes of {self.limit_bytes} are in use: no room for {count} more")
        self.bytes += count

    def give_back(self, count: int) -> None:
        self.bytes -= count


@dataclass(eq=False, slots=True)
class Run:
    """Keys and values of consecutive tokens, written once each."""

    store: KeyValues
    ledger: CacheLedger
    length: int = 0
    users: int = 1
    """Caches that read it, its owner included; its memory is given back with the last."""

    def reserve(self, tokens: int) -> None:
        grown = self.store.bytes_for(self.length + tokens) - self.store.nbytes
        if grown > 0:
            self.ledger.take(grown)
            self.store.reserve(self.length + tokens)

    def release(self) -> None:
        self.users -= 1
        if self.users == 0:
            self.ledger.give_back(self.store.nbytes)
            self.store = self.store.empty()


Piece = tuple[Run, int]
"""A run, and how many of its tokens are read."""


@dataclass(eq=False, slots=True)
class KvCache:
    """What is cached of one sequence. Make one with `QwenAudio.new_cache` or `fork`.

    `alpha` stretches the rotary base. It is chosen for the length of the prompt: from `prompt_length` where that is
    given (a prompt that arrives piece by piece, or that is forked into longer ones), else from the first piece.
    """

    config: QwenAudioConfig
    own: Run
    shared: tuple[Piece, ...] = ()
    alpha: float | None = None
    released: bool = field(default=False)

    @classmethod
    def new(
        cls,
        config: QwenAudioConfig,
        device: torch.device,
        dtype: torch.dtype,
        prompt_length: int | None = None,
        ledger: CacheLedger | None = None,
    ) -> KvCache:
        layers, heads = config.num_hidden_layers, config.num_attention_heads
        store = KeyValues(layers, heads, config.kv_channels, device, dtype, step=_STEP)
        alpha = None if prompt_length is None else prompt_alpha(config, prompt_length)
        return cls(config, Run(store, ledger or CacheLedger()), alpha=alpha)

    @property
    def length(self) -> int:
        """Tokens in it."""
        return self.shared_length + self.own.length

    @property
    def shared_length(self) -> int:
        return sum(length for _, length in self.shared)

    @property
    def room(self) -> int:
        """Tokens that the model has positions left for."""
        return self.config.max_position_embeddings - self.length

    def suits(self, prompt_length: int) -> bool:
        """Whether a prompt of this length, read in one piece, would have this cache's alpha.

        Where not, the cache goes on to work, with phases that the original would use for a shorter prompt only.
        """
        return self.alpha is None or self.alpha == prompt_alpha(self.config, prompt_length)

    def fork(self, count: int = 1) -> list[KvCache]:
        """So many caches that go on from here, each for itself; no key is copied. This one can go on as well.

        Raises:
            CacheError: it was released.
        """
        self.check()
        shared = (*self.shared, (self.own, self.own.length)) if self.own.length else self.shared
        forks = []
        for _ in range(count):
            for run, _length in shared:
                run.users += 1
            own = Run(self.own.store.empty(), self.own.ledger)
            forks.append(KvCache(self.config, own, shared, self.alpha))
        return forks

    def release(self) -> None:
        """Gives back what no other cache reads. A second call does nothing."""
        if self.released:
            return
        self.released = True
        for run, _ in self.shared:
            run.release()
        self.own.release()

    def prepare(self, tokens: int) -> None:
        """Makes room for so many more tokens.

        Raises:
            CacheError: it was released, the model has no more positions, or the ledger no more bytes.
        """
        self.check()
        if tokens > self.room:
            raise CacheError(f"{tokens} tokens after {self.length} do not fit into "
                             f"{self.config.max_position_embeddings} positions")  # fmt: skip
        self.own.reserve(tokens)

    def alpha_with(self, tokens: int) -> float:
        """Alpha of so many more tokens: the one that was chosen, else, these being the first, that for their number."""
        return prompt_alpha(self.config, tokens) if self.alpha is None else self.alpha

    def check(self) -> None:
        if self.released:
            raise CacheError("the cache was released")

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """keys, values: (heads, n, kv_channels), behind what is there; `commit` makes them count."""
        self.own.store.write(layer, self.own.length, keys, values)

    def commit(self, tokens: int) -> None:
        """After all layers are written."""
        self.alpha = self.alpha_with(tokens)
        self.own.length += tokens

    @property
    def own_bytes(self) -> int:
        return self.own.store.nbytes


def held_bytes(caches: Sequence[KvCache]) -> int:
    """Bytes that these caches hold together, shared runs counted once."""
    runs = {id(run): run for cache in caches for run in (cache.own, *(run for run, _ in cache.shared))}
    return sum(run.store.nbytes for run in runs.values())
