"""The checkpoint that the proof begins with: tiny.en's encoder, a small random decoder, a vocabulary of the corpus."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn

from inference.qwen_audio.checkpoint import SAFETENSORS
from inference.qwen_audio.config import CONFIG_FILE, MODEL_TYPE, AudioConfig, QwenAudioConfig
from inference.qwen_audio.model import QwenAudio
from inference.qwen_audio.tokenizer import FILE_NAME, QwenTokenizer, load_tokenizer
from inference.whisper.weights import WhisperWeights, load_weights

MERGES = 1024
WIDTH, LAYERS, HEADS, FEED_FORWARD = 256, 4, 4, 704
_SPREAD = 0.02  # of random weights; Qwen's initializer_range
_OF_A_LAYER = {
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "self_attn_layer_norm": "attn_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}


def make_start(folder: Path, texts: Sequence[str], seed: int) -> None:
    """Writes a checkpoint in the original layout.

    Args:
        texts: the training answers, that the vocabulary's pieces are found in.
        seed: of the decoder's weights.

    Raises:
        WeightsError: the bundled tiny.en is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_vocabulary(folder / FILE_NAME, texts, MERGES)
    weights = load_weights()
    config = small_config(load_tokenizer(folder), weights)
    torch.manual_seed(seed)
    model = QwenAudio(config)
    _randomise(model, config.num_hidden_layers)
    model.audio.load_state_dict(encoder_state(weights), strict=False)  # all but proj and audio_bos_eos_token
    save_file(model.state_dict(), folder / SAFETENSORS)
    told = {"model_type": MODEL_TYPE, **asdict(config)}
    (folder / CONFIG_FILE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def small_config(tokenizer: QwenTokenizer, weights: WhisperWeights) -> QwenAudioConfig:
    """Qwen-Audio's geometry with a decoder of some millions of parameters."""
    audio = AudioConfig(
        n_mels=weights.config.mel_bins,
        n_ctx=weights.config.audio_positions,
        n_state=weights.config.d_model,
        n_head=weights.config.heads,
        n_layer=weights.config.encoder_layers,
        output_dim=WIDTH,
        audio_start_id=tokenizer.specials.audio_start,
    )
    return QwenAudioConfig(
        vocab_size=tokenizer.vocabulary,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        kv_channels=WIDTH // HEADS,
        intermediate_size=2 * FEED_FORWARD,
        audio=audio,
    )


def encoder_state(weights: WhisperWeights) -> dict[str, Tensor]:
    """Whisper's encoder under the names of OpenAI's, which are Qwen-Audio's below `transformer.audio`."""
    state: dict[str, Tensor] = {}
    for name, tensor in weights.state.items():
        if not name.startswith("model.encoder."):
            continue
        short = name.removeprefix("model.encoder.")
        if short == "embed_positions.weight":
            short = "positional_embedding"
        elif short.startswith("layer_norm."):
            short = "ln_post." + short.removeprefix("layer_norm.")
        elif short.startswith("layers."):
            _, layer, rest = short.split(".", 2)
            part, _, kind = rest.rpartition(".")
            short = f"blocks.{layer}.{_OF_A_LAYER[part]}.{kind}"
        state[short] = tensor
    return {name: tensor for name, tensor in state.items() if not name.endswith("attn.key.bias")}  # zero in Whisper


def write_vocabulary(file: Path, texts: Iterable[str], merges: int) -> None:
    """A `qwen.tiktoken` of the 256 bytes and of the pieces that byte-level BPE finds in the texts."""
    trainer = trainers.BpeTrainer(
        vocab_size=256 + merges, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    found.train_from_iterator(sorted(texts), trainer)
    byte_of = _bytes_of_characters()
    by_rank = sorted(found.get_vocab().items(), key=lambda item: item[1])
    pieces = [bytes(byte_of[character] for character in piece) for piece, _ in by_rank]
    single = [bytes([byte]) for byte in range(256)]
    ranked = [*single, *(piece for piece in pieces if len(piece) > 1)]
    lines = (f"{base64.b64encode(piece).decode()} {rank}\n" for rank, piece in enumerate(ranked))
    file.write_text("".join(lines), encoding="ascii")


def _bytes_of_characters() -> dict[str, int]:
    """GPT-2's characters for bytes, which `tokenizers` writes pieces in."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + at): byte for at, byte in enumerate(others)}


@torch.no_grad()
def _randomise(model: QwenAudio, layers: int) -> None:
    """The decoder's weights; what writes to the residual stream is smaller the deeper the model is (GPT-2)."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding) and not name.startswith("transformer.audio.blocks"):
            spread = _SPREAD / math.sqrt(2 * layers) if name.endswith("c_proj") else _SPREAD
            nn.init.normal_(module.weight, std=spread)
