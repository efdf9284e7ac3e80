"""From a folder or a hub name to Qwen-Audio's engine; what is wrong is told in a sentence with its remedy."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.pool.interface import EngineStartError, Job, StreamSpec
from inference.qwen_audio.build import build_qwen_audio
from inference.qwen_audio.checkpoint import CheckpointError
from tests.support.qwen_audio import RANKS, write_tiktoken
from tests.support.qwen_checkpoints import write_speaking_checkpoint, write_state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_speaking_checkpoint(tmp_path)


def refused(model: Path | str, **wanted: Any) -> str:
    with pytest.raises(EngineStartError) as caught:
        build_qwen_audio(str(model), wanted.pop("device", "cpu"), 1, **wanted)
    return str(caught.value)


def change(folder: Path, **fields: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


@pytest.mark.parametrize("missing", ["config.json", "qwen.tiktoken", "model.safetensors"])
def test_a_file_that_is_missing_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    assert missing in refused(folder)


def test_a_model_of_text_is_not_qwen_audio(folder: Path) -> None:
    change(folder, audio=None)
    assert "no object `audio`" in refused(folder)


def test_a_configuration_and_weights_that_do_not_fit(folder: Path) -> None:
    change(folder, num_hidden_layers=3)
    message = refused(folder)
    assert "missing" in message
    assert "get its weight files again" in message


def test_a_tokenizer_and_a_configuration_that_are_no_pair(folder: Path) -> None:
    write_tiktoken(folder, RANKS + 1)
    assert "not a pair" in refused(folder)


def test_a_tokenizer_that_is_broken(folder: Path) -> None:
    (folder / "qwen.tiktoken").write_text("no base64")
    assert "qwen.tiktoken, line 1" in refused(folder)


def test_a_device_or_precision_that_is_not_there(folder: Path) -> None:
    assert "cpu" in refused(folder, device="abacus")
    assert "int8" in refused(folder, precision="int8")


def test_too_little_memory_for_the_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("inference.qwen_audio.build.load_model", full)
    assert "does not fit into the memory of cpu" in refused(folder)


def test_what_loading_says_is_passed_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise CheckpointError("the index is broken")

    monkeypatch.setattr("inference.qwen_audio.build.load_model", broken)
    assert "the index is broken" in refused(folder)


def test_a_device_without_room_for_one_utterance(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.qwen_audio.build._room", lambda device: 1000)
    assert "free some of its memory" in refused(folder)


def test_bfloat16_says_something_too(folder: Path) -> None:
    engine = build_qwen_audio(str(folder), "cpu", 1, "bfloat16")
    assert (engine.info.dtype, engine.model.dtype) == ("bfloat16", torch.bfloat16)
    engine.open("s", StreamSpec(language="en"))
    engine.append("s", 0, 0, bytes(64_000))
    for kind in ("interim", "final"):
        assert engine.step([Job("s", 0, 1, kind, 0, 32_000)]).errors == ()


def test_what_is_kept_of_utterances_is_bounded_and_nothing_is_left_of_the_warm_up(folder: Path) -> None:
    engine = build_qwen_audio(str(folder), "cpu", 1)
    assert engine.ledger.limit_bytes is not None
    assert engine.ledger.limit_bytes < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert (engine.ledger.bytes, engine._streams) == (0, {})


def test_a_hub_name_is_loaded_from_its_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickled weights are loaded where there are no others."""
    asked: list[list[str]] = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    engine = build_qwen_audio("Qwen/Qwen-Audio", "cpu", 1)
    assert (engine.info.model, engine.asker.chats) == ("Qwen/Qwen-Audio", False)
    assert "*.tiktoken" in asked[0]
    assert len(asked) == 1
    (folder / "model.safetensors").unlink()
    write_state(folder, engine.model.config, dict(engine.model.state_dict()), "pickled shards")
    (folder / "generation_config.json").unlink()
    assert build_qwen_audio("Qwen/Qwen-Audio-Chat", "cpu", 1).asker.chats
    assert asked[1:] == [asked[0], ["*.bin"]]


@pytest.mark.skipif("TYMPAN_DATA" not in os.environ, reason="TYMPAN_DATA names no folder of recordings")
def test_weights_without_their_tokenizer_are_refused() -> None:
    golden = Path(os.environ["TYMPAN_DATA"]) / "golden" / "qwen_audio_tiny"
    assert "qwen.tiktoken is missing" in refused(golden)
