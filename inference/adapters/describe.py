"""What a checkpoint is, without making an engine of it: for `tympan models --check` and `tympan doctor`."""

from __future__ import annotations

from typing import Any

import torch

from inference.adapters.families import Family, family_of
from inference.adapters.loading import Checkpoint, find_checkpoint
from inference.pool.interface import EngineStartError
from inference.qwen_audio.config import MODEL_TYPE as QWEN_AUDIO


def describe_checkpoint(model: str) -> dict[str, Any]:
    """Of a family other than Whisper.

    Qwen-Audio's weights are compared with its configuration, name by name and shape by shape, and take no memory. Of
    the families by transformers' code it is seen that there are weights; parameters follow from the configuration.

    Raises:
        EngineStartError: it is of no family, is not all there, or cannot be read; with the remedy.
    """
    checkpoint = find_checkpoint(model)
    if checkpoint.model_type == QWEN_AUDIO:
        from inference.qwen_audio.build import says_chat

        family = family_of(QWEN_AUDIO, chat_format="chatml" if says_chat(checkpoint) else "raw")
    else:
        family = family_of(checkpoint.model_type)
    if family is None:
        raise EngineStartError(f"{model} is a {checkpoint.model_type!r} model: choose one that `tympan models` lists.")
    own = checkpoint.model_type == QWEN_AUDIO
    parameters = _qwen_audio_parameters(checkpoint) if own else _told_parameters(checkpoint, family)
    return {
        "name": checkpoint.name,
        "source": str(checkpoint.folder),
        "parameters": parameters,
        "languages": family.language_count,
        "family": family.name,
    }


def _told_parameters(checkpoint: Checkpoint, family: Family) -> int:
    """By config.json. Raises EngineStartError, also where there are no weights."""
    if not any([*checkpoint.folder.glob("*.safetensors"), *checkpoint.folder.glob("*.bin")]):
        raise EngineStartError(f"{checkpoint.name} has no weights: get its model.safetensors.")
    try:
        return family.parameters(checkpoint.config)
    except (KeyError, TypeError, AttributeError) as error:
        raise EngineStartError(
            f"The config.json of {checkpoint.name} is not that of {family.name} ({error!r}): get the checkpoint again."
        ) from error


def _qwen_audio_parameters(checkpoint: Checkpoint) -> int:
    """Raises EngineStartError."""
    from inference.qwen_audio.build import read_parts, read_weights

    read_parts(checkpoint)
    weights = read_weights(checkpoint, torch.bfloat16, torch.device("meta"))
    return sum(parameter.numel() for parameter in weights.parameters())
