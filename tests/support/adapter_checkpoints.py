"""Tiny checkpoints of the adapters' families, with random weights: they say something, and nothing that means much."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

WORDS = ("a", "the", "one", "two", "red", "sea", "go", "no")


def write_checkpoint(family: str, folder: Path) -> Path:
    """The folder, with config.json, model.safetensors and the tokenizer of a family."""
    torch.manual_seed(11)
    folder.mkdir(parents=True, exist_ok=True)
    _WRITERS[family](folder)
    return folder


def _randomise(model: Any, spread: float) -> None:
    """Weights so large that what is heard changes what is said."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed_positions" not in name:
                parameter.normal_(0.0, spread / parameter[0].numel() ** 0.5)


def melody(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Tones that change four times a second, with noise: samples of -1 to 1 at 16 kHz."""
    dice = np.random.default_rng(seed)
    count = round(seconds * 16_000)
    pitch = np.repeat(dice.uniform(150, 4000, count // 4_000 + 1), 4_000)[:count]
    loudness = np.repeat(dice.uniform(0.02, 0.6, count // 4_000 + 1), 4_000)[:count]
    tone = loudness * np.sin(2 * np.pi * np.cumsum(pitch) / 16_000)
    return (tone + 0.01 * dice.standard_normal(count)).astype(np.float32)


@torch.no_grad()
def _centre(linear: Any, heard: torch.Tensor, spread: float) -> None:
    """Makes a layer's answers to what it heard, shape (frames, width), vary around zero by `spread`."""
    scale = spread / heard.std(0).mean()
    linear.weight.mul_(scale)
    linear.bias.copy_((linear.bias - heard.mean(0)) * scale)


def _write_nemotron(folder: Path) -> None:
    from transformers import (
        NemotronAsrStreamingConfig,
        NemotronAsrStreamingFeatureExtractor,
        NemotronAsrStreamingForRNNT,
    )

    pieces = ["<unk>", *(f"\u2581{word}" for word in WORDS), *"bcdfghk"]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(rank)) for rank, piece in enumerate(pieces)], unk_id=0))
    tokenizer.add_special_tokens([AddedToken("<unk>", special=True), AddedToken("<blank>", special=True)])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.save(str(folder / "tokenizer.json"))
    encoder = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "subsampling_conv_channels": 8,
        "num_mel_bins": 16,
        "sliding_window": 15,
    }
    config = NemotronAsrStreamingConfig(
        encoder_config=encoder,
        vocab_size=len(pieces) + 1,
        blank_token_id=len(pieces),
        decoder_hidden_size=24,
        num_decoder_layers=1,
        max_symbols_per_step=3,
    )
    model = NemotronAsrStreamingForRNNT(config).eval()
    _randomise(model, 1.5)
    extractor = NemotronAsrStreamingFeatureExtractor(feature_size=16)
    mel = extractor(melody(8.0), sampling_rate=16_000, return_tensors="pt").input_features
    with torch.no_grad():
        heard = model.get_audio_features(mel, num_lookahead_tokens=6).pooler_output[0]
        _centre(model.encoder_projector, heard, 1.5)
        begun = model.decoder(torch.tensor([[config.blank_token_id]]))[0]
        heard = model.get_audio_features(mel, num_lookahead_tokens=6).pooler_output[0]
        _centre(model.joint.head, model.joint(begun, heard), 2.0)
        model.joint.head.bias[config.blank_token_id] += 2.0
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)


