"""Whisper's encoder, run incrementally: each second of audio is encoded about twice, not once per interim.

Whisper's encoder is bidirectional over a 30 s window. Here an utterance is encoded in blocks that end on a fixed
grid of the sample clock. A block is run when `right_context_frames` of audio after it are there; it attends to the
keys and values that are kept for the frames before it, to itself, to its right context, and to a constant tail of
silence that stands for the rest of the window. Then its keys and values are kept and never computed again; those
of the right context are provisional and serve the interim of this head only.

So the kept states depend on the samples alone: not on chunking, timing, load or the worker. How often somebody
asks for an interim changes nothing in them.

A final comes from one bidirectional pass over its utterance (`encode_many`), in which the silence after it is
encoded too, but thinly: silence changes so slowly from frame to frame that one frame can stand for many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.pool.interface import BLOCK_SAMPLES
from inference.whisper.features import FRAME, LOG_FLOOR, MEL_PER_FRAME, LogMel, normalise
from inference.whisper.model import EncoderLayer, WhisperModel
from inference.whisper.pooled import PooledStates, Pooling
from inference.whisper.state import KeyValues, SilenceTail, UtteranceState, attend, context, silence_positions

BLOCK_FRAMES = BLOCK_SAMPLES // FRAME  # 25 frames, 0.5 s
_USUAL_LOUDNESS = 1.0  # log10 mel power of usual speech at its loudest: the shared tail is scaled for it
_EDGE_FRAMES = 2  # after the audio's end, that its last samples still reach


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    right_context_frames: int = 25
    """Audio that a block sees after itself, 20 ms each."""
    tail_stride: int = 4
    """Interims: every n-th frame of the shared tail stands for n of them."""
    silence_density: tuple[tuple[int, int], ...] = ((24, 2), (64, 4), (0, 16))
    """Finals: (frames, stride) of the silence after the utterance, from its end on; the last goes on to the end."""
    window_density: tuple[tuple[int, int], ...] = ((64, 1), (0, 2))
    """The same for finals that are decoded twice over the full window; Whisper's own is ((0, 1),)."""

    def __post_init__(self) -> None:
        if self.right_context_frames < 1 or self.tail_stride < 1:
            raise ValueError(f"right context and tail stride must be at least 1 frame: {self}")
        for density in (self.silence_density, self.window_density):
            if not density or any(frames < 0 or stride < 1 for frames, stride in density):
                raise ValueError(f"the silence's density is a list of (frames, stride of at least 1): {self}")


