"""A configuration is read as the original's files have it, or refused with the field that is wrong."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from inference.qwen_audio.config import ConfigError, load_config, parse_config
from tests.support.qwen_checkpoints import TINY


def listed(**changes: Any) -> dict[str, Any]:
    return asdict(TINY) | changes


def listed_audio(**changes: Any) -> dict[str, Any]:
    return listed(audio=asdict(TINY.audio) | changes)


def test_a_configuration_survives_its_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(listed(architectures=["QWenLMHeadModel"], fp16=True)))
    assert load_config(tmp_path) == TINY


def test_sizes_that_the_code_asks_for_follow_from_the_fields() -> None:
    config = parse_config(listed())
    assert config.audio_end_id == config.audio.audio_start_id + 1
    assert config.feed_forward * 2 == config.intermediate_size
    assert config.attention_width == config.num_attention_heads * config.kv_channels


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (listed(hidden_size="64"), "hidden_size"),
        (listed(hidden_size=True), "hidden_size"),
        (listed(use_logn_attn=1), "use_logn_attn"),
        (listed(num_hidden_layers=0), "num_hidden_layers"),
        (listed(kv_channels=15), "kv_channels"),
        (listed(intermediate_size=95), "intermediate_size"),
        (listed(max_position_embeddings=16), "max_position_embeddings"),
        (listed(rotary_pct=0.25), "rotary_pct"),
        (listed(tie_word_embeddings=True), "tie_word_embeddings"),
        (listed(layer_norm_epsilon=0.0), "layer_norm_epsilon"),
        (listed_audio(n_head=3), "n_head"),
        (listed_audio(n_ctx=1499), "n_ctx"),
        (listed_audio(n_mels=0), "n_mels"),
        (listed_audio(output_dim=64), "output_dim"),
        (listed_audio(avg_pool=False), "avg_pool"),
        (listed_audio(audio_start_id=127), "audio_start_id"),
        (listed(audio=None), "audio"),
        ({key: value for key, value in listed().items() if key != "vocab_size"}, "vocab_size"),
    ],
)
def test_a_wrong_field_is_named(broken: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse_config(broken)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        load_config(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json"):
        load_config(tmp_path)
