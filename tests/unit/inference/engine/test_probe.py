"""What the probe finds on a machine."""

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from inference.engine import probe


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
