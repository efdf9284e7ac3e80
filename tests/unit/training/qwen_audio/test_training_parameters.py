"""What is trained: patterns of names, low-rank updates, the rate of a step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inference.qwen_audio.checkpoint import load_model
from inference.qwen_audio.model import QwenAudio
from tests.support.training_qwen_audio import write_checkpoint
from training.qwen_audio.config import ConfigError, Lora, Optimiser, read_config
from training.qwen_audio.freezing import encoder_is_frozen, freeze
from training.qwen_audio.lora import LoraLinear, add_lora, base_names, merged_state
from training.qwen_audio.schedule import learning_rate, make_optimiser

CONFIGS = Path(__file__).parents[4] / "training" / "qwen_audio" / "configs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(made)
    return made


@pytest.fixture
def model(folder: Path) -> QwenAudio:
    return load_model(folder)


def test_stage_1_trains_the_encoder_alone(model: QwenAudio) -> None:
    stage = read_config(CONFIGS / "stage1.toml")
    trained = freeze(model, stage.trainable, stage.frozen)
    assert trained == [name for name, _ in model.named_parameters() if name.startswith("transformer.audio.")]
    assert {name for name, each in model.named_parameters() if each.requires_grad} == set(trained)
    assert not encoder_is_frozen(trained)


def test_stage_2_trains_the_language_model_alone(model: QwenAudio) -> None:
    stage = read_config(CONFIGS / "stage2.toml")
    trained = freeze(model, stage.trainable, stage.frozen)
    assert trained == [name for name, _ in model.named_parameters() if not name.startswith("transformer.audio.")]
    assert encoder_is_frozen(trained)


def test_stage_2_with_updates_trains_them_alone(model: QwenAudio) -> None:
    stage = read_config(CONFIGS / "stage2_lora.toml")
    assert stage.lora is not None
    added = add_lora(model, stage.lora)
    trained = freeze(model, (*stage.trainable, *added), (*stage.frozen, *base_names(model)))
    assert len(trained) == 2 * 2 * 5  # down and up, layers, linear layers of a block
    assert all(".h." in name and name.endswith((".down", ".up")) for name in trained)


def test_states_may_be_kept_while_the_projection_is_trained() -> None:
    assert encoder_is_frozen(["lm_head.weight", "transformer.audio.proj.weight"])
    assert not encoder_is_frozen(["transformer.audio.ln_post.weight"])


@pytest.mark.parametrize(
    ("trainable", "frozen", "said"),
    [(("*.nothing",), (), "no parameter is named"), (("lm_head.*",), ("lm_head.weight",), "everything is frozen")],
)
def test_a_pattern_that_means_nothing_is_refused(
    model: QwenAudio, trainable: tuple[str, ...], frozen: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        freeze(model, trainable, frozen)


def test_updates_begin_as_nothing_and_merge_into_plain_weights(model: QwenAudio, folder: Path) -> None:
    prompts = [[torch.arange(20)]]
    before = model(prompts)[0]
    add_lora(model, Lora(rank=3, alpha=6.0))
    assert torch.equal(model(prompts)[0], before)
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, LoraLinear):
            torch.nn.init.normal_(module.up, std=0.3)
    with_updates = model(prompts)[0]
    assert not torch.allclose(with_updates, before, atol=1e-2)
    plain = load_model(folder)
    plain.load_state_dict(merged_state(model))
    assert torch.allclose(plain(prompts)[0], with_updates, atol=1e-4)


def test_updates_of_no_layer_are_refused(model: QwenAudio) -> None:
    with pytest.raises(ConfigError, match="no linear layer"):
        add_lora(model, Lora(layers=("transformer.wte",)))


def test_the_rate_warms_up_and_falls_along_a_cosine_to_its_floor() -> None:
    settings = Optimiser(steps=110, learning_rate=1.0, warmup_steps=10, floor=0.2)
    assert [learning_rate(step, settings) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert learning_rate(60, settings) == pytest.approx(0.6)  # half way between 1 and 0.2
    assert learning_rate(109, settings) == pytest.approx(0.2, abs=1e-3)


def test_vectors_and_embeddings_do_not_decay(model: QwenAudio) -> None:
    freeze(model, ("*",), ())
    decayed, others = make_optimiser(model, Optimiser(steps=1, learning_rate=1.0)).param_groups
    names = {id(each): name for name, each in model.named_parameters()}
    assert others["weight_decay"] == 0
    assert {"transformer.wte.weight", "transformer.ln_f.weight"} <= {names[id(each)] for each in others["params"]}
    assert "lm_head.weight" in {names[id(each)] for each in decayed["params"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps = 3", "unknown field|missing required"),
        (
            'checkpoint = "a"\noutput = "b"\n[data]\nmanifest = "m"\n[optimiser]\nsteps = 0\nlearning_rate = 1.0',
            "steps",
        ),
        ('checkpoint = "a"\noutput = "b"\n[data]\nmanifest = "m"\ntemprature = 2.0', "temprature"),
        ("[[", "FILE"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_reason(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "FILE.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        read_config(file)
    with pytest.raises(ConfigError, match="cannot read"):
        read_config(tmp_path / "absent.toml")


def test_paths_of_a_configuration_are_relative_to_its_file() -> None:
    assert read_config(CONFIGS / "stage1.toml").data.manifest == str(CONFIGS / "corpus" / "manifest.jsonl")