def _write_voxtral(folder: Path) -> None:
    from transformers import (
        VoxtralRealtimeConfig,
        VoxtralRealtimeFeatureExtractor,
        VoxtralRealtimeForConditionalGeneration,
    )

    control = ["<unk>", "<s>", "</s>", "[STREAMING_PAD]", "[STREAMING_WORD]", "[UNUSED]"]
    pieces = [*(f" {word}".encode() for word in WORDS), *(letter.encode() for letter in "bcdfghk"), b"\xc3", b"\xa9"]
    vocabulary = [{"rank": rank, "token_bytes": base64.b64encode(piece).decode()} for rank, piece in enumerate(pieces)]
    size = len(control) + len(pieces)
    tekken = {
        "config": {"default_vocab_size": size, "default_num_special_tokens": len(control)},
        "vocab": vocabulary,
        "special_tokens": [{"rank": rank, "token_str": name} for rank, name in enumerate(control)],
        "audio": {"transcription_delay_ms": 240.0, "streaming_n_left_pad_tokens": 4},
    }
    (folder / "tekken.json").write_text(json.dumps(tekken))
    audio = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "head_dim": 16,
        "num_mel_bins": 16,
        "sliding_window": 50,
        "vocab_size": size,
    }
    text = {
        "vocab_size": size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "sliding_window": 64,
    }
    model = VoxtralRealtimeForConditionalGeneration(
        VoxtralRealtimeConfig(audio_config=audio, text_config=text, tie_word_embeddings=False)
    ).eval()
    _randomise(model, 1.5)
    with torch.no_grad():
        model.lm_head.weight[control.index("</s>")] = 0.0  # it does not end its text by itself
    model.save_pretrained(folder)
    VoxtralRealtimeFeatureExtractor(feature_size=16).save_pretrained(folder)


QWEN_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|audio_start|>",
    "<|audio_end|>",
    "<|audio_pad|>",
    "<asr_text>",
    "<|audio_bos|>",
    "<|AUDIO|>",
    "<|audio_eos|>",
    "<|en|>",
    "<|de|>",
)


def _write_byte_level_tokenizer(folder: Path) -> Tokenizer:
    """Bytes, and Qwen's special tokens behind them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: rank for rank, letter in enumerate(alphabet)}
    merges = []
    for word in WORDS:
        letters = ["\u0120", *word]
        while len(letters) > 1:
            joined = letters[0] + letters[1]
            if joined not in vocabulary:
                merges.append((letters[0], letters[1]))
                vocabulary[joined] = len(vocabulary)
            letters = [joined, *letters[2:]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in QWEN_SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def _text_config(tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
    }


def _write_qwen3_asr(folder: Path) -> None:
    from transformers import Qwen3ASRConfig, Qwen3ASRFeatureExtractor, Qwen3ASRForConditionalGeneration

    tokenizer = _write_byte_level_tokenizer(folder)
    audio = {
        "num_mel_bins": 16,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 48,
        "d_model": 32,
        "output_dim": 32,
        "downsample_hidden_size": 8,
    }
    config = Qwen3ASRConfig(
        audio_config=audio,
        text_config={**_text_config(tokenizer), "head_dim": 16},
        audio_token_id=tokenizer.token_to_id("<|audio_pad|>"),
        eos_token_id=(tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>")),
        pad_token_id=tokenizer.token_to_id("<|endoftext|>"),
        tie_word_embeddings=False,
    )
    model = Qwen3ASRForConditionalGeneration(config).eval()
    _randomise(model, 1.5)
    extractor = Qwen3ASRFeatureExtractor(feature_size=16)
    mel = extractor(melody(8.0), sampling_rate=16_000, padding="longest", return_tensors="pt")["input_features"]
    with torch.no_grad():
        heard = model.get_audio_features(mel, torch.ones(mel.shape[0], mel.shape[2])).pooler_output
        _centre(model.model.multi_modal_projector.linear_2, heard, 1.5)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)


def _write_qwen2_audio(folder: Path) -> None:
    from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration, WhisperFeatureExtractor

    tokenizer = _write_byte_level_tokenizer(folder)
    audio = {
        "num_mel_bins": 16,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 48,
        "d_model": 32,
    }
    config = Qwen2AudioConfig(
        audio_config=audio, text_config=_text_config(tokenizer), audio_token_index=tokenizer.token_to_id("<|AUDIO|>")
    )
    model = Qwen2AudioForConditionalGeneration(config).eval()
    _randomise(model, 1.5)
    extractor = WhisperFeatureExtractor(feature_size=16)
    mel = extractor(melody(30.0), sampling_rate=16_000, return_tensors="pt").input_features
    with torch.no_grad():
        heard = model.model.multi_modal_projector(model.model.audio_tower(mel).last_hidden_state)[0]
        _centre(model.model.multi_modal_projector.linear, heard, 1.5)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)


_WRITERS: dict[str, Callable[[Path], None]] = {
    "nemotron_asr_streaming": _write_nemotron,
    "qwen2_audio": _write_qwen2_audio,
    "qwen3_asr": _write_qwen3_asr,
    "voxtral_realtime": _write_voxtral,
}
