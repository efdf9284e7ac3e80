"""Whisper checkpoints for tests: the bundled tiny.en in float32, and tiny random ones written by transformers."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from inference.whisper.model import WhisperModel, build_model
from inference.whisper.state import UtteranceState
from inference.whisper.weights import WhisperWeights, bundled_folder, load_weights
from tests.support.clips import read_clip

FRAME = 320  # samples
SECOND = 16_000
CPU = torch.device("cpu")
LANGUAGES = ("en", "de", "fr")
WORDS = ("Ġhello", "Ġworld", "Ġthe", "Ġsea")


@lru_cache(maxsize=1)
def bundled() -> WhisperWeights:
    return load_weights("tiny.en")


@lru_cache(maxsize=1)
def bundled_model() -> WhisperModel:
    return build_model(bundled(), CPU, torch.float32)


@lru_cache(maxsize=1)
def transformers_model() -> Any:
    """transformers' own Whisper with the bundled weights."""
    config, state = bundled().config, bundled().state
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=config.vocab_size,
            d_model=config.d_model,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.decoder_layers,
            encoder_attention_heads=config.heads,
            decoder_attention_heads=config.heads,
            encoder_ffn_dim=4 * config.d_model,
            decoder_ffn_dim=4 * config.d_model,
            num_mel_bins=config.mel_bins,
            max_source_positions=config.audio_positions,
            max_target_positions=config.text_positions,
        )
    )
    model.load_state_dict(state, strict=True)
    return model.eval()


@lru_cache(maxsize=1)
def feature_extractor() -> Any:
    return WhisperFeatureExtractor()


@lru_cache(maxsize=8)
def clip(name: str) -> NDArray[np.int16]:
    """A clip of tests/data, mono at 16 kHz."""
    return read_clip(name)[0]


def floats(pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    return pcm.astype(np.float32) / 32768.0


def noise(samples: int, seed: int = 0) -> NDArray[np.int16]:
    """Noise with slow swells: loud and quiet frames, no two alike."""
    random = np.random.default_rng(seed)
    swell = 0.05 + np.abs(np.sin(np.arange(samples) / 5000 + seed))
    return (random.standard_normal(samples) * swell * 3000).clip(-32768, 32767).astype(np.int16)


def hear(state: UtteranceState, pcm: NDArray[np.int16]) -> UtteranceState:
    state.append(pcm.astype("<i2").tobytes())
    return state


def write_english(folder: Path, **generation: Any) -> Path:
    """An English-only checkpoint with random weights and tiny.en's vocabulary."""
    shutil.copy(bundled_folder() / "tokenizer.json", _made(folder) / "tokenizer.json")
    return _write(folder, Tokenizer.from_file(str(folder / "tokenizer.json")), 51_864, generation)


def write_multilingual(folder: Path, **generation: Any) -> Path:
    """A multilingual checkpoint with random weights: bytes, four words, and special tokens in Whisper's order."""
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(characters)}
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary[word[:end]] = len(vocabulary)
                merges.append((word[: end - 1], word[end - 1]))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["endoftext", "startoftranscript", *LANGUAGES, "translate", "transcribe", "startoflm", "startofprev"]
    special += ["nospeech", "notimestamps"]
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", special=True, normalized=False) for name in special])
    tokenizer.save(str(_made(folder) / "tokenizer.json"))
    return _write(folder, tokenizer, tokenizer.get_vocab_size() + 4, {"is_multilingual": True, **generation})


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(folder: Path, tokenizer: Tokenizer, vocabulary: int, generation: dict[str, Any]) -> Path:
    special = tokenizer.get_vocab()
    start, end = special["<|startoftranscript|>"], special["<|endoftext|>"]
    torch.manual_seed(7)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=vocabulary,
            d_model=32,
            encoder_layers=2,
            decoder_layers=4,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            num_mel_bins=80,
            init_std=0.3,
            decoder_start_token_id=start,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
    model.generation_config = GenerationConfig(decoder_start_token_id=start, eos_token_id=end, **generation)
    model.save_pretrained(folder)
    return folder
