"""Which engine a model's name leads to, and that no name is looked for where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inference.adapters import choose
from inference.adapters.choose import build_engine, model_type_of
from inference.pool.interface import EngineStartError
from inference.pool.worker import engine_builder
from tests.support.adapter_checkpoints import write_checkpoint
from tests.support.qwen_checkpoints import write_speaking_checkpoint


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str]]:
    """What the hub is asked for; it has one repository."""
    asked: list[tuple[str, str]] = []

    def download(name: str, file: str, **_: Any) -> str:
        asked.append((name, file))
        if name != "Qwen/Qwen-Audio":
            raise OSError("the network is away")
        (tmp_path / file).write_text(json.dumps({"model_type": "qwen"}))
        return str(tmp_path / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    return asked


def test_the_hub_is_asked_for_names_of_the_hub_only(hub: list[tuple[str, str]], tmp_path: Path) -> None:
    for name in ("tiny.en", "base", "./owner/name", "/owner", "~/name", "a/b/c", str(tmp_path)):
        assert model_type_of(name) == ""
    assert hub == []
    assert model_type_of("Qwen/Qwen-Audio") == "qwen"
    assert model_type_of("openai/whisper-base") == "", "its loader says that the network is away"
    assert hub == [("Qwen/Qwen-Audio", "config.json"), ("openai/whisper-base", "config.json")]


@pytest.mark.parametrize("told", ["{", "[]", "{}", '{"alignment_heads": []}'])
def test_a_folder_that_does_not_say_what_it_is_is_left_to_whispers_loader(tmp_path: Path, told: str) -> None:
    (tmp_path / "config.json").write_text(told)
    assert model_type_of(str(tmp_path)) == ""
    with pytest.raises(EngineStartError, match="Whisper"):
        build_engine(str(tmp_path), "cpu", 1, "float32")


def test_a_model_of_no_family_is_told_with_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(EngineStartError, match=r"'bert'.*qwen, qwen2_audio.*whisper.*tympan models"):
        build_engine(str(tmp_path), "cpu", 1)


def test_the_workers_builder_makes_each_family(tmp_path: Path) -> None:
    build = engine_builder("whisper")
    qwen = write_speaking_checkpoint(tmp_path / "Qwen-Audio")
    qwen2 = write_checkpoint("qwen2_audio", tmp_path / "qwen2")
    made = [build(str(model), "cpu", 1, "float32") for model in (qwen, qwen2, "tiny.en")]
    assert [type(engine).__name__ for engine in made] == ["QwenAudioEngine", "Qwen2AudioEngine", "WhisperEngine"]
    assert [engine.info.model for engine in made] == [str(qwen), str(qwen2), "tiny.en"]


def test_no_torch_is_needed_to_choose() -> None:
    import subprocess
    import sys

    code = f"import sys, {choose.__name__}; print(*{{'torch', 'transformers'}} & set(sys.modules))"
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
