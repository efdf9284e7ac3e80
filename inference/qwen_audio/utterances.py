"""What is kept of an open utterance: its PCM, and caches of what was heard of it and is being written about it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from inference.pool.interface import StreamSpec
from inference.qwen_audio.cache import CacheLedger, KvCache
from inference.qwen_audio.generate import GenerationBatch
from inference.qwen_audio.live import LiveClip
from inference.qwen_audio.replies import Asked

BYTES_PER_SAMPLE = 2


@dataclass(eq=False, slots=True)
class Live:
    """An utterance as its interims hear it."""

    clip: LiveClip
    ledger: CacheLedger
    charged: int = 0
    """Bytes of the encoder's state that the ledger knows of."""

    def charge(self) -> None:
        """After the clip was moved. Raises CacheError: its state does not fit."""
        grown = self.clip.stream.nbytes - self.charged
        self.ledger.take(grown)
        self.charged += grown

    def release(self) -> None:
        self.clip.release()
        self.ledger.give_back(self.charged)
        self.charged = 0


@dataclass(eq=False, slots=True)
class Whole:
    """A clip as the original hears it, read once: for its final, and for all that is asked about it."""

    samples: int
    cache: KvCache
    """It ends with the clip."""
    language: str | None = None
    """That the model heard, where it was asked."""

    def release(self) -> None:
        self.cache.release()


@dataclass(eq=False, slots=True)
class Utterance:
    start_sample: int
    pcm: bytearray = field(default_factory=bytearray)
    live: Live | None = None
    whole: Whole | None = None
    asked: Asked | None = None
    """An answer that is not done."""

    @property
    def end_sample(self) -> int:
        return self.start_sample + len(self.pcm) // BYTES_PER_SAMPLE

    def append(self, first_sample: int, pcm: bytes, most: int) -> None:
        """What it does not have yet, up to `most` samples; nothing where there would be a hole."""
        known = self.end_sample - first_sample
        if 0 <= known < len(pcm) // BYTES_PER_SAMPLE:
            room = (most - (self.end_sample - self.start_sample)) * BYTES_PER_SAMPLE
            self.pcm += pcm[known * BYTES_PER_SAMPLE : len(pcm) & ~1][:room]

    def samples(self, first: int, until: int) -> Tensor:
        """float32 (until - first,) in [-1, 1], counted from the utterance's begin."""
        part = bytes(self.pcm[first * BYTES_PER_SAMPLE : until * BYTES_PER_SAMPLE])
        return torch.from_numpy(np.frombuffer(part, dtype="<i2").astype(np.float32) / 32768.0)

    def drop_live(self) -> None:
        if self.live is not None:
            self.live.release()
            self.live = None

    def drop_whole(self) -> None:
        if self.whole is not None:
            self.whole.release()
            self.whole = None

    def drop_asked(self, batch: GenerationBatch) -> None:
        if self.asked is not None:
            self.asked.leave(batch)
            self.asked = None

    def release(self, batch: GenerationBatch) -> None:
        """All but the PCM."""
        self.drop_live()
        self.drop_whole()
        self.drop_asked(batch)


@dataclass(slots=True)
class Stream:
    spec: StreamSpec
    utterances: dict[int, Utterance] = field(default_factory=dict)
