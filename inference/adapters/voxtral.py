"""Voxtral Realtime: a causal encoder and a language model that says one token for every 80 ms, by transformers'
`voxtral_realtime`.

Each step takes eight mel frames and the token said last. The encoder's keys and values (a sliding window), the left
sides of its convolutions and the language model's keys and values are kept, so audio is encoded once. The model says
what it heard `delay` steps ago; most of its tokens are control tokens, "nothing yet" and "a word begins". An
utterance begins with silence on the model's left, and a final's audio is followed by silence, so that the delayed
rest is said.

Times are the model's own, from the steps at which tokens are said, less the delay: to 80 ms, and they tell when
a word was recognised rather than where its sound begins.

A vocabulary is read from Mistral's tekken.json, without the package mistral-common.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    DynamicCache,
    VoxtralRealtimeFeatureExtractor,
    VoxtralRealtimeForConditionalGeneration,
)
from transformers.models.voxtral_realtime.modeling_voxtral_realtime import VoxtralRealtimeConv1dPaddingCache

from inference.adapters.base import AdapterEngine, Said, Samples, bound
from inference.adapters.loading import Checkpoint, Place, load_model
from inference.adapters.text import Tekken
from inference.pool.interface import SAMPLE_RATE, EngineInfo, EngineStartError, Job, StreamSpec

LEFT_PAD_STEPS = 32
"""Of silence before an utterance, where tekken.json does not say (`streaming_n_left_pad_tokens`)."""
FLUSH_STEPS = 10
"""That a final goes on after its audio's last one, as transformers does with a file that mistral-common padded."""
LANGUAGES = ("ar", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "nl", "pt", "ru", "zh")


@dataclass(slots=True)
class VoxtralState:
    convolutions: VoxtralRealtimeConv1dPaddingCache
    encoder_keys: DynamicCache
    text_keys: DynamicCache
    steps: int = 0
    """Tokens that the model said, of any kind; the first one comes after the prompt."""
    last: int = 0
    ended: bool = False
    tokens: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    token_steps: list[int] = field(default_factory=list)


class VoxtralEngine(AdapterEngine[VoxtralState]):
    def __init__(self, checkpoint: Checkpoint, place: Place) -> None:
        """Raises EngineStartError."""
        super().__init__()
        tekken = Tekken(checkpoint.folder)
        self.splitter = tekken.splitter
        self.pad = tekken.control_token("[STREAMING_PAD]")
        self.begin_of_text = tekken.control_token("<s>")
        self.end_of_text = tekken.control_token("</s>")
        self.model: Any = load_model(VoxtralRealtimeForConditionalGeneration, checkpoint, place)
        self.extractor: Any = VoxtralRealtimeFeatureExtractor.from_pretrained(checkpoint.folder)
        if self.extractor.global_log_mel_max is None:
            raise EngineStartError(
                f"The features of {checkpoint.name} depend on what is heard later (global_log_mel_max is not set): "
                "get its preprocessor_config.json again."
            )
        self.place = place
        config = self.model.config
        self.step_frames: int = config.audio_length_per_tok
        self.step_samples: int = self.step_frames * self.extractor.hop_length
        delay_ms = tekken.audio.get("transcription_delay_ms")
        step_ms = 1000 * self.step_samples / SAMPLE_RATE
        self.delay: int = config.default_num_delay_tokens if delay_ms is None else round(delay_ms / step_ms)
        self.left_pad = int(tekken.audio.get("streaming_n_left_pad_tokens", LEFT_PAD_STEPS))
        self.info = EngineInfo(checkpoint.name, str(place.device), place.precision, max_batch=8, languages=LANGUAGES)

    def new_state(self) -> VoxtralState:
        config = self.model.config
        return VoxtralState(
            VoxtralRealtimeConv1dPaddingCache(),
            DynamicCache(config=config.audio_config),
            DynamicCache(config=config.text_config),
        )

    def heard_samples(self, state: VoxtralState) -> int:
        return self._reach(state.steps) if state.steps else 0

    def answer(self, state: VoxtralState, samples: Samples, job: Job, spec: StreamSpec) -> Said:
        if job.kind == "early_final":
            state = copy.deepcopy(state)
        while self._reach(state.steps + 1) <= len(samples):
            self._take(state, samples, spoken=True)
        if job.kind != "interim":
            steps = -(-len(samples) // self.step_samples) + FLUSH_STEPS
            silent = np.pad(samples, (0, self._reach(steps + 1)))
            while state.steps < steps and not state.ended:
                self._take(state, silent, spoken=state.steps * self.step_samples < len(samples))
        size = self.step_samples
        said = Said(
            tuple(state.tokens),
            tuple(state.probabilities),
            tuple((at * size, (at + 1) * size) for at in state.token_steps),
            language=spec.language,
        )
        return bound(said, job.prefix)

    def _reach(self, steps: int) -> int:
        """Samples that the last mel frame of the step looks at: that of the delayed future, and half a window."""
        frames = (steps + self.delay) * self.step_frames
        reach: int = (frames - 1) * self.extractor.hop_length + self.extractor.win_length // 2
        return reach

    def _take(self, state: VoxtralState, samples: Samples, spoken: bool) -> None:
        """Hears the next step and says its token; before the end of what is spoken, no token ends the text."""
        if state.steps == 0:
            heard = np.pad(samples[: self._reach(1)], (self.left_pad * self.step_samples, 0))
            mel = self._mel(heard, centred=True)
            ids = [self.begin_of_text] + [self.pad] * (self.left_pad + self.delay)
        else:
            begin = (state.steps + self.delay) * self.step_samples - self.extractor.win_length // 2
            heard = samples[begin : self._reach(state.steps + 1)]
            # The transform's last frame is dropped by the extractor: a hop of silence makes room for it.
            mel = self._mel(np.pad(heard, (0, self.extractor.hop_length)), centred=False)
            ids = [state.last]
        out = self.model(
            input_ids=torch.tensor([ids], device=self.place.device),
            input_features=mel,
            past_key_values=state.text_keys,
            encoder_past_key_values=state.encoder_keys,
            padding_cache=state.convolutions,
            use_cache=True,
            num_delay_tokens=self.delay,
            logits_to_keep=1,
        )
        state.convolutions = out.padding_cache
        self.costs.encoded_samples += mel.shape[-1] * self.extractor.hop_length
        self.costs.decoder_passes += 1
        probabilities = out.logits[0, -1].float().softmax(-1)
        token = int(probabilities.argmax())
        if token == self.end_of_text:
            token = self.pad
            state.ended = not spoken
        if self.splitter.is_text(token):
            state.tokens.append(token)
            state.probabilities.append(float(probabilities[token]))
            state.token_steps.append(state.steps)
        state.last = token
        state.steps += 1

    def _mel(self, samples: Samples, centred: bool) -> Tensor:
        """Shape (1, mel bins, frames)."""
        mel: Tensor = self.extractor(
            samples, sampling_rate=SAMPLE_RATE, center=centred, return_tensors="pt"
        ).input_features
        return mel.to(self.place.device, self.place.dtype)
