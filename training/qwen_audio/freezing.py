"""Which parameters are trained: patterns of names, as in the paper's stages.

Stage 1 (multi-task pre-training) trains `transformer.audio.*` under a frozen language model; stage 2 (supervised
fine-tuning, chat) freezes the encoder and trains the rest (Chu et al., 2023, section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from training.qwen_audio.config import ConfigError


def freeze(model: nn.Module, trainable: Sequence[str], frozen: Sequence[str]) -> list[str]:
    """Marks the parameters that are trained, and returns their names.

    Args:
        trainable: patterns (`fnmatch`) of names that are trained,
        frozen: and of those of them that are not.

    Raises:
        ConfigError: a pattern fits no parameter, or nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in (*trainable, *frozen):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(f"no parameter is named {pattern!r}; names are like {names[0]}")
    chosen = [name for name in names if fits(name, trainable) and not fits(name, frozen)]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in set(chosen))
    if not chosen:
        raise ConfigError("everything is frozen: there is nothing to train")
    return chosen


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns fits."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def encoder_is_frozen(trained: Iterable[str]) -> bool:
    """Whether the encoder's states can be kept: nothing below its projection is trained."""
    above = ("transformer.audio.proj.", "transformer.audio.audio_bos_eos_token.")
    return not any(name.startswith("transformer.audio.") and not name.startswith(above) for name in trained)
