"""Encodes a clip while it is being spoken, in any chunks; many clips at once.

Qwen-Audio's encoder is bidirectional over its clip and scales features by the clip's maximum, so nothing that it gives
is final before the clip ends. Two policies make something of that:

- "exact" encodes all that is there each time it is asked. The result at every head is that of a clip which ends there,
  and so is the last one.
- "blocks" encodes each block of a fixed grid once, as soon as its right context is there: it attends to the kept keys
  and values of frames before it, to itself and to its right context. Then its embeddings are settled. What lies behind
  the last settled block is encoded provisionally. This is not what the model was trained for: how far it is from
  "exact" depends on the weights, and has to be measured with them.

Either way the result is a function of the samples, the head and the settings alone, never of chunks, of how often
somebody asked, or of other clips.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.qwen_audio.audio_encoder import AFTER, BEFORE, AudioEncoder
from inference.qwen_audio.features import FRAMES_PER_TOKEN, WINDOW_SAMPLES, ClipTooLong, clip_lengths, clip_mel
from inference.whisper.features import FRAME, MEL_PER_FRAME, LogMel, normalise
from inference.whisper.state import KeyValues

Policy = Literal["exact", "blocks"]


@dataclass(frozen=True, slots=True)
class IncrementalSettings:
    """Lengths are in encoder frames of 20 ms. All but the policy concern "blocks" only."""

    policy: Policy = "blocks"
    block_frames: int = 50
    left_frames: int | None = None
    """Kept frames before a block that it sees; None: all of its clip."""
    right_frames: int = 25
    """Frames behind a block that it sees, and waits for."""

    def __post_init__(self) -> None:
        if self.policy not in ("exact", "blocks"):
            raise ValueError(f"the policy is exact or blocks, not {self.policy!r}")
        if self.block_frames < FRAMES_PER_TOKEN or self.block_frames % FRAMES_PER_TOKEN:
            raise ValueError(f"a block has an even number of frames, as they are pooled in pairs: {self.block_frames}")
        if self.right_frames < 0 or (self.left_frames is not None and self.left_frames < 0):
            raise ValueError(f"left and right context cannot be negative: {self}")


@dataclass(eq=False, slots=True)
class AudioStream:
    """One clip. Give it samples with `append`, and have it encoded by the encoder that opened it."""

    mel: LogMel
    kept: KeyValues
    empty: Tensor
    """(0, output_dim)"""
    pcm: Tensor = field(default_factory=lambda: torch.zeros(0))
    samples: int = 0
    head: int = 0
    """Samples that the embeddings stand for."""
    kept_frames: int = 0
    ended: bool = False
    _settled: list[Tensor] = field(default_factory=list)
    _provisional: Tensor | None = None

    def append(self, pcm: Tensor) -> None:
        """Adds float32 samples (n,) at 16 kHz, in [-1, 1].

        Raises:
            ClipTooLong: they do not fit into 30 s (`room`); none of them is added.
            ValueError: the clip has ended.
        """
        if self.ended:
            raise ValueError("the clip has ended")
        until = self.samples + pcm.shape[0]
        if until > WINDOW_SAMPLES:
            raise ClipTooLong(until)
        if until > self.pcm.shape[0]:
            grown = torch.zeros(min(WINDOW_SAMPLES, max(until, 2 * self.pcm.shape[0])))
            grown[: self.samples] = self.pcm[: self.samples]
            self.pcm = grown
        self.pcm[self.samples : until] = pcm
        self.samples = until

    @property
    def room(self) -> int:
        """Samples that the window has left."""
        return WINDOW_SAMPLES - self.samples

    @property
    def settled_tokens(self) -> int:
        return sum(part.shape[0] for part in self._settled)

    def settled(self, first: int = 0) -> Tensor:
        """Embeddings that will not change, (settled tokens - first, output_dim), from token `first` on."""
        if len(self._settled) > 1:
            self._settled = [torch.cat(self._settled)]
        return self._settled[0][first:] if self._settled else self.empty[first:]

    @property
    def provisional(self) -> Tensor:
        """Embeddings of what follows them up to the head, as they are now: (n, output_dim)."""
        return self.empty if self._provisional is None else self._provisional

    def settle(self, embeddings: Tensor) -> None:
        """For the encoder: embeddings that follow the settled ones; what was provisional is void."""
        self._settled.append(embeddings)
        self._provisional = None

    def show(self, embeddings: Tensor) -> None:
        """For the encoder: what is provisional now."""
        self._provisional = embeddings

    @property
    def nbytes(self) -> int:
        embeddings = sum(part.nbytes for part in (*self._settled, self.provisional))
        return self.kept.nbytes + self.pcm.nbytes + embeddings


@dataclass(frozen=True, slots=True)
class _Span:
    """Frames [first, reach) of a clip go through the layers, knowing `head` samples of it."""

    stream: AudioStream
    first: int
    reach: int
    head: int
    settles: int
    """Frames from `first` on whose states are kept for good."""
    last: bool
    """The clip ends with these frames, as far as is known."""

    @property
    def rows(self) -> int:
        return self.reach - self.first


class IncrementalAudioEncoder:
    """`frames_computed` counts the frames put through the layers since the begin, the cost of a policy."""

    def __init__(self, encoder: AudioEncoder, settings: IncrementalSettings | None = None) -> None:
        self.encoder = encoder
        self.settings = settings or IncrementalSettings()
        self.frames_computed = 0

    def new_stream(self) -> AudioStream:
        config, weight = self.encoder.config, self.encoder.proj.weight
        kept = KeyValues(config.n_layer, config.n_head, config.head_size, weight.device, weight.dtype)
        return AudioStream(LogMel(config.n_mels), kept, weight.new_zeros(0, config.output_dim))

    @torch.inference_mode()
    def advance(self, streams: Iterable[AudioStream], end: bool = False) -> None:
        """Encodes each clip up to what it has heard; afterwards `settled` and `provisional` are of that head.

        Args:
            streams: distinct ones.
            end: the clips end here; all of them is settled then.
        """
        moved = [stream for stream in streams if not stream.ended and (end or stream.samples > stream.head)]
        if self.settings.policy == "exact":
            self._whole(moved, end)
        else:
            self._blocks(moved, end)
        for stream in moved:
            stream.head, stream.ended = stream.samples, end

    def _whole(self, streams: Sequence[AudioStream], end: bool) -> None:
        mels = [self._whole_mel(stream, end) for stream in streams]
        for stream, spliced in zip(streams, self.encoder(mels), strict=True):
            (stream.settle if end else stream.show)(spliced[1:-1])
        self.frames_computed += sum(mel.shape[1] // MEL_PER_FRAME for mel in mels)

    def _whole_mel(self, stream: AudioStream, end: bool) -> Tensor:
        pcm = stream.pcm[: stream.samples]
        if end:
            return clip_mel(pcm, self.encoder.config.n_mels)
        features = MEL_PER_FRAME * clip_lengths(stream.samples).frames
        return normalise(*stream.mel.at(pcm, stream.samples, features))

    def _blocks(self, streams: Sequence[AudioStream], end: bool) -> None:
        plans = [self._plan(stream, end) for stream in streams]
        for index in range(max(map(len, plans), default=0)):
            self._run([plan[index] for plan in plans if index < len(plan)])

    def _plan(self, stream: AudioStream, end: bool) -> list[_Span]:
        """The blocks that have their right context now, and then the rest."""
        block, right = self.settings.block_frames, self.settings.right_frames
        spans, kept = [], stream.kept_frames
        while (reach := min(kept + block + right, WINDOW_SAMPLES // FRAME)) * FRAME <= stream.samples:
            if kept + block > reach:
                break
            spans.append(_Span(stream, kept, reach, reach * FRAME, block, last=False))
            kept += block
        frames = clip_lengths(stream.samples).frames
        spans.append(_Span(stream, kept, frames, stream.samples, frames - kept if end else 0, last=True))
        return spans

    def _run(self, spans: Sequence[_Span]) -> None:
        for span in spans:
            if span.rows == 0:
                span.stream.settle(span.stream.empty)
        spans = [span for span in spans if span.rows]
        if not spans:
            return
        rows = [span.rows for span in spans]
        x = torch.cat([self._stem(span) for span in spans])
        for span in spans:
            span.stream.kept.reserve(span.reach)
        for layer, block in enumerate(self.encoder.blocks):

            def attention(queries: Tensor, keys: Tensor, values: Tensor, layer: int = layer) -> Tensor:
                parts = zip(spans, queries.split(rows), keys.split(rows), values.split(rows), strict=True)
                return torch.cat([self._attend(layer, *part) for part in parts])

            x = block(x, attention)
        for span, states in zip(spans, x.split(rows), strict=True):
            if span.settles:
                span.stream.settle(self.encoder.pool(states[: span.settles]))
                span.stream.kept_frames += span.settles
            else:
                span.stream.show(self.encoder.pool(states))
        self.frames_computed += sum(rows)

    def _stem(self, span: _Span) -> Tensor:
        """Behind the clip's end, as far as it is known, the convolutions see zeros; else what the head leaves to see
        of the next feature frame."""
        first, until = MEL_PER_FRAME * span.first - BEFORE, MEL_PER_FRAME * span.reach
        behind = AFTER if not span.last and span.reach < self.encoder.config.n_ctx else 0
        pcm = span.stream.pcm[: span.stream.samples]
        mel = normalise(*span.stream.mel.at(pcm, span.head, until + behind))
        return self.encoder.stem_run(F.pad(mel[:, max(0, first) :], (max(0, -first), AFTER - behind)), span.first)

    def _attend(self, layer: int, span: _Span, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        kept = span.stream.kept
        kept.write(layer, span.first, keys.transpose(0, 1), values.transpose(0, 1))
        left = 0 if self.settings.left_frames is None else max(0, span.first - self.settings.left_frames)
        seen_keys, seen_values = (part[:, left:] for part in kept.read(layer, span.reach))
        mixed = F.scaled_dot_product_attention(queries.transpose(0, 1)[None], seen_keys[None], seen_values[None])
        return mixed[0].transpose(0, 1).reshape(span.rows, self.encoder.config.n_state)
