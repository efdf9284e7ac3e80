"""What the probe finds on a machine."""

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from inference.adapters.build import build_adapter
from inference.engine import probe
from inference.qwen_audio.build import build_qwen_audio
from tests.support.adapter_checkpoints import write_checkpoint
from tests.support.qwen_checkpoints import write_speaking_checkpoint


def put_into_cache(cache: Path, name: str, model_type: str, *, weights: bool = True) -> None:
    """A repository in the layout of the hub's cache."""
    repo = cache / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("0123abcd")
    (repo / "blobs").mkdir()
    for file, content in (("config.json", json.dumps({"model_type": model_type})), ("model.safetensors", "w" * 100)):
        if file == "config.json" or weights:
            (repo / "blobs" / file).write_text(content)
            (snapshot / file).symlink_to(repo / "blobs" / file)


def test_only_whisper_checkpoints_with_weights_are_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_into_cache(tmp_path, "openai/whisper-base", "whisper")
    put_into_cache(tmp_path, "openai/whisper-large", "whisper", weights=False)
    put_into_cache(tmp_path, "some/bert", "bert")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    found = probe.in_hub_cache()
    assert [(model.name, model.kind) for model in found] == [("openai/whisper-base", "hub cache")]
    assert found[0].bytes >= 100


def test_other_families_are_at_hand_and_qwens_models_of_text_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_into_cache(tmp_path, "some/qwen3", "qwen3_asr")
    put_into_cache(tmp_path, "Qwen/Qwen-7B", "qwen")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert [model.name for model in probe.in_hub_cache()] == ["some/qwen3"]


def test_a_checkpoint_of_another_family_is_described(tmp_path: Path) -> None:
    write_speaking_checkpoint(tmp_path / "qwen", chats=True)
    write_checkpoint("qwen2_audio", tmp_path / "qwen2")
    described = [probe.report(str(tmp_path / name))["weights"] for name in ("qwen", "qwen2")]
    assert [(each["family"], each["languages"]) for each in described] == [("Qwen-Audio-Chat", 9), ("Qwen2-Audio", 8)]
    engines = build_qwen_audio(str(tmp_path / "qwen"), "cpu", 1), build_adapter(str(tmp_path / "qwen2"), "cpu", 1)
    for each, engine in zip(described, engines, strict=True):
        weights = {weight.data_ptr(): weight.numel() for weight in engine.model.parameters()}  # type: ignore[attr-defined]
        assert each["parameters"] == sum(weights.values())


@pytest.mark.parametrize(
    ("missing", "said"),
    [("qwen.tiktoken", "qwen.tiktoken"), ("model.safetensors", "weight files"), ("config.json", "config.json")],
)
def test_what_lacks_of_a_checkpoint_of_another_family_is_the_problem(tmp_path: Path, missing: str, said: str) -> None:
    (write_speaking_checkpoint(tmp_path) / missing).unlink()
    assert said in probe.report(str(tmp_path))["problem"]


@pytest.mark.parametrize(
    ("told", "said"),
    [({"model_type": "bert"}, "tympan models"), ({"model_type": "qwen2_audio"}, "no weights")],
)
def test_a_folder_that_is_no_model_of_a_family_is_a_problem(tmp_path: Path, told: dict[str, str], said: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(told))
    assert said in probe.report(str(tmp_path))["problem"]


def test_no_hub_cache_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "none"))
    assert probe.in_hub_cache() == []


def test_a_model_that_cannot_be_loaded_is_a_problem_beside_the_machine() -> None:
    report = probe.report("nix")
    assert "no model 'nix'" in report["problem"]
    assert report["precision"] in report["precision_us"]
    assert set(report["cpu_features"]) <= set(probe.FEATURES)


def test_loaded_weights_are_described() -> None:
    """tiny.en has 37.2 million parameters and the encoder's 1500 x 384 position table."""
    weights = probe.report("tiny.en")["weights"]
    assert weights["name"] == "tiny.en"
    assert weights["parameters"] == 37_184_256 + 1500 * 384
