"""One block of half a second of many streams, in the shape that live speech has.

Speech makes 5 to 6 decoder calls a second (docs/accuracy.md): three passes a block, the first over a dozen known words.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from benchmarks.gpu.ceilings import synchronise
from inference.pool.interface import BLOCK_SAMPLES
from inference.whisper.decoder import WhisperDecoder
from inference.whisper.decoding import DecodeRequest
from inference.whisper.encoder import WhisperIncrementalEncoder
from inference.whisper.guards import TokenBudget
from inference.whisper.model import WhisperModel
from inference.whisper.state import UtteranceState
from inference.whisper.weights import WhisperWeights

HEARD_BLOCKS = 12
"""Of each utterance before the block that is measured: 6 s."""
DRAFT_TOKENS = 12
PASSES = 3


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds for one block of all streams."""

    encode_s: float
    decode_s: float
    rows: int
    """Encoder rows that were run."""

    @property
    def step_s(self) -> float:
        return self.encode_s + self.decode_s


class Streams:
    """So many utterances, each with six seconds heard; `step` runs the next half second of all."""

    def __init__(self, model: WhisperModel, weights: WhisperWeights, count: int, seed: int = 0) -> None:
        self._device = model.device
        self._encoder = WhisperIncrementalEncoder(model)
        # Random weights do not say when a text is over: the budget ends it after the passes that speech takes.
        self._decoder = WhisperDecoder(
            model,
            weights.vocabulary,
            self._encoder.tail,
            weights.alignment_heads,
            TokenBudget(0, DRAFT_TOKENS + PASSES),
        )
        random = torch.Generator().manual_seed(seed)
        samples = (HEARD_BLOCKS + 64) * BLOCK_SAMPLES
        noise = (torch.randn(samples, generator=random) * 1000).to(torch.int16).numpy().tobytes()
        self._states: list[UtteranceState] = []
        for _ in range(count):
            state = self._encoder.new_state(0)
            state.append(noise)
            self._states.append(state)
        self._heard = HEARD_BLOCKS * BLOCK_SAMPLES
        self._encoder.advance((state, self._heard) for state in self._states)
        start = weights.vocabulary.start_of_transcript
        self._prompt = (start, weights.vocabulary.no_timestamps)
        self._draft = tuple(range(1000, 1000 + DRAFT_TOKENS))

    def step(self) -> StepTimes:
        """Encodes the next block of each, verifies a draft, and decodes two tokens more."""
        self._heard += BLOCK_SAMPLES
        before = self._encoder.frames_computed
        synchronise(self._device)
        began = time.perf_counter()
        self._encoder.advance((state, self._heard) for state in self._states)
        synchronise(self._device)
        encoded = time.perf_counter()
        known = (0.0,) * DRAFT_TOKENS
        requests = [
            DecodeRequest(state, self._prompt, prefix=self._draft, prefix_logprobs=known) for state in self._states
        ]
        self._decoder.decode(requests)
        synchronise(self._device)
        done = time.perf_counter()
        return StepTimes(encoded - began, done - encoded, self._encoder.frames_computed - before)


def flops_of_step(weights: WhisperWeights, streams: int, rows: int) -> float:
    """Of the linear layers and the vocabulary, which are nearly all: two for each weight and row."""
    width = weights.config.d_model
    encoder = weights.config.encoder_layers * 12 * width**2 + weights.config.decoder_layers * 2 * width**2
    decoder_rows = streams * (2 + DRAFT_TOKENS + PASSES - 1)
    decoder = decoder_rows * weights.config.decoder_layers * 14 * width**2
    vocabulary = streams * PASSES * weights.config.vocab_size * width
    return 2.0 * (rows * encoder + decoder + vocabulary)


def bytes_of_step(weights: WhisperWeights, model: WhisperModel) -> float:
    """Weights that are read at least: the encoder's once, the decoder's and the vocabulary's in each pass."""
    width, size = weights.config.d_model, model.embedding.element_size()
    encoder = weights.config.encoder_layers * 12 * width**2
    decoder = weights.config.decoder_layers * 14 * width**2 + weights.config.vocab_size * width
    return float(size * (encoder + PASSES * decoder))
