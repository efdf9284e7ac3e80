"""A run learns, can be cut off at any step and go on bit for bit, and ends with a model that inference loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import msgspec
import pytest
import torch

from inference.adapters.loading import find_checkpoint
from inference.pool.tasks import Task
from inference.qwen_audio.build import says_chat
from inference.qwen_audio.checkpoint import load_model
from tests.support.training_qwen_audio import CAPTION, EVENTS, row, write_run, write_tones
from training.qwen_audio.__main__ import main
from training.qwen_audio.config import Augment, ConfigError, Data, Every, Lora, Optimiser, TrainingConfig
from training.qwen_audio.journal import read_log
from training.qwen_audio.loop import EXPORTED, Trainer
from training.qwen_audio.manifest import ManifestError, Row
from training.qwen_audio.proof.ask import Asker

FROZEN_ENCODER = ("transformer.audio.conv*", "transformer.audio.blocks.*", "transformer.audio.ln_post.*")


def four_clips(folder: Path) -> list[Row]:
    files = write_tones(folder / "tones", 4)
    rows = [row(file, name) for file, name in zip(files, ("the", "hello", "wor", "in"), strict=True)]
    return [*rows, *(row(file, f"a {number}", CAPTION, group="tones") for number, file in enumerate(files))]


def finished(config: TrainingConfig, *stops: int) -> Trainer:
    """A run that is cut off after each of these steps and resumed by a new trainer."""
    for number, stop in enumerate(stops):
        Trainer(config).train(resume=number > 0, until=stop)
    trainer = Trainer(config)
    trainer.train(resume=bool(stops))
    return trainer


@pytest.mark.parametrize("lora", [None, Lora(rank=2, alpha=4.0)])
def test_a_resumed_run_equals_one_that_was_not_interrupted(tmp_path: Path, lora: Lora | None) -> None:
    """Weights, moments of the optimiser, place in the data and log; with noise, masks and accumulation."""
    changed = {
        "lora": lora,
        "augment": Augment(time_masks=1, frequency_masks=1, token_noise=0.3, speeds=(0.9, 1.1)),
        "optimiser": Optimiser(steps=6, learning_rate=1e-2, warmup_steps=2, accumulate=2, autocast="bf16"),
    }
    rows = [*four_clips(tmp_path), row(tmp_path / "tones" / "0.flac", "the", split="validation")]
    whole = write_run(tmp_path, rows, **changed)
    cut = msgspec.structs.replace(whole, output=str(tmp_path / "cut"))
    ours, theirs = finished(cut, 2, 5), finished(whole)
    for (name, one), (_, other) in zip(ours.model.named_parameters(), theirs.model.named_parameters(), strict=True):
        assert torch.equal(one, other), name
    moments = zip(ours.optimiser.state.values(), theirs.optimiser.state.values(), strict=True)
    assert all(torch.equal(one[key], other[key]) for one, other in moments for key in ("exp_avg", "exp_avg_sq"))
    assert ours.batches.state() == theirs.batches.state()
    logs = [
        [{key: value for key, value in entry.items() if key != "labels_per_s"} for entry in read_log(Path(output))]
        for output in (cut.output, whole.output)
    ]
    training = [[entry for entry in log if "loss" in entry] for log in logs]
    assert training[0] == training[1]
    assert len(training[0]) == 6


def test_a_run_can_only_be_resumed_with_its_configuration(tmp_path: Path) -> None:
    config = write_run(tmp_path, four_clips(tmp_path))
    with pytest.raises(ConfigError, match="nothing to resume"):
        Trainer(config).train(resume=True)
    Trainer(config).train(until=1)
    with pytest.raises(ConfigError, match="another configuration"):
        Trainer(msgspec.structs.replace(config, seed=1)).train(resume=True)
    (tmp_path / "out" / "training.pt").write_bytes(b"cut off")
    with pytest.raises(ConfigError, match="cannot be read"):
        Trainer(config).train(resume=True)


def test_four_clips_are_learnt_by_heart_under_two_tags(tmp_path: Path) -> None:
    """The same clips are answered under each tag with that tag's answer, by the exported model in inference."""
    rows = four_clips(tmp_path)
    config = write_run(
        tmp_path,
        rows,
        steps=160,
        data=Data(manifest=str(tmp_path / "manifest.jsonl"), positions_per_batch=256, positions_per_row=128),
        optimiser=Optimiser(steps=160, learning_rate=1e-2, warmup_steps=10, weight_decay=0.0),
    )
    finished(config)
    asker = Asker(tmp_path / "out" / EXPORTED, tags=True)
    answers = asker.ask(sorted({each.audio for each in rows}), [EVENTS, CAPTION])
    assert answers == {(each.audio, each.task): each.target for each in rows}


