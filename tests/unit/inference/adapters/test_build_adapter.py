"""From a name to an engine: the family by config.json, and one sentence with the remedy where there is none."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.adapters import build
from inference.adapters.build import build_adapter
from inference.pool.interface import EngineStartError
from tests.support.adapter_checkpoints import write_checkpoint

FAMILY = "nemotron_asr_streaming"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(FAMILY, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """Of the checkpoint, to be broken."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def refused(model: Path | str, **wanted: Any) -> str:
    with pytest.raises(EngineStartError) as caught:
        build_adapter(str(model), wanted.pop("device", "cpu"), 1, **wanted)
    return str(caught.value)


def test_a_name_that_is_neither_a_folder_nor_of_the_hub() -> None:
    assert "say a folder" in refused("nowhere")


def test_a_name_of_the_hub_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*arguments: object, **settings: object) -> str:
        raise OSError("the network is away")

    monkeypatch.setattr("huggingface_hub.snapshot_download", away)
    assert "the network is away" in refused("owner/name")


def test_a_name_of_the_hub_is_loaded_from_its_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *arguments, **settings: str(folder))
    assert build_adapter("owner/name", "cpu", 1).info.model == "owner/name"


@pytest.mark.parametrize("told", [{"model_type": "whisper"}, {}])
def test_a_model_of_no_family_here(copy: Path, told: dict[str, str]) -> None:
    (copy / "config.json").write_text(json.dumps(told))
    message = refused(copy)
    assert FAMILY in message
    assert "tympan models" in message


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_config_that_cannot_be_read(copy: Path, text: str) -> None:
    (copy / "config.json").write_text(text)
    assert "config.json" in refused(copy)


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors", "preprocessor_config.json"])
def test_a_file_that_is_missing(copy: Path, missing: str) -> None:
    (copy / missing).unlink()
    assert "again" in refused(copy) or "config.json" in refused(copy)


def test_a_tensor_that_is_missing(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(copy / "model.safetensors")
    del state["joint.head.weight"]
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    assert "joint.head.weight" in refused(copy)


def test_a_tokenizer_that_is_another_models(copy: Path) -> None:
    write_checkpoint("qwen3_asr", copy / "other")
    (copy / "tokenizer.json").write_bytes((copy / "other" / "tokenizer.json").read_bytes())
    assert "not a pair" in refused(copy)


def test_a_tokenizer_that_is_none(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}")
    assert "no tokenizer that can be read" in refused(copy)


def test_a_device_or_precision_that_is_not_there(folder: Path) -> None:
    assert "cpu" in refused(folder, device="abacus")
    assert "int8" in refused(folder, precision="int8")


def test_a_precision_that_is_asked_for_is_taken(folder: Path) -> None:
    engine: Any = build_adapter(str(folder), "cpu", 1, "bfloat16")
    assert engine.info.dtype == "bfloat16"
    assert engine.model.joint.head.weight.dtype is torch.bfloat16


def test_a_transformers_that_does_not_have_the_family(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(build.ENGINES, FAMILY, ("inference.adapters.absent", "NemotronEngine"))
    assert "5.23 or newer" in refused(folder)
