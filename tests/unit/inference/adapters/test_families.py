"""The register of families says nothing that is not so: evidence exists, and memory is what models really take."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedConfig

from inference.adapters import memory
from inference.adapters.build import ENGINES, build_adapter
from inference.adapters.families import FAMILIES, Family, family_of
from inference.pool.interface import Job, StreamSpec
from inference.pool.tasks import TASK_NAMES
from inference.qwen_audio.build import build_qwen_audio
from tests.support.adapter_checkpoints import melody, write_checkpoint
from tests.support.qwen_checkpoints import write_speaking_checkpoint

ROOT = Path(__file__).parents[4]
SECOND = 16_000
ADAPTED = [family for family in FAMILIES if family.code == "transformers"]


def numbers(held: Any) -> int:
    """How many numbers the tensors hold that can be reached from a state."""
    tensors: dict[int, torch.Tensor] = {}
    seen: list[Any] = []  # kept alive, so that identities stay unique
    waiting = [held]
    while waiting:
        one = waiting.pop()
        if isinstance(one, torch.Tensor):
            tensors[one.data_ptr()] = one
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
        elif not isinstance(one, str | bytes | int | float | PreTrainedConfig) and all(one is not s for s in seen):
            seen.append(one)
            waiting += getattr(one, "__dict__", {}).values()
            waiting += [getattr(one, name) for name in getattr(type(one), "__slots__", ()) if hasattr(one, name)]
    return sum(tensor.numel() for tensor in tensors.values())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_no_family_is_without_evidence_and_no_evidence_without_its_test(family: Family) -> None:
    assert family.evidence
    for evidence in family.evidence:
        assert (ROOT / evidence.test).is_file(), evidence.test
        assert "def test_" in (ROOT / evidence.test).read_text()
    assert set(family.tasks) <= set(TASK_NAMES)


def test_only_the_bundled_model_was_verified_with_real_weights() -> None:
    real = {family.name for family in FAMILIES for evidence in family.evidence if evidence.proof == "real weights"}
    assert real == {"Whisper"}


def test_the_families_of_the_register_and_of_the_builder_are_the_same() -> None:
    assert {family.model_type for family in ADAPTED} == set(ENGINES)
    assert family_of("qwen3_asr") in ADAPTED
    assert family_of("gpt2") is None


@pytest.mark.parametrize(
    ("name", "chat_format", "chats"),
    [
        ("Qwen/Qwen-Audio", None, False),
        ("Qwen/Qwen-Audio-Chat", None, True),
        ("/models/chat/qwen-audio/", None, False),
        ("/models/QWEN-AUDIO-CHAT/", None, True),
        ("Qwen/Qwen-Audio-Chat", "raw", False),
        ("mine", "chatml", True),
        ("mine-chat", "unheard of", True),
    ],
)
def test_the_chat_model_is_told_from_the_base_model(name: str, chat_format: str | None, chats: bool) -> None:
    family = family_of("qwen", name, chat_format)
    assert family is not None
    assert family.name == ("Qwen-Audio-Chat" if chats else "Qwen-Audio")


@pytest.mark.parametrize("family", ADAPTED, ids=lambda family: family.model_type)
def test_memory_is_what_a_model_and_its_stream_hold(family: Family, tmp_path: Path) -> None:
    """Weights to the number; a stream's state to a tenth, after 9 s and at its bound."""
    engine: Any = build_adapter(str(write_checkpoint(family.model_type, tmp_path)), "cpu", 1)
    config = json.loads((tmp_path / "config.json").read_text())
    assert family.tasks == engine.info.tasks
    assert family.language_count >= len(engine.info.languages)
    held = {weight.data_ptr(): weight.numel() for weight in engine.model.parameters()}
    assert family.parameters(config) == sum(held.values())
    engine.open("s", StreamSpec(language="en"))
    engine.append("s", 0, 0, (melody(20.0) * 32_767).astype("<i2").tobytes())
    for seconds in (9, 20):
        assert engine.step([Job("s", 0, 1, "interim", 0, seconds * SECOND)]).errors == ()
        told = family.stream_values(config, seconds)
        assert numbers(engine._streams["s"].utterances[0].state) == pytest.approx(told, rel=0.1)


@pytest.mark.parametrize("chats", [False, True])
def test_memory_is_what_qwen_audio_and_its_stream_hold(tmp_path: Path, chats: bool) -> None:
    """Weights to the number; a stream's state to a tenth, and the room that caches keep free."""
    engine: Any = build_qwen_audio(str(write_speaking_checkpoint(tmp_path, chats=chats)), "cpu", 1)
    config = json.loads((tmp_path / "config.json").read_text())
    family = family_of("qwen", chat_format="chatml" if chats else "raw")
    assert family is not None
    assert family.parameters(config) == sum(weight.numel() for weight in engine.model.parameters())
    assert family.tasks == engine.info.tasks
    assert family.language_count == len(engine.info.languages)
    engine.open("s", StreamSpec(language="en"))
    engine.append("s", 0, 0, (melody(20.0) * 32_767).astype("<i2").tobytes())
    for seconds in (10, 20):
        assert engine.step([Job("s", 0, 1, "interim", 0, seconds * SECOND)]).errors == ()
        live = engine._streams["s"].utterances[0].live
        free = live.clip.stream.kept.nbytes // 4 - 2 * 2 * 32 * 50 * seconds
        held = numbers([live.clip.stream, live.clip.cache]) - numbers(live.clip.stream.mel._filters) - free
        assert held == pytest.approx(family.stream_values(config, seconds), rel=0.1)


def test_memory_of_whisper_is_what_transformers_makes_of_its_configuration() -> None:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    (whisper,) = [family for family in FAMILIES if family.model_type == "whisper"]
    config = dict(whisper.published[0].config)
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(WhisperConfig(**config))
    assert memory.whisper_parameters(config) == sum(weight.numel() for weight in model.parameters())


def test_published_sizes_are_those_that_are_known() -> None:
    """Millions of parameters, of models that transformers' code makes of the published configurations."""
    told = {
        published.name: round(family.parameters(published.config) / 1e6)
        for family in FAMILIES
        for published in family.published
    }
    assert told == {
        "tiny.en": 38,
        "Qwen/Qwen-Audio": 8394,
        "Qwen/Qwen-Audio-Chat": 8394,
        "nvidia/nemotron-speech-streaming-en-0.6b": 617,
        "mistralai/Voxtral-Mini-4B-Realtime-2602": 4430,
        "Qwen/Qwen3-ASR-1.7B-hf": 2038,
        "Qwen/Qwen3-ASR-0.6B-hf": 782,
        "Qwen/Qwen2-Audio-7B": 8397,
    }


def test_a_stream_takes_its_pcm_and_its_numbers() -> None:
    (whisper,) = [family for family in FAMILIES if family.model_type == "whisper"]
    config = whisper.published[0].config
    taken = whisper.memory(config, seconds=10.0, bytes_per_value=4)
    assert taken.weights_bytes == 4 * whisper.parameters(config)
    assert taken.stream_bytes == 4 * 500 * 8 * 2 * 384 + 320_000


def test_the_register_needs_no_model_library() -> None:
    code = "import sys, inference.adapters.families; print(*{'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
