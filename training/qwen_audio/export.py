"""Writes a trained model in the original layout, as `inference.qwen_audio.checkpoint.load_model` reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from inference.qwen_audio.checkpoint import SAFETENSORS
from inference.qwen_audio.config import CONFIG_FILE
from inference.qwen_audio.tokenizer import FILE_NAME
from training.qwen_audio.lora import merged_state

GENERATION = "generation_config.json"
"""Whose `chat_format` says how the model is asked."""


def export(
    model: nn.Module, origin: Path, folder: Path, dtype: torch.dtype = torch.float32, *, chats: bool = False
) -> None:
    """Replaces the model of a folder, weights last: until then the folder holds the old ones.

    Args:
        origin: the folder that training began with; its configuration and tokenizer are copied.
        dtype: of the weights.
        chats: it has learnt chat turns, and is to be asked in them; else by tags.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.to("cpu", dtype).contiguous().clone() for name, tensor in merged_state(model).items()}
    for name in (CONFIG_FILE, FILE_NAME):
        if (origin / name).resolve() != (folder / name).resolve():
            shutil.copyfile(origin / name, folder / name)
    told = json.loads((origin / GENERATION).read_text("utf-8")) if (origin / GENERATION).is_file() else {}
    told["chat_format"] = "chatml" if chats else "raw"
    (folder / GENERATION).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    part = folder / f"{SAFETENSORS}.part"
    save_file(state, part)
    part.replace(folder / SAFETENSORS)
