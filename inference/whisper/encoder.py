"""Whisper's encoder, run incrementally: each second of audio is encoded about twice, not once per interim.

Whisper's encoder is bidirectional over a 30 s window. Here an utterance is encoded in blocks that end on a fixed
grid of the sample clock. A block is run when `right_context_frames` of audio after it are there; it attends to the
keys and values that are kept for the frames before it, to itself, to its right context, and to a constant tail of
silence that stands for the rest of the window. Then its keys and values are kept and never computed again; those
of the right context are provisional and serve the interim of this head only.

So the kept states depend on the samples alone: not on chunking, timing, load or the worker. How often somebody
asks for an interim changes nothing in them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inference.pool.interface import BLOCK_SAMPLES
from inference.whisper.features import FRAME, LOG_FLOOR, MEL_PER_FRAME, LogMel, normalise
from inference.whisper.model import WhisperModel

BLOCK_FRAMES = BLOCK_SAMPLES // FRAME  # 25 frames, 0.5 s


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    right_context_frames: int = 25
    """Audio that a block sees after itself, 20 ms each."""
    tail_frames: int = 1500
    """Silence after the head that is attended to, at most; the window ends at 1500 in any case."""
    tail_stride: int = 4
    """Every n-th tail frame stands for n of them (its score is raised by log n)."""

    def __post_init__(self) -> None:
        if self.right_context_frames < 1 or self.tail_stride < 1 or self.tail_frames < 0:
            raise ValueError(f"right context and stride must be at least 1 frame, the tail at least 0: {self}")


class KeyValues:
    """Keys and values of every layer for the frames of one utterance: (layers, 2, heads, capacity, head size)."""

    _STEP = 250  # frames, 5 s

    def __init__(self, layers: int, model: WhisperModel) -> None:
        self._shape = (layers, 2, model.config.heads, 0, model.head_size)
        self._data = torch.empty(self._shape, device=model.device, dtype=model.dtype)

    def reserve(self, frames: int) -> None:
        have = self._data.shape[3]
        if frames <= have:
            return
        layers, two, heads, _, size = self._shape
        capacity = -(-frames // self._STEP) * self._STEP
        grown = self._data.new_empty((layers, two, heads, capacity, size))
        grown[:, :, :, :have] = self._data
        self._data = grown

    def write(self, layer: int, first: int, keys: Tensor, values: Tensor) -> None:
        """keys, values: (heads, n, head size), put at frames first … first + n."""
        until = first + keys.shape[1]
        self._data[layer, 0, :, first:until] = keys
        self._data[layer, 1, :, first:until] = values

    def keys(self, layer: int, until: int) -> Tensor:
        return self._data[layer, 0, :, :until]

    def values(self, layer: int, until: int) -> Tensor:
        return self._data[layer, 1, :, :until]

    @property
    def nbytes(self) -> int:
        return self._data.numel() * self._data.element_size()


@dataclass(slots=True)
class SilenceTail:
    """Keys and values of silence at every `stride`-th position of the window, made once per model."""

    stride: int
    frames: int
    positions: int
    encoder: list[tuple[Tensor, Tensor]]
    """Per encoder layer: keys, values (heads, positions / stride, head size)."""
    decoder: list[tuple[Tensor, Tensor]]
    """Per decoder layer: keys, values of its cross-attention."""

    def span(self, head: int) -> slice:
        first = -(-head // self.stride)
        until = -(-min(self.positions, head + self.frames) // self.stride)
        return slice(first, max(first, until))


@dataclass(slots=True)
class UtteranceState:
    """What is kept of one utterance. `pcm` is the utterance from its begin, float32."""

    start_sample: int
    mel: LogMel
    self_attention: KeyValues
    cross_attention: KeyValues
    pcm: Tensor = field(default_factory=lambda: torch.empty(0))
    received: int = 0
    kept_frames: int = 0
    """Frames whose states are final."""
    head_frames: int = 0
    """Frames that the keys and values cover now, with the provisional ones."""

    def append(self, pcm: bytes) -> None:
        fresh = torch.from_numpy(np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768.0)
        needed = self.received + fresh.shape[0]
        if needed > self.pcm.shape[0]:
            grown = torch.zeros(max(needed, 2 * self.pcm.shape[0], 4 * BLOCK_SAMPLES))
            grown[: self.received] = self.pcm[: self.received]
            self.pcm = grown
        self.pcm[self.received : needed] = fresh
        self.received = needed

    @property
    def end_sample(self) -> int:
        return self.start_sample + self.received

    @property
    def nbytes(self) -> int:
        return self.self_attention.nbytes + self.cross_attention.nbytes + self.pcm.numel() * 4


@dataclass(frozen=True, slots=True)
class Span:
    """One run of frames through the layers: [first, head) is computed, [first, keep) is kept for good."""

    state: UtteranceState
    first: int
    head: int
    keep: int
    head_samples: int


class WhisperIncrementalEncoder:
    """Encodes many utterances at once, each from where it stands.

    `frames_computed` counts the frames put through the layers since the begin, the cost that the accuracy report
    divides by the frames of audio.
    """

    def __init__(self, model: WhisperModel, settings: EncoderSettings | None = None) -> None:
        self.model = model
        self.settings = settings or EncoderSettings()
        self.frames_computed = 0
        self.tail = self._make_tail()

    def new_state(self, start_sample: int) -> UtteranceState:
        """Raises ValueError when the segment does not begin on the frame grid."""
        if start_sample % FRAME:
            raise ValueError(f"a segment begins at a multiple of {FRAME} samples, not at {start_sample}")
        config = self.model.config
        return UtteranceState(
            start_sample=start_sample,
            mel=LogMel(config.mel_bins),
            self_attention=KeyValues(config.encoder_layers, self.model),
            cross_attention=KeyValues(config.decoder_layers, self.model),
        )

    def advance(self, wanted: Iterable[tuple[UtteranceState, int]]) -> None:
        """Brings each utterance to a head: afterwards `head_frames` frames can be attended to.

        Args:
            wanted: (state, until_sample) pairs; the state holds the audio up to there.
        """
        plans = [self._plan(state, until) for state, until in wanted]
        for spans in _rounds(plans):
            self.run(spans)

    def encode_whole(self, state: UtteranceState, until_sample: int, full_window: bool = False) -> UtteranceState:
        """One bidirectional pass over an utterance, in a state of its own: what a final is decoded from.

        With `full_window` the silence up to the end of the window is computed instead of taken from the tail:
        this is Whisper's own way.
        """
        (whole,) = self.encode_many([(state, until_sample)], full_window)
        return whole

    def encode_many(
        self, wanted: Sequence[tuple[UtteranceState, int]], full_window: bool = False
    ) -> list[UtteranceState]:
        """`encode_whole` of several utterances in one batch."""
        spans = []
        for state, until_sample in wanted:
            samples = until_sample - state.start_sample
            head = self.model.config.audio_positions if full_window else self._frames(samples)
            whole = self.new_state(state.start_sample)
            whole.pcm, whole.received = state.pcm, state.received
            spans.append(Span(whole, 0, head, head, samples))
        self.run(spans)
        return [span.state for span in spans]

    def _frames(self, samples: int) -> int:
        return min(-(-samples // FRAME), self.model.config.audio_positions)

    def _plan(self, state: UtteranceState, until_sample: int) -> list[Span]:
        """The blocks that have their right context now, and then the frames after them if any are left."""
        if until_sample > state.end_sample:
            raise ValueError(f"audio up to {until_sample} is wanted, {state.end_sample} is there")
        samples = until_sample - state.start_sample
        head = self._frames(samples)
        whole_frames = min(samples // FRAME, head)  # a block is kept only with all of its right context heard
        spans: list[Span] = []
        kept, covered = state.kept_frames, 0
        offset = state.start_sample // FRAME
        while True:
            block_end = ((kept + offset) // BLOCK_FRAMES + 1) * BLOCK_FRAMES - offset
            reach = block_end + self.settings.right_context_frames
            if reach > whole_frames:
                break
            spans.append(Span(state, kept, reach, block_end, reach * FRAME))
            kept, covered = block_end, reach
        if covered < head and (spans or state.head_frames != head):
            spans.append(Span(state, kept, head, kept, samples))
        return spans

    @torch.inference_mode()
    def run(self, spans: Sequence[Span]) -> None:
        """Runs one span of each of several utterances through all layers, in one batch of rows."""
        if not spans:
            return
        x = torch.cat([self._stem(span) for span in spans])
        rows = [span.head - span.first for span in spans]
        for span in spans:
            span.state.self_attention.reserve(span.head)
            span.state.cross_attention.reserve(span.head)
        for index, layer in enumerate(self.model.encoder_layers):
            qkv = layer.qkv(layer.attention_norm(x)).split(rows)
            heads = [self._attend(index, span, piece) for span, piece in zip(spans, qkv, strict=True)]
            x = x + layer.out(torch.cat(heads))
            x = x + layer.ffn(x)
        x = self.model.encoder_norm(x)
        for index, decoder_layer in enumerate(self.model.decoder_layers):
            for span, piece in zip(spans, decoder_layer.cross_kv(x).split(rows), strict=True):
                keys, values = (self.model.split_heads(part) for part in piece.chunk(2, dim=1))
                span.state.cross_attention.write(index, span.first, keys, values)
        for span in spans:
            span.state.kept_frames, span.state.head_frames = span.keep, span.head
        self.frames_computed += sum(rows)

    def _stem(self, span: Span) -> Tensor:
        before, after = MEL_PER_FRAME, 1  # feature frames that the two convolutions see on each side
        first = MEL_PER_FRAME * span.first - before
        until = MEL_PER_FRAME * span.head + after
        last = MEL_PER_FRAME * self.model.config.audio_positions
        raw, maximum = span.state.mel.at(span.state.pcm, span.head_samples, min(until, last))
        mel = normalise(raw[:, max(0, first) :], maximum)
        mel = F.pad(mel, (max(0, -first), max(0, until - last)))
        return self.model.stem(mel.to(device=self.model.device, dtype=self.model.dtype), span.first)

    def _attend(self, layer: int, span: Span, qkv: Tensor) -> Tensor:
        queries, keys, values = (self.model.split_heads(part) for part in qkv.chunk(3, dim=1))
        kept = span.state.self_attention
        kept.write(layer, span.first, keys, values)
        answer = attend_with_tail(
            queries,
            kept.keys(layer, span.head),
            kept.values(layer, span.head),
            self.tail.encoder[layer],
            self.tail.span(span.head),
            self.tail.stride,
        )
        return answer.transpose(0, 1).reshape(qkv.shape[0], -1)

    def _make_tail(self) -> SilenceTail:
        """Encodes a window of silence as it looks behind speech: at the floor of a clip of usual loudness."""
        config, stride = self.model.config, self.settings.tail_stride
        frames = config.audio_positions
        self.tail = SilenceTail(stride, 0, 0, [_no_tail(self.model)] * config.encoder_layers, [])
        state = self.new_state(0)
        state.mel = _Constant(config.mel_bins)
        self.run([Span(state, 0, frames, frames, frames * FRAME)])
        self.frames_computed = 0

        def thin(kept: KeyValues, layers: int) -> list[tuple[Tensor, Tensor]]:
            return [
                (
                    kept.keys(index, frames)[:, ::stride].contiguous(),
                    kept.values(index, frames)[:, ::stride].contiguous(),
                )
                for index in range(layers)
            ]

        return SilenceTail(
            stride=stride,
            frames=self.settings.tail_frames,
            positions=frames,
            encoder=thin(state.self_attention, config.encoder_layers),
            decoder=thin(state.cross_attention, config.decoder_layers),
        )


def attend_with_tail(
    queries: Tensor, keys: Tensor, values: Tensor, tail: tuple[Tensor, Tensor], span: slice, stride: int
) -> Tensor:
    """Attention of one stream over its own frames and the shared tail; queries are scaled already.

    Args:
        queries: (heads, n, size); keys, values: (heads, m, size); tail: the shared (heads, positions, size) pair,
        of which `span` is attended to, each position standing for `stride`.
    Returns:
        (heads, n, size).
    """
    tail_keys, tail_values = tail[0][:, span], tail[1][:, span]
    silent = tail_keys.shape[1]
    bias = None
    if silent and stride > 1:
        bias = queries.new_zeros(keys.shape[1] + silent)
        bias[keys.shape[1] :] = math.log(stride)
    answer: Tensor = F.scaled_dot_product_attention(
        queries[None],
        torch.cat([keys, tail_keys], dim=1)[None],
        torch.cat([values, tail_values], dim=1)[None],
        attn_mask=bias if bias is None else bias.expand(1, 1, queries.shape[1], -1),
        scale=1.0,
    )
    return answer[0]


class _Constant(LogMel):
    """The features of silence behind speech whose maximum is `_LOUDNESS`."""

    _LOUDNESS = 1.0  # log10 mel power of usual speech at its loudest

    def at(self, pcm: Tensor, head: int, until: int) -> tuple[Tensor, float]:
        return torch.full((self._filters.shape[0], until), LOG_FLOOR), self._LOUDNESS


def _no_tail(model: WhisperModel) -> tuple[Tensor, Tensor]:
    empty = torch.empty(model.config.heads, 0, model.head_size, device=model.device, dtype=model.dtype)
    return empty, empty


def _rounds(plans: Sequence[Sequence[Span]]) -> Iterable[list[Span]]:
    """First spans of all plans, then second ones, ...: spans of one utterance run in order."""
    for index in range(max(map(len, plans), default=0)):
        yield [plan[index] for plan in plans if index < len(plan)]
