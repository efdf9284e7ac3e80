"""Nemotron streaming ASR: a cache-aware FastConformer and an RNN-T, by transformers' `nemotron_asr_streaming`.

The encoder takes chunks of a fixed size, counted from the utterance's start: `lookahead + 1` frames of 80 ms; the
first one begins with a single mel frame, as the causal convolutions have it. Between chunks its keys and values, the
convolutions' left sides and the prediction network's state are kept, so a chunk is encoded once. A final's last
chunk is filled up with silence.

Times are the model's own: a token belongs to the 80 ms frame at which it was emitted, which is somewhat behind the
sound, and within the lookahead's reach of it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoFeatureExtractor, DynamicCache, NemotronAsrStreamingForRNNT
from transformers.models.nemotron_asr_streaming.generation_nemotron_asr_streaming import (
    NemotronAsrStreamingRNNTDecoderCache,
)
from transformers.models.nemotron_asr_streaming.modeling_nemotron_asr_streaming import (
    NemotronAsrStreamingEncoderCausalConvPaddingCache,
)

from inference.adapters.base import AdapterEngine, Said, Samples, bound
from inference.adapters.loading import Checkpoint, Place, load_model
from inference.adapters.text import read_tokenizer, sentence_piece_splitter
from inference.pool.interface import SAMPLE_RATE, EngineInfo, EngineStartError, Job, StreamSpec

TRAINED_LOOKAHEADS = (13, 6, 1, 0)
"""In frames, where the checkpoint's processor does not name others."""
PREFERRED_LOOKAHEAD = 6
"""A chunk of 560 ms: the nearest to the service's interims of half a second."""


@dataclass(slots=True)
class NemotronState:
    keys: DynamicCache
    convolutions: NemotronAsrStreamingEncoderCausalConvPaddingCache
    predictor: NemotronAsrStreamingRNNTDecoderCache
    predicted: Tensor | None = None
    """The prediction network's output after the last token; None before the first frame."""
    frames: int = 0
    """Encoder frames that were decoded."""
    mel_frames: int = 0
    tokens: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    token_frames: list[int] = field(default_factory=list)


class NemotronEngine(AdapterEngine[NemotronState]):
    def __init__(self, checkpoint: Checkpoint, place: Place) -> None:
        """Raises EngineStartError."""
        super().__init__()
        self.model: Any = load_model(NemotronAsrStreamingForRNNT, checkpoint, place)
        self.extractor: Any = AutoFeatureExtractor.from_pretrained(checkpoint.folder)
        self.place = place
        config = self.model.config
        self.lookahead = choose_lookahead(checkpoint.read("processor_config.json"))
        self.factor: int = config.encoder_config.subsampling_factor
        self.hop: int = self.extractor.hop_length
        self.blank: int = config.blank_token_id
        tokenizer = read_tokenizer(checkpoint.folder)
        if tokenizer.get_vocab_size() > config.vocab_size:
            raise EngineStartError(f"The tokenizer of {checkpoint.name} is larger than its model: they are not a pair.")
        self.splitter = sentence_piece_splitter(tokenizer, self.blank)
        self.info = EngineInfo(checkpoint.name, str(place.device), place.precision, max_batch=16)

    def new_state(self) -> NemotronState:
        return NemotronState(
            keys=DynamicCache(config=self.model.config.encoder_config),
            convolutions=NemotronAsrStreamingEncoderCausalConvPaddingCache(),
            predictor=NemotronAsrStreamingRNNTDecoderCache(self.model.config),
        )

    def heard_samples(self, state: NemotronState) -> int:
        return self._reach(state.mel_frames) if state.mel_frames else 0

    def answer(self, state: NemotronState, samples: Samples, job: Job, spec: StreamSpec) -> Said:
        if job.kind == "early_final":
            state = copy.deepcopy(state)
        while self._reach(state.mel_frames + self._chunk(state)) <= len(samples):
            self._take(state, samples)
        if job.kind != "interim":
            while state.mel_frames * self.hop < len(samples):
                self._take(state, np.pad(samples, (0, self._reach(state.mel_frames + self._chunk(state)))))
        frame = self.factor * self.hop
        said = Said(
            tuple(state.tokens),
            tuple(state.probabilities),
            tuple((at * frame, (at + 1) * frame) for at in state.token_frames),
            language="en",
        )
        return bound(said, job.prefix)

    def _chunk(self, state: NemotronState) -> int:
        """Mel frames of the next chunk."""
        return self.factor * (self.lookahead + 1) if state.mel_frames else 1 + self.factor * self.lookahead

    def _reach(self, mel_frames: int) -> int:
        """Samples that so many mel frames look at: the last one is centred on its hop."""
        window: int = self.extractor.win_length
        return (mel_frames - 1) * self.hop + window // 2

    def _take(self, state: NemotronState, samples: Samples) -> None:
        """Encodes and decodes the next chunk; `samples` reach over it."""
        chunk = self._chunk(state)
        first = state.mel_frames == 0
        begin = 0 if first else state.mel_frames * self.hop - self.extractor.n_fft // 2
        # Without centring the transform wants whole windows of n_fft; what lies beyond the window's own length is
        # weighted with nothing.
        length = self._reach(chunk) if first else (chunk - 1) * self.hop + self.extractor.n_fft
        part = samples[begin : begin + length]
        part = np.pad(part, (0, length - len(part)))
        mel = self.extractor(part, sampling_rate=SAMPLE_RATE, center=first, return_tensors="pt").input_features
        mel = mel[:, :chunk].to(self.place.device, self.place.dtype)
        encoded = self.model.get_audio_features(
            input_features=mel,
            past_key_values=state.keys,
            padding_cache=state.convolutions,
            num_lookahead_tokens=self.lookahead,
            use_cache=True,
            output_attention_mask=False,
        ).pooler_output
        self.costs.encoded_samples += encoded.shape[1] * self.factor * self.hop
        state.mel_frames += chunk
        self._decode(state, encoded)

    def _decode(self, state: NemotronState, encoded: Tensor) -> None:
        """Greedy RNN-T over new encoder frames, shape (1, frames, hidden)."""
        if state.predicted is None:
            state.predicted = self._predict(state, self.blank)
        for index in range(encoded.shape[1]):
            for _ in range(self.model.max_symbols_per_step):
                logits = self.model.joint(
                    decoder_hidden_states=state.predicted, encoder_hidden_states=encoded[:, index : index + 1]
                )
                probabilities = logits[0, -1].float().softmax(-1)
                token = int(probabilities.argmax())
                if token == self.blank:
                    break
                state.predicted = self._predict(state, token)
                if self.splitter.is_text(token):
                    state.tokens.append(token)
                    state.probabilities.append(float(probabilities[token]))
                    state.token_frames.append(state.frames)
            state.frames += 1

    def _predict(self, state: NemotronState, token: int) -> Tensor:
        self.costs.decoder_passes += 1
        ids = torch.tensor([[token]], device=self.place.device)
        predicted: Tensor = self.model.decoder(ids, cache=state.predictor)
        return predicted.clone()


def choose_lookahead(processor: dict[str, Any]) -> int:
    """Of those that the checkpoint was trained with, the one preferred here, or else the nearest to it."""
    trained: Sequence[int] = processor.get("supported_num_lookahead_tokens") or TRAINED_LOOKAHEADS
    chosen: int = min(trained, key=lambda frames: abs(frames - PREFERRED_LOOKAHEAD))
    return chosen
