"""Clips that are asked about while they are spoken: encoder and language model both go on from what they have.

What is settled of a clip is appended once to the clip's own cache. A question is put to a fork of it, in which the
provisional rest and the end embedding follow; from that fork go as many as there are tasks. So a second of audio is
read once by the language model, however many questions there are, and however often they are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.qwen_audio.cache import CacheLedger, KvCache
from inference.qwen_audio.features import WINDOW_SAMPLES, clip_lengths
from inference.qwen_audio.incremental import AudioStream, IncrementalAudioEncoder, IncrementalSettings
from inference.qwen_audio.model import QwenAudio

SUFFIX_TOKENS = 512
"""Room for a question and its answer, when the rotary base is chosen."""


@dataclass(eq=False, slots=True)
class LiveClip:
    """A clip, and the cache of the prompt up to what is settled of it."""

    stream: AudioStream
    cache: KvCache
    before: Tensor
    """Ids of the prompt before the clip, (n,)."""
    read_tokens: int = 0
    """Settled tokens that are in the cache."""

    def release(self) -> None:
        self.cache.release()


class Listener:
    """Opens live clips and moves many of them at once."""

    def __init__(
        self, model: QwenAudio, settings: IncrementalSettings | None = None, ledger: CacheLedger | None = None
    ) -> None:
        self.model = model
        self.encoder = IncrementalAudioEncoder(model.audio, settings)
        self.ledger = ledger or CacheLedger()

    def open(self, before: Sequence[int] = (), prompt_length: int | None = None) -> LiveClip:
        """A clip that nothing is heard of yet.

        Args:
            before: token ids that stand before it in the prompt; none for the base model.
            prompt_length: of the whole prompt with the longest question, from which the rotary base is chosen; by
                default that of a full window and `SUFFIX_TOKENS`.
        """
        ids = torch.tensor(list(before), dtype=torch.long)
        expected = len(before) + clip_lengths(WINDOW_SAMPLES).span + SUFFIX_TOKENS
        cache = self.model.new_cache(expected if prompt_length is None else prompt_length, self.ledger)
        return LiveClip(self.encoder.new_stream(), cache, ids)

    def advance(self, clips: Sequence[LiveClip], end: bool = False) -> None:
        """Encodes what the clips have heard, and has the language model read what became settled by it.

        Raises:
            CacheError: no room for a clip's tokens. What was encoded stays, and is read the next time.
        """
        self.encoder.advance([clip.stream for clip in clips], end)
        self._read(clips)

    def _read(self, clips: Sequence[LiveClip]) -> None:
        fresh = [clip for clip in clips if clip.cache.length == 0 or clip.stream.settled_tokens > clip.read_tokens]
        if not fresh:
            return
        pieces = []
        for clip in fresh:
            begin = [clip.before, self._mark(0)] if clip.cache.length == 0 else []
            pieces.append([*begin, clip.stream.settled(clip.read_tokens)])
        self.model.prefill([clip.cache for clip in fresh], pieces)
        for clip in fresh:
            clip.read_tokens = clip.stream.settled_tokens

    def heard(self, clips: Sequence[LiveClip]) -> list[KvCache]:
        """Per clip a cache that ends with the audio as it stands at the head of the last `advance`.

        Fork it for each task, and release it afterwards. The clip goes on.
        """
        self._read(clips)
        forks = [clip.cache.fork()[0] for clip in clips]
        try:
            self.model.prefill(forks, [[clip.stream.provisional, self._mark(1)] for clip in clips])
        except BaseException:
            for fork in forks:
                fork.release()
            raise
        return forks

    def ask(self, clips: Sequence[LiveClip], tasks: Sequence[int]) -> list[list[KvCache]]:
        """Per clip caches for so many tasks, as `heard` gives one. Each is the caller's to release."""
        forked = []
        for cache, count in zip(self.heard(clips), tasks, strict=True):
            forked.append(cache.fork(count))
            cache.release()
        return forked

    def _mark(self, index: int) -> Tensor:
        """The begin (0) or end (1) embedding of an audio, (1, hidden_size)."""
        return self.model.audio.audio_bos_eos_token.weight[index : index + 1]
