"""From a checkpoint in Qwen-Audio's original layout to its engine."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from inference.adapters.families import is_chat
from inference.adapters.loading import Checkpoint, find_checkpoint, find_place
from inference.pool.interface import SAMPLE_RATE, EngineStartError, Job, StreamSpec
from inference.qwen_audio.checkpoint import CheckpointError, load_model
from inference.qwen_audio.config import ConfigError, QwenAudioConfig, parse_config
from inference.qwen_audio.engine import QwenAudioEngine
from inference.qwen_audio.model import QwenAudio
from inference.qwen_audio.tokenizer import QwenTokenizer, TokenizerError, load_tokenizer

_CUDA_SHARE, _CPU_SHARE = 0.8, 0.5
"""Of the memory that the weights left free: what may be kept of utterances. The rest is for what a step computes."""


def build_qwen_audio(model: str, device: str, threads: int | None = None, precision: str = "auto") -> QwenAudioEngine:
    """An `inference.pool.core.EngineBuilder` for Qwen-Audio and Qwen-Audio-Chat; the engine is warm.

    Args:
        model: a folder, or a hub name; `says_chat` tells which of the two it is.
        device: auto, cpu, cuda or cuda:N.
        threads: CPU threads of a step; None leaves a core to the gateway.
        precision: auto, float32 or bfloat16.

    Raises:
        EngineStartError: what is asked for is not to be had; one sentence with the remedy.
    """
    checkpoint = find_checkpoint(model)
    place = find_place(device, threads, precision)
    _, tokenizer = read_parts(checkpoint)
    weights = read_weights(checkpoint, place.dtype, place.device)
    engine = QwenAudioEngine(
        weights, tokenizer, name=checkpoint.name, chats=says_chat(checkpoint), cache_bytes=_room(place.device)
    )
    _warm_up(engine)
    return engine


def read_parts(checkpoint: Checkpoint) -> tuple[QwenAudioConfig, QwenTokenizer]:
    """All but the weights. Raises EngineStartError."""
    try:
        config = parse_config(checkpoint.config)
        tokenizer = load_tokenizer(checkpoint.folder)
    except ConfigError as error:
        raise EngineStartError(
            f"The config.json of {checkpoint.name} is not Qwen-Audio's ({error}): get the checkpoint again."
        ) from error
    except TokenizerError as error:
        raise EngineStartError(f"The tokenizer of {checkpoint.name} cannot be used: {error}.") from error
    begin = tokenizer.specials.audio_start
    if tokenizer.vocabulary > config.vocab_size or begin != config.audio.audio_start_id:
        raise EngineStartError(
            f"The qwen.tiktoken and the config.json of {checkpoint.name} are not a pair (audio begins with token "
            f"{begin} of {tokenizer.vocabulary}, not {config.audio.audio_start_id} of {config.vocab_size}): get both "
            "again."
        )
    return config, tokenizer


def read_weights(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> QwenAudio:
    """The model. Raises EngineStartError."""
    try:
        return load_model(checkpoint.folder, dtype, device)
    except (ConfigError, CheckpointError) as error:
        raise EngineStartError(f"{checkpoint.name} cannot be used ({error}): get its weight files again.") from error
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise EngineStartError(
            f"{checkpoint.name} does not fit into the memory of {device}: choose a device with more, or bfloat16."
        ) from error


def says_chat(checkpoint: Checkpoint) -> bool:
    """Whether it is Qwen-Audio-Chat: by its generation_config.json, else by its name. Raises EngineStartError."""
    name = checkpoint.name
    if Path(name).expanduser().is_dir():
        name = Path(name).expanduser().resolve().name
    return is_chat(name, checkpoint.read("generation_config.json").get("chat_format"))


def _room(device: torch.device) -> int | None:
    """Bytes for what is kept of utterances; None where the system does not say what is free."""
    if device.type == "cuda":
        return int(_CUDA_SHARE * torch.cuda.mem_get_info(device)[0])
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
    return int(_CPU_SHARE * free)


def _warm_up(engine: QwenAudioEngine) -> None:
    """One interim and one final of a second of silence: the first client does not wait for lazy set-up.

    Raises EngineStartError: what fails here would fail for all.
    """
    engine.open("warm-up", StreamSpec())
    engine.append("warm-up", 0, 0, bytes(2 * SAMPLE_RATE))
    for kind in ("interim", "final"):
        for error in engine.step([Job("warm-up", 0, 0, kind, 0, SAMPLE_RATE)]).errors:
            raise EngineStartError(
                f"{engine.info.model} does not run on {engine.info.device} ({error.message}): free some of its memory, "
                "or choose another device or precision."
            )
    engine.close("warm-up")