@dataclass(frozen=True, slots=True)
class Span:
    """One run of frames through the layers: [first, head) is computed, [first, keep) is kept for good.

    `silence` lists frames after the head that are run with them, and what they add to their scores.
    """

    state: UtteranceState
    first: int
    head: int
    keep: int
    head_samples: int
    silence: tuple[Sequence[int], Sequence[float]] | None = None

    @property
    def rows(self) -> int:
        return self.head - self.first + (len(self.silence[0]) if self.silence else 0)


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
            self_attention=self._key_values(config.encoder_layers),
            cross_attention=self._key_values(config.decoder_layers),
        )

    def _key_values(self, layers: int) -> KeyValues:
        model = self.model
        return KeyValues(layers, model.config.heads, model.head_size, model.device, model.dtype)

    def advance(self, wanted: Iterable[tuple[UtteranceState, int]]) -> None:
        """Brings each utterance to a head: afterwards `head_frames` frames can be attended to.

        Args:
            wanted: (state, until_sample) pairs; the state holds the audio up to there.
        """
        plans = [self._plan(state, until) for state, until in wanted]
        for spans in _rounds(plans):
            self.run(spans)

    def encode_many(
        self, wanted: Sequence[tuple[UtteranceState, int]], full_window: bool = False
    ) -> list[UtteranceState]:
        """One bidirectional pass over each utterance, in states of their own: what finals are decoded from.

        Args:
            wanted: (state, until_sample) pairs, as for `advance`.
            full_window: the silence up to the end of the window is encoded densely.
        """
        positions = self.model.config.audio_positions
        density = self.settings.window_density if full_window else self.settings.silence_density
        spans = []
        for state, until_sample in wanted:
            samples = until_sample - state.start_sample
            head = self._frames(samples + _EDGE_FRAMES * FRAME)
            whole = self.new_state(state.start_sample)
            whole.pcm, whole.received = state.pcm, state.received
            whole.pooled = PooledStates() if state.pooled is not None else None
            spans.append(Span(whole, 0, head, head, samples, silence_positions(head, positions, density)))
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
        try:
            self._run(spans)
        except BaseException:
            for span in spans:  # what was to be written there is not
                span.state.head_frames = span.state.kept_frames
            raise

    def _run(self, spans: Sequence[Span]) -> None:
        rows = [span.rows for span in spans]
        for span in spans:
            span.state.head_frames = span.head
            span.state.self_attention.reserve(span.first + span.rows)
            span.state.cross_attention.reserve(span.first + span.rows)
            if span.silence:
                span.state.silence_bias = torch.tensor(
                    span.silence[1], device=self.model.device, dtype=self.model.dtype
                )
        x = torch.cat([self._stem(span) for span in spans])
        pooling = Pooling(spans)
        pooling.layer(x)
        for index, layer in enumerate(self.model.encoder_layers):
            if layer.alone:
                pieces = zip(spans, x.split(rows), strict=True)
                x = torch.cat([self._layer(index, layer, [span], piece) for span, piece in pieces])
            else:
                x = self._layer(index, layer, spans, x)
            pooling.layer(x)
        x = self.model.encoder_norm(x)
        for index, decoder_layer in enumerate(self.model.decoder_layers):
            for span, piece in zip(spans, decoder_layer.cross_kv(x).split(rows), strict=True):
                keys, values = (self.model.split_heads(part) for part in piece.chunk(2, dim=1))
                span.state.cross_attention.write(index, span.first, keys, values)
        for span in spans:
            span.state.kept_frames = span.keep
        pooling.keep()
        self.frames_computed += sum(rows)

    def _layer(self, index: int, layer: EncoderLayer, spans: Sequence[Span], x: Tensor) -> Tensor:
        qkv = layer.qkv(layer.attention_norm(x)).split([span.rows for span in spans])
        heads = [self._attend(index, span, piece) for span, piece in zip(spans, qkv, strict=True)]
        x = x + layer.out(torch.cat(heads))
        return x + layer.ffn(x)

    def _stem(self, span: Span) -> Tensor:
        before, after = MEL_PER_FRAME, 1  # feature frames that the two convolutions see on each side
        first = MEL_PER_FRAME * span.first - before
        until = MEL_PER_FRAME * span.head + after
        last = MEL_PER_FRAME * self.model.config.audio_positions
        raw, maximum = span.state.mel.at(span.state.pcm, span.head_samples, min(until, last))
        mel = normalise(raw[:, max(0, first) :], maximum)
        mel = F.pad(mel, (max(0, -first), max(0, until - last)))
        x = self.model.stem(mel.to(device=self.model.device, dtype=self.model.dtype), span.first)
        return torch.cat([x, self._silent_stem(span.silence[0], maximum)]) if span.silence else x

    def _silent_stem(self, frames: Sequence[int], maximum: float) -> Tensor:
        """What `_stem` gives for frames of silence behind speech with this maximum, (n, d_model).

        Silence is one feature frame over and over; only the window's very last frame sees its end.
        """
        bins, positions = self.model.config.mel_bins, self.model.config.audio_positions
        around = normalise(torch.full((bins, 2 * MEL_PER_FRAME + 3), LOG_FLOOR), maximum)
        around[:, -1] = 0  # past the end of the window
        around = around.to(device=self.model.device, dtype=self.model.dtype)
        inner, end = self.model.stem(around, positions - 2) - self.model.audio_positions[positions - 2 :]
        x: Tensor = inner + self.model.audio_positions[list(frames)]
        if frames and frames[-1] == positions - 1:
            x[-1] = end + self.model.audio_positions[positions - 1]
        return x

    def _attend(self, layer: int, span: Span, qkv: Tensor) -> Tensor:
        queries, keys, values = (self.model.split_heads(part) for part in qkv.chunk(3, dim=1))
        kept = span.state.self_attention
        kept.write(layer, span.first, keys, values)
        return attend(queries, *context(kept, layer, span.state, self.tail, self.tail.encoder[layer]))

    def _make_tail(self) -> SilenceTail:
        """Encodes a whole window of silence as it looks behind speech of usual loudness."""
        config, stride = self.model.config, self.settings.tail_stride
        frames = config.audio_positions
        state = self.new_state(0)
        state.mel = _Silence(config.mel_bins)
        empty = torch.empty(config.heads, 0, self.model.head_size, device=self.model.device, dtype=self.model.dtype)
        self.tail = SilenceTail(1, frames, [(empty, empty)] * config.encoder_layers, [])
        self.run([Span(state, 0, frames, frames, frames * FRAME)])
        self.frames_computed = 0

        def thin(kept: KeyValues, layer: int) -> tuple[Tensor, Tensor]:
            keys, values = kept.read(layer, frames)
            return keys[:, ::stride].contiguous(), values[:, ::stride].contiguous()

        return SilenceTail(
            stride=stride,
            positions=frames,
            encoder=[thin(state.self_attention, layer) for layer in range(config.encoder_layers)],
            decoder=[thin(state.cross_attention, layer) for layer in range(config.decoder_layers)],
        )


class _Silence(LogMel):
    """The features of nothing but silence."""

    def at(self, pcm: Tensor, head: int, until: int) -> tuple[Tensor, float]:
        return torch.full((self._filters.shape[0], until), LOG_FLOOR), _USUAL_LOUDNESS


def _rounds(plans: Sequence[Sequence[Span]]) -> Iterable[list[Span]]:
    """First spans of all plans, then second ones, ...: spans of one utterance run in order."""
    for index in range(max(map(len, plans), default=0)):
        yield [plan[index] for plan in plans if index < len(plan)]