def test_frozen_weights_are_exported_as_they_were_and_trained_ones_are_not(tmp_path: Path) -> None:
    config = write_run(tmp_path, four_clips(tmp_path), frozen=("transformer.audio.*", "transformer.wte.*"))
    finished(config)
    before, after = (load_model(folder).state_dict() for folder in (tmp_path / "start", tmp_path / "out" / EXPORTED))
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith(("transformer.audio.", "transformer.wte."))}


@pytest.mark.parametrize(("form", "chats"), [("raw", False), ("chat", True)])
def test_an_exported_model_is_asked_as_it_was_taught(tmp_path: Path, form: Literal["raw", "chat"], chats: bool) -> None:
    """Whatever the checkpoint was that it began with: its other settings stay."""
    asked = Task(name="question", question="Which?")
    config = write_run(tmp_path, [msgspec.structs.replace(each, task=asked) for each in four_clips(tmp_path)], steps=1)
    before = json.dumps({"chat_format": "raw" if chats else "chatml", "top_p": 0.5})
    (tmp_path / "start" / "generation_config.json").write_text(before)
    finished(msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, form=form)))
    exported = find_checkpoint(str(tmp_path / "out" / EXPORTED))
    assert says_chat(exported) is chats
    assert exported.read("generation_config.json")["top_p"] == 0.5


def test_updates_are_merged_at_export(tmp_path: Path) -> None:
    """The exported model has the original's tensors only, and gives what the trained one gives."""
    config = write_run(tmp_path, four_clips(tmp_path), trainable=(), lora=Lora(rank=2))
    trainer = finished(config)
    exported = load_model(tmp_path / "out" / EXPORTED)
    prompts = [[torch.arange(12)]]
    assert torch.allclose(exported(prompts)[0], trainer.model(prompts)[0], atol=1e-4)


def test_kept_states_teach_as_a_frozen_encoder_that_is_run(tmp_path: Path) -> None:
    """Up to the rounding of the states to float16."""
    config = write_run(tmp_path, four_clips(tmp_path), frozen=FROZEN_ENCODER)
    cached = msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, cache_encoder=True))
    losses = []
    for each in (config, cached):
        Trainer(each).train()
        losses.append([entry["loss"] for entry in read_log(tmp_path / "out")])
    assert losses[0] == pytest.approx(losses[1], abs=2e-2)


def test_states_of_an_encoder_that_is_trained_are_not_kept(tmp_path: Path) -> None:
    config = write_run(tmp_path, four_clips(tmp_path))
    with pytest.raises(ConfigError, match="cache_encoder"):
        Trainer(msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, cache_encoder=True)))


def test_rows_that_are_too_long_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [*four_clips(tmp_path), row(tmp_path / "tones" / "0.flac", "the " * 200)]
    assert Trainer(write_run(tmp_path, rows)).lessons.left_out == 1
    with pytest.raises(ManifestError, match="no row to train on"):
        Trainer(write_run(tmp_path, rows[-1:]))


def test_the_command_trains_and_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_run(tmp_path, four_clips(tmp_path), every=Every(log=2, validate=0, checkpoint=3))
    file = tmp_path / "run.toml"
    file.write_text(
        f'checkpoint = "start"\noutput = "out"\nseed = {config.seed}\n[data]\nmanifest = "manifest.jsonl"\n'
        "[optimiser]\nsteps = 4\nlearning_rate = 0.001\n",
        encoding="utf-8",
    )
    assert main(["--config", str(file)]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"model", "log.jsonl", "curves.svg", "training.pt"}
    assert json.loads((tmp_path / "out" / "log.jsonl").read_text().splitlines()[-1])["step"] == 4
    (tmp_path / "manifest.jsonl").write_text("{}\n", encoding="utf-8")
    assert main(["--config", str(file)]) == 2
    assert "line 1" in capsys.readouterr().err
