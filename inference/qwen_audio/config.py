"""The configuration of a Qwen-Audio checkpoint, field for field as its config.json names them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

CONFIG_FILE = "config.json"

MODEL_TYPE = "qwen"
"""As config.json of a checkpoint in the original layout has it."""


class ConfigError(ValueError):
    """A configuration is missing, broken, or describes a model that this code cannot run. One sentence for a user."""


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """Of the audio encoder, the object `audio` in config.json."""

    n_mels: int
    n_ctx: int
    """Encoder frames in a full window of 30 s, 20 ms each."""
    n_state: int
    n_head: int
    n_layer: int
    output_dim: int
    """Width of the language model that the frames are projected to."""
    audio_start_id: int
    """Token id of the tag before an audio; the one after it is this + 1."""
    avg_pool: bool = True
    add_audio_bos_eos_token: bool = True

    def __post_init__(self) -> None:
        _at_least_one(self, "n_mels", "n_ctx", "n_state", "n_head", "n_layer", "output_dim")
        if self.n_state % self.n_head:
            raise ConfigError(f"audio.n_state {self.n_state} is not a multiple of audio.n_head {self.n_head}")
        if self.n_ctx % 2:
            raise ConfigError(f"audio.n_ctx {self.n_ctx} is odd, but frames are pooled in pairs")
        if not (self.avg_pool and self.add_audio_bos_eos_token):
            raise ConfigError("audio.avg_pool and audio.add_audio_bos_eos_token must both be true, as in Qwen-Audio")

    @property
    def head_size(self) -> int:
        return self.n_state // self.n_head


@dataclass(frozen=True, slots=True)
class QwenAudioConfig:
    """Of the whole model."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    """Twice the width of the feed-forward layer: w1's and w2's rows together."""
    audio: AudioConfig
    kv_channels: int = 128
    """Size of an attention head."""
    seq_length: int = 2048
    """Tokens of a training sequence; beyond it dynamic NTK and logn attention set in."""
    max_position_embeddings: int = 8192
    layer_norm_epsilon: float = 1e-5
    rotary_emb_base: float = 10_000
    rotary_pct: float = 1.0
    use_dynamic_ntk: bool = True
    use_logn_attn: bool = True
    no_bias: bool = True
    """No biases in linear layers, but for the one of queries, keys and values."""
    tie_word_embeddings: bool = False

    def __post_init__(self) -> None:
        _at_least_one(self, "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "kv_channels")
        _at_least_one(self, "intermediate_size", "seq_length", "max_position_embeddings")
        if self.layer_norm_epsilon <= 0 or self.rotary_emb_base <= 1:
            raise ConfigError("layer_norm_epsilon must be above 0 and rotary_emb_base above 1")
        if self.kv_channels % 2 or self.kv_channels < 4:
            raise ConfigError(f"kv_channels {self.kv_channels} must be even and at least 4: halves are rotated")
        if self.intermediate_size % 2:
            raise ConfigError(f"intermediate_size {self.intermediate_size} is odd, but stands for two halves")
        if self.seq_length < 2 or self.max_position_embeddings < self.seq_length:
            raise ConfigError(
                f"max_position_embeddings {self.max_position_embeddings} is below seq_length {self.seq_length}"
            )
        if self.rotary_pct != 1.0 or self.tie_word_embeddings:
            raise ConfigError("only rotary_pct 1.0 and tie_word_embeddings false are known of Qwen-Audio")
        if self.audio.output_dim != self.hidden_size:
            raise ConfigError(f"audio.output_dim {self.audio.output_dim} is not hidden_size {self.hidden_size}")
        if not 0 <= self.audio.audio_start_id < self.vocab_size - 1:
            raise ConfigError(f"audio.audio_start_id {self.audio.audio_start_id} and the next are not both in the "
                              f"vocabulary of {self.vocab_size}")  # fmt: skip

    @property
    def audio_end_id(self) -> int:
        return self.audio.audio_start_id + 1

    @property
    def feed_forward(self) -> int:
        return self.intermediate_size // 2

    @property
    def attention_width(self) -> int:
        """Of all heads together."""
        return self.num_attention_heads * self.kv_channels


def parse_config(listed: Mapping[str, Any]) -> QwenAudioConfig:
    """A configuration from the content of config.json; fields that are not known here are ignored.

    Raises:
        ConfigError: a field is missing, has the wrong type, or contradicts another.
    """
    audio = listed.get("audio")
    if not isinstance(audio, Mapping):
        raise ConfigError("the configuration has no object `audio`: it is not Qwen-Audio's")
    return _build(QwenAudioConfig, {**listed, "audio": _build(AudioConfig, audio, "audio.")}, "")


def load_config(folder: Path) -> QwenAudioConfig:
    """Reads config.json of a checkpoint's folder. Raises ConfigError."""
    path = folder / CONFIG_FILE
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not isinstance(listed, dict):
        raise ConfigError(f"{path} does not hold an object")
    return parse_config(listed)


_Config = TypeVar("_Config", AudioConfig, QwenAudioConfig)
_NUMBERS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,)}


def _build(kind: type[_Config], listed: Mapping[str, Any], where: str) -> _Config:
    known = {field.name: str(field.type) for field in fields(kind)}
    given = {name: value for name, value in listed.items() if name in known}
    for name, value in given.items():
        expected = _NUMBERS.get(known[name])
        if expected and (not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected)):
            raise ConfigError(f"{where}{name} is {value!r}, but must be of type {known[name]}")
    try:
        return kind(**given)
    except TypeError as error:
        raise ConfigError(f"the configuration is incomplete: {error}") from error


def _at_least_one(config: AudioConfig | QwenAudioConfig, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} is {getattr(config, name)}, but must be at least 1")
