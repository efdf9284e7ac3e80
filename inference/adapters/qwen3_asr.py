"""Qwen3-ASR by transformers' `qwen3_asr`: the audio in windows of 8 s, then the text.

Attention in the encoder does not leave a window, so a window that is full is encoded once: its embeddings go into
the language model's keys and values, behind the prompt, and stay there. Each job encodes the open window, and
writes the text anew. Windows are counted from the utterance's start, and each is transformed to features for
itself: its own loudest frame is the reference, where the model's own code takes the whole clip's, which is not known
before the end.

The model gives no times (its aligner is another model): a word has the segment's bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import DynamicCache, Qwen3ASRFeatureExtractor, Qwen3ASRForConditionalGeneration
from transformers.models.qwen3_asr.processing_qwen3_asr import LANGUAGE_CODE_TO_NAME

from inference.adapters.base import AdapterEngine, Said, Samples
from inference.adapters.loading import Checkpoint, Place, load_model
from inference.adapters.text import byte_level_splitter, read_tokenizer
from inference.adapters.writer import Prompt, Reading, Writer
from inference.pool.interface import SAMPLE_RATE, EngineInfo, Job, StreamSpec

_LONGEST_HEADER = 8
"""Tokens of "language Cantonese": where the model names the language, its text begins after as many at the latest."""


@dataclass(slots=True)
class Qwen3State:
    keys: DynamicCache
    """Of the prompt's head and the windows that are full, between jobs."""
    windows: int = 0
    """Those that are full and read."""
    read_tokens: int = 0


class Qwen3AsrEngine(AdapterEngine[Qwen3State]):
    def __init__(self, checkpoint: Checkpoint, place: Place) -> None:
        """Raises EngineStartError."""
        super().__init__()
        tokenizer = read_tokenizer(checkpoint.folder)
        self.splitter = byte_level_splitter(tokenizer)
        self.model: Any = load_model(Qwen3ASRForConditionalGeneration, checkpoint, place)
        self.extractor: Any = Qwen3ASRFeatureExtractor.from_pretrained(checkpoint.folder)
        self.place = place
        prompt = Prompt(tokenizer)
        start, end = prompt.special("<|im_start|>", "<|im_end|>")
        audio_start, audio_end, self.text_mark = prompt.special("<|audio_start|>", "<|audio_end|>", "<asr_text>")
        line = prompt.text("\n")
        self.head = [start, *prompt.text("system\n"), end, *line, start, *prompt.text("user\n"), audio_start]
        self.tail = [audio_end, end, *line, start, *prompt.text("assistant\n")]
        self.headers = {code: prompt.text(f"language {name}") for code, name in LANGUAGE_CODE_TO_NAME.items()}
        stops = self.model.config.eos_token_id
        self.writer = Writer(self.model, self.splitter, [stops] if isinstance(stops, int) else list(stops), self.costs)
        self.window_samples: int = self.model.config.audio_config.n_window_infer * self.extractor.hop_length
        self.info = EngineInfo(
            checkpoint.name, str(place.device), place.precision, max_batch=8, languages=tuple(LANGUAGE_CODE_TO_NAME)
        )

    def new_state(self) -> Qwen3State:
        return Qwen3State(DynamicCache(config=self.model.config.text_config))

    def heard_samples(self, state: Qwen3State) -> int:
        return state.windows * self.window_samples

    def answer(self, state: Qwen3State, samples: Samples, job: Job, spec: StreamSpec) -> Said:
        if state.read_tokens == 0:
            self._keep(state, self.writer.embed(self.head))
        while (done := (state.windows + 1) * self.window_samples) <= len(samples):
            self._keep(state, self._encode(samples[done - self.window_samples : done]))
            state.windows += 1
        rest = samples[state.windows * self.window_samples :]
        if len(rest):
            self.writer.read(state.keys, self._encode(rest))
        reading = self.writer.read(state.keys, self.writer.embed(self.tail))
        reading, language = self._name_language(reading, spec.language)
        said = self.writer.write(reading, job.prefix, len(samples), language)
        state.keys.crop(state.read_tokens - state.keys.get_seq_length())
        return said

    def _keep(self, state: Qwen3State, embedded: Tensor) -> None:
        self.writer.read(state.keys, embedded)
        state.read_tokens += embedded.shape[1]

    def _encode(self, samples: Samples) -> Tensor:
        """Embeddings of one window, shape (1, tokens, width); less than half a second is filled up with silence."""
        told = self.extractor(
            samples, sampling_rate=SAMPLE_RATE, padding="longest", return_attention_mask=True, return_tensors="pt"
        )
        features = told["input_features"].to(self.place.device, self.place.dtype)
        mask = told["attention_mask"].to(self.place.device)
        self.costs.encoded_samples += int(mask.sum()) * self.extractor.hop_length
        embedded: Tensor = self.model.get_audio_features(features, mask).pooler_output
        return embedded[None].to(self.place.dtype)

    def _name_language(self, reading: Reading, language: str | None) -> tuple[Reading, str | None]:
        """Reads "language NAME" and the mark before the text: with the stream's language, or as the model has it."""
        if language in self.headers:
            header = self.writer.embed([*self.headers[language], self.text_mark])
            return self.writer.read(reading.keys, header), language
        named: list[int] = []
        while len(named) < _LONGEST_HEADER and (token := int(reading.scores.argmax())) != self.text_mark:
            named.append(token)
            reading = self.writer.read(reading.keys, self.writer.embed([token]))
        code = next((code for code, header in self.headers.items() if header == named), None)
        return self.writer.read(reading.keys, self.writer.embed([self.text_mark])), code
