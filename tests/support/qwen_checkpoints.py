"""Tiny random Qwen-Audio checkpoints in the original layout, whole or in shards."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from inference.qwen_audio.config import AudioConfig, QwenAudioConfig
from inference.qwen_audio.model import QwenAudio
from inference.qwen_audio.tokenizer import QwenTokenizer
from tests.support.qwen_audio import tokenizer, write_tiktoken

Layout = Literal["safetensors", "safetensors shards", "pickled", "pickled shards"]

TINY = QwenAudioConfig(
    vocab_size=128,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    kv_channels=16,
    intermediate_size=96,
    seq_length=48,
    max_position_embeddings=512,
    audio=AudioConfig(n_mels=80, n_ctx=1500, n_state=32, n_head=2, n_layer=2, output_dim=32, audio_start_id=120),
)


def tiny_config(**changes: object) -> QwenAudioConfig:
    """`TINY` with other fields of the language model."""
    return replace(TINY, **changes)  # type: ignore[arg-type]


def random_model(config: QwenAudioConfig = TINY, seed: int = 0) -> QwenAudio:
    """A model whose random weights are large enough that every position and head shows in its logits."""
    random = torch.Generator().manual_seed(seed)
    model = QwenAudio(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                fan_in = parameter[0].numel() if "wte" not in name and "bos_eos" not in name else 1
                parameter.copy_(torch.randn(parameter.shape, generator=random) * 1.5 * fan_in**-0.5)
            elif name.endswith("bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.1)
            else:
                parameter.copy_(1 + torch.randn(parameter.shape, generator=random) * 0.1)
    return model.eval().requires_grad_(False)


def speaking_config(tokenizer: QwenTokenizer) -> QwenAudioConfig:
    """A tiny one of the published lengths, with the tokenizer's vocabulary and three rows that no token uses."""
    audio = replace(TINY.audio, audio_start_id=tokenizer.specials.audio_start)
    return tiny_config(vocab_size=tokenizer.vocabulary + 3, seq_length=2048, max_position_embeddings=8192, audio=audio)


def write_speaking_checkpoint(folder: Path, *, chats: bool = False, seed: int = 0) -> Path:
    """The folder, with all that an engine needs; `chats`: as the chat model says of itself. Its texts end by themselves
    after a while, or not."""
    config = speaking_config(tokenizer())
    state = random_model(config, seed).state_dict()
    state["lm_head.weight"][sorted(tokenizer().specials.ends)] *= 1.6
    write_state(folder, config, state)
    write_tiktoken(folder)
    (folder / "config.json").write_text(json.dumps({**asdict(config), "model_type": "qwen"}), encoding="utf-8")
    told = {"chat_format": "chatml" if chats else "raw"}
    (folder / "generation_config.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


@lru_cache(maxsize=1)
def tiny_model() -> QwenAudio:
    """One that tests share; nobody changes it."""
    return random_model()


def write_checkpoint(
    folder: Path,
    config: QwenAudioConfig = TINY,
    seed: int = 0,
    layout: Layout = "safetensors",
    shards: int = 3,
    dtype: torch.dtype = torch.float32,
) -> QwenAudioConfig:
    """Writes config.json and the weights of `random_model(config, seed)` into a folder, which is made."""
    state = {name: tensor.to(dtype).contiguous() for name, tensor in random_model(config, seed).state_dict().items()}
    write_state(folder, config, state, layout, shards)
    return config


def write_state(
    folder: Path, config: QwenAudioConfig, state: dict[str, Tensor], layout: Layout = "safetensors", shards: int = 3
) -> None:
    """The same with any tensors, fitting or not."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=1), encoding="utf-8")
    base, suffix = ("model", "safetensors") if layout.startswith("safetensors") else ("pytorch_model", "bin")
    if not layout.endswith("shards"):
        _save(folder / f"{base}.{suffix}", state)
        return
    names = sorted(state)
    weight_map = {}
    for index in range(shards):
        file = f"{base}-{index + 1:05d}-of-{shards:05d}.{suffix}"
        part = {name: state[name] for name in names[index::shards]}
        _save(folder / file, part)
        weight_map |= dict.fromkeys(part, file)
    listed = {"metadata": {"total_size": sum(tensor.nbytes for tensor in state.values())}, "weight_map": weight_map}
    (folder / f"{base}.{suffix}.index.json").write_text(json.dumps(listed), encoding="utf-8")


def _save(path: Path, state: dict[str, Tensor]) -> None:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
