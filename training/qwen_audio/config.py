"""What a training run is: one TOML file, one frozen record. Loads nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

import msgspec


class ConfigError(Exception):
    """The configuration cannot be used. The message is one sentence for a user."""


class Lora(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Low-rank updates (Hu et al., 2021) of linear layers; their base weights stay frozen."""

    rank: int = 8
    alpha: float = 16.0
    layers: tuple[str, ...] = ("transformer.h.*.attn.c_attn", "transformer.h.*.attn.c_proj", "transformer.h.*.mlp.*")
    """Patterns of module names."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError("lora.rank is at least 1")


class Augment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """SpecAugment (Park et al., 2019) on what the encoder hears, and noise on the words that the decoder reads."""

    time_masks: int = 0
    time_mask_s: float = 0.5
    """The longest mask; and no mask covers more than a fifth of the clip."""
    frequency_masks: int = 0
    frequency_mask_bins: int = 20
    """The widest mask, of the 80 mel bins; needs an encoder that is run (`cache_encoder = false`)."""
    token_noise: float = 0.0
    """Share of the answer's tokens that the decoder reads as other pieces, drawn at random; labels stay."""
    speeds: tuple[float, ...] = (1.0,)
    """Speed perturbation (Ko et al., 2015): a clip is played at one of these."""

    def __post_init__(self) -> None:
        if not self.speeds or min(self.speeds) < 0.5 or max(self.speeds) > 2:
            raise ValueError("augment.speeds lie between 0.5 and 2")
        if not 0 <= self.token_noise < 1:
            raise ValueError("augment.token_noise is at least 0 and below 1")


class Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    manifest: str
    """JSONL; audio paths are relative to its folder."""
    groups: tuple[str, ...] = ()
    """Only rows of these groups; empty: all."""
    form: Literal["raw", "chat"] = "raw"
    """`raw`: tags follow the audio (stage 1). `chat`: a ChatML turn that ends with the row's question (stage 2)."""
    tags: bool = True
    """False drops the tags: the ablation of the multi-task scheme."""
    temperature: float = 2.0
    """A task of n rows is drawn in proportion to n**(1/temperature): 1 is by size, large values are even."""
    positions_per_batch: int = 4096
    """Most positions of a batch: sequences are packed, there is no padding."""
    positions_per_row: int = 1024
    """Longer rows are left out and counted."""
    cache_encoder: bool = False
    """Run the encoder once per clip and keep its states; only where nothing below `proj` is trained."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError("data.temperature is above 0")
        if not 0 < self.positions_per_row <= self.positions_per_batch:
            raise ValueError("data.positions_per_row is at least 1 and at most data.positions_per_batch")


class Optimiser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AdamW, linear warm-up, then a cosine down to `floor` of the peak."""

    steps: int
    learning_rate: float
    warmup_steps: int = 0
    floor: float = 0.1
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 0.1
    """Of matrices only: vectors (norms, biases) and embeddings are not decayed."""
    clip: float = 1.0
    """Largest norm of all gradients together."""
    accumulate: int = 1
    """Batches per step."""
    autocast: Literal["no", "bf16"] = "no"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.accumulate < 1:
            raise ValueError("optimiser.steps and optimiser.accumulate are at least 1")
        if not 0 <= self.warmup_steps <= self.steps:
            raise ValueError("optimiser.warmup_steps lies between 0 and optimiser.steps")
        if self.learning_rate <= 0 or self.clip <= 0:
            raise ValueError("optimiser.learning_rate and optimiser.clip are above 0")


class Every(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps between two of a kind; 0: only at the end."""

    log: int = 10
    validate: int = 200
    checkpoint: int = 200


class TrainingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    checkpoint: str
    """A folder in the original layout to start from: model.safetensors, config.json, qwen.tiktoken."""
    output: str
    """A folder for checkpoints, log, curves and the exported model."""
    data: Data
    optimiser: Optimiser
    trainable: tuple[str, ...] = ("*",)
    """Patterns (`fnmatch`) of parameter names that are trained ..."""
    frozen: tuple[str, ...] = ()
    """... but for these."""
    lora: Lora | None = None
    augment: Augment = Augment()
    every: Every = Every()
    device: str = "cpu"
    seed: int = 0


def read_config(file: Path) -> TrainingConfig:
    """Reads a TOML file; its relative paths are taken from its own folder.

    Raises:
        ConfigError: it cannot be read, is no TOML, has an unknown key or a value out of range.
    """
    try:
        config = msgspec.convert(tomllib.loads(file.read_text("utf-8")), TrainingConfig)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{file}: {error}") from error
    folder = file.resolve().parent
    return msgspec.structs.replace(
        config,
        checkpoint=str(folder / config.checkpoint),
        output=str(folder / config.output),
        data=msgspec.structs.replace(config.data, manifest=str(folder / config.data.manifest)),
    )
