"""Qwen2-Audio by transformers' `qwen2_audio`: no streaming state, an instruction says what is asked.

The encoder takes a window of exactly 30 s: each job pays for all of it, however little is new, but for one that ends
where the last one did (a final after its early final). The base model is asked as it was trained, an Instruct
checkpoint (by its name) within a chat.

The model gives no times: a word has the segment's bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, Qwen2AudioForConditionalGeneration, WhisperFeatureExtractor
from transformers.masking_utils import create_bidirectional_mask

from inference.adapters.base import AdapterEngine, Said, Samples
from inference.adapters.loading import Checkpoint, Place, load_model
from inference.adapters.text import byte_level_splitter, read_tokenizer
from inference.adapters.writer import Prompt, Reading, Writer
from inference.pool.interface import SAMPLE_RATE, EngineInfo, EngineStartError, Job, StreamSpec

TRANSCRIBE = "Detect the language and recognize the speech: "
TRANSLATE = "Detect the language and translate the speech into English: "
LANGUAGES = ("en", "zh", "de", "es", "fr", "it", "ja", "ko")
"""Those asked for by `<|en|>` and its like behind the instruction, where the tokenizer has the tag."""
_STOPS = ("<|endoftext|>", "<|im_end|>")


@dataclass(slots=True)
class Qwen2AudioState:
    """The last job's audio, for one that ends at the same sample."""

    samples: int = 0
    embedded: Tensor | None = None


class Qwen2AudioEngine(AdapterEngine[Qwen2AudioState]):
    def __init__(self, checkpoint: Checkpoint, place: Place) -> None:
        """Raises EngineStartError."""
        super().__init__()
        tokenizer = read_tokenizer(checkpoint.folder)
        self.splitter = byte_level_splitter(tokenizer)
        self.prompt = Prompt(tokenizer)
        self.tags = {code: tag for code in LANGUAGES if (tag := tokenizer.token_to_id(f"<|{code}|>")) is not None}
        self.model: Any = load_model(Qwen2AudioForConditionalGeneration, checkpoint, place)
        self.extractor: Any = WhisperFeatureExtractor.from_pretrained(checkpoint.folder)
        window = 2 * self.model.config.audio_config.max_source_positions
        if self.extractor.nb_max_frames != window:
            raise EngineStartError(
                f"The features of {checkpoint.name} have {self.extractor.nb_max_frames} frames, its encoder takes "
                f"{window}: get its preprocessor_config.json again."
            )
        self.place = place
        self.audio_begin, self.audio_end = self.prompt.special("<|audio_bos|>", "<|audio_eos|>")
        self.chats = "instruct" in checkpoint.name.lower()
        self.head, self.tail = self._chat() if self.chats else ([], [])
        self.writer = Writer(self.model, self.splitter, self.prompt.special(*_STOPS), self.costs)
        self.info = EngineInfo(
            checkpoint.name, str(place.device), place.precision, max_batch=4, languages=tuple(self.tags) or ("en",)
        )

    def new_state(self) -> Qwen2AudioState:
        return Qwen2AudioState()

    def heard_samples(self, state: Qwen2AudioState) -> int:
        return 0

    def answer(self, state: Qwen2AudioState, samples: Samples, job: Job, spec: StreamSpec) -> Said:
        if state.embedded is None or state.samples != len(samples):
            state.embedded, state.samples = self._encode(samples), len(samples)
        instruction = self.prompt.text(TRANSLATE if spec.task == "translate" else TRANSCRIBE)
        tag = [] if spec.language not in self.tags else [self.tags[spec.language]]
        line = self.prompt.text("\n") if self.chats else []
        before = self.writer.embed([*self.head, self.audio_begin])
        after = self.writer.embed([self.audio_end, *line, *instruction, *tag, *self.tail])
        keys = DynamicCache(config=self.model.config.text_config)
        reading = self.writer.read(keys, torch.cat((before, state.embedded, after), dim=1))
        if tag:
            return self.writer.write(reading, job.prefix, len(samples), spec.language)
        reading, language = self._name_language(reading)
        return self.writer.write(reading, job.prefix, len(samples), language)

    def _name_language(self, reading: Reading) -> tuple[Reading, str | None]:
        """The tag that the model would begin its text with, if it would begin with one."""
        token = int(reading.scores.argmax())
        code = next((code for code, tag in self.tags.items() if tag == token), None)
        return (reading if code is None else self.writer.read(reading.keys, self.writer.embed([token]))), code

    def _encode(self, samples: Samples) -> Tensor:
        """The window of 30 s that begins with the samples: embeddings of their part, shape (1, tokens, width)."""
        told = self.extractor(
            samples, sampling_rate=SAMPLE_RATE, padding="max_length", return_attention_mask=True, return_tensors="pt"
        )
        mel = told["input_features"].to(self.place.device, self.place.dtype)
        tower = self.model.model.audio_tower
        positions, tokens = tower._get_feat_extract_output_lengths(told["attention_mask"].sum(-1))
        heard = torch.arange(mel.shape[-1] // 2, device=self.place.device)[None] < positions.to(self.place.device)
        mask = create_bidirectional_mask(
            config=tower.config,
            inputs_embeds=torch.zeros((*heard.shape, 1), dtype=self.place.dtype, device=self.place.device),
            attention_mask=heard.long(),
        )
        self.costs.encoded_samples += mel.shape[-1] * self.extractor.hop_length
        encoded = tower(mel, attention_mask=mask).last_hidden_state
        embedded: Tensor = self.model.model.multi_modal_projector(encoded)
        return embedded[:, : int(tokens)]

    def _chat(self) -> tuple[list[int], list[int]]:
        """What stands before the audio in a chat, and behind the instruction."""
        start, end = self.prompt.special("<|im_start|>", "<|im_end|>")
        text = self.prompt.text
        system = [start, *text("system\nYou are a helpful assistant."), end, *text("\n")]
        head = [*system, start, *text("user\nAudio 1: ")]
        return head, [end, *text("\n"), start, *text("assistant\n")]
