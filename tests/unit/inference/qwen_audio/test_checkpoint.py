"""Checkpoints load from every layout, exactly; what does not fit is named, and nothing in a file is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from inference.qwen_audio.checkpoint import CheckpointError, load_model
from inference.qwen_audio.config import ConfigError
from tests.support.qwen_checkpoints import TINY, Layout, random_model, write_checkpoint, write_state

LAYOUTS: tuple[Layout, ...] = ("safetensors", "safetensors shards", "pickled", "pickled shards")


def state() -> dict[str, Tensor]:
    return dict(random_model().state_dict())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_model(tmp_path: Path, layout: Layout) -> None:
    write_checkpoint(tmp_path, layout=layout)
    loaded = load_model(tmp_path)
    assert loaded.config == TINY
    assert not loaded.training
    expected = state()
    assert loaded.state_dict().keys() == expected.keys()
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_names_are_the_originals() -> None:
    names = state().keys()
    for name in (
        "transformer.wte.weight",
        "transformer.h.1.attn.c_attn.bias",
        "transformer.h.0.attn.c_proj.weight",
        "transformer.h.0.mlp.w1.weight",
        "transformer.h.0.mlp.c_proj.weight",
        "transformer.ln_f.weight",
        "lm_head.weight",
        "transformer.audio.conv2.bias",
        "transformer.audio.positional_embedding",
        "transformer.audio.blocks.1.attn.key.weight",
        "transformer.audio.blocks.1.mlp.2.bias",
        "transformer.audio.ln_post.weight",
        "transformer.audio.proj.bias",
        "transformer.audio.audio_bos_eos_token.weight",
    ):
        assert name in names
    assert "transformer.audio.blocks.0.attn.key.bias" not in names
    assert "transformer.h.0.attn.c_proj.bias" not in names


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_take_the_asked_type(tmp_path: Path, dtype: torch.dtype) -> None:
    write_checkpoint(tmp_path, layout="pickled shards", dtype=torch.bfloat16)
    loaded = load_model(tmp_path, dtype)
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {dtype}
    logits = loaded([[torch.tensor([1, 2, 3])]])[0]
    assert logits.dtype == dtype
    assert logits.isfinite().all()


def test_the_model_does_not_hang_on_its_files(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, layout="pickled")
    loaded = load_model(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\0" * (tmp_path / "pytorch_model.bin").stat().st_size)
    assert torch.equal(loaded.lm_head.weight, state()["lm_head.weight"])


def test_missing_unexpected_and_misshapen_tensors_are_all_named(tmp_path: Path) -> None:
    broken = state()
    del broken["transformer.ln_f.weight"]
    broken["transformer.h.9.ln_1.weight"] = torch.ones(32)
    broken["lm_head.weight"] = torch.zeros(128, 31)
    write_state(tmp_path, TINY, broken, "safetensors shards")
    with pytest.raises(CheckpointError) as caught:
        load_model(tmp_path)
    assert caught.value.missing == ("transformer.ln_f.weight",)
    assert [name.split()[0] for name in caught.value.unexpected] == ["transformer.h.9.ln_1.weight"]
    assert [name.split()[0] for name in caught.value.misshapen] == ["lm_head.weight"]
    for name in ("transformer.ln_f.weight", "transformer.h.9.ln_1.weight", "lm_head.weight"):
        assert name in str(caught.value)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, layout="pickled shards", shards=2)
    index = tmp_path / "pytorch_model.bin.index.json"
    first, second = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    both = torch.load(tmp_path / first) | dict([next(iter(torch.load(tmp_path / second).items()))])
    torch.save(both, tmp_path / first)
    with pytest.raises(CheckpointError, match="twice"):
        load_model(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, layout="safetensors shards")
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match="model-00002-of-00003"):
        load_model(tmp_path)


@pytest.mark.parametrize("layout", ["safetensors", "pickled"])
def test_a_broken_file_is_named(tmp_path: Path, layout: Layout) -> None:
    write_checkpoint(tmp_path, layout=layout)
    (file,) = (path for path in tmp_path.iterdir() if path.name != "config.json")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=file.name):
        load_model(tmp_path)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("exploded"),))  # type: ignore[return-value]


def test_code_in_a_pickled_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path, layout="pickled")
    torch.save({"lm_head.weight": Bomb()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pytorch_model"):
        load_model(tmp_path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("named", ["../model.safetensors", "/etc/passwd", 3])
def test_an_index_cannot_name_files_elsewhere(tmp_path: Path, named: object) -> None:
    write_checkpoint(tmp_path, layout="safetensors shards")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"lm_head.weight": named}}))
    with pytest.raises(CheckpointError, match="outside"):
        load_model(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": 3}'])
def test_a_broken_index_is_named(tmp_path: Path, content: str) -> None:
    write_checkpoint(tmp_path, layout="safetensors shards")
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match="index"):
        load_model(tmp_path)


def test_a_folder_without_weights_and_one_without_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load_model(tmp_path)
    write_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"neither model\.safetensors"):
        load_model(tmp_path)
