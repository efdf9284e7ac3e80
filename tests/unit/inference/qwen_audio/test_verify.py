"""Verification passes for recorded outputs of the same weights, and fails for each thing that can be off."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.qwen_audio.features import clip_lengths, clip_mel
from inference.qwen_audio.verify import main, spliced
from tests.support.checkpoints import floats, noise
from tests.support.qwen_checkpoints import TINY, random_model, write_checkpoint

START = TINY.audio.audio_start_id
SAMPLES = (9_000, 13_000)
Change = Callable[[dict[str, Any], dict[str, Any]], object]


def record(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run of the tiny model gives, in the layout that is verified."""
    model = random_model()
    arrays: dict[str, Any] = {}
    encoded, spans = [], [clip_lengths(samples).span for samples in SAMPLES]
    for index, samples in enumerate(SAMPLES):
        pcm = floats(noise(samples, index))
        mel = clip_mel(torch.from_numpy(pcm), 80)
        encoded.append(model.encode_audio([mel])[0])
        arrays |= {f"clip{index}.pcm": pcm, f"clip{index}.mel": mel, f"clip{index}.encoder": encoded[-1]}
    cases: dict[str, Any] = {}
    for name, clips in {"text": [], "both": [1, 0]}.items():
        ids = [3, 4]
        for clip in clips:
            ids += [START, *[99] * (spans[clip] - 2), START + 1, 7]
        cache, prompt = model.new_cache(), spliced(ids, [encoded[clip] for clip in clips], START)
        logits, steps, greedy = model.prefill([cache], [prompt], every_position=True)[0], [], []
        token = int(logits[-1].argmax())
        for _ in range(3):
            greedy.append(token)
            steps.append(model.advance([cache], [token])[0])
            token = int(steps[-1].argmax())
        arrays |= {f"{name}.logits": logits, f"{name}.step_logits": torch.stack(steps)}
        cases[name] = {"ids": ids, "clips": clips, "greedy": greedy}
    write_checkpoint(folder)
    arrays = {name: np.array(torch.as_tensor(array).numpy()) for name, array in arrays.items()}
    return {"cases": cases, "spans": spans, "audio_start_id": START}, arrays


def write(folder: Path, change: Change | None = None) -> Path:
    listed, arrays = record(folder)
    if change:
        change(listed, arrays)
    (folder / "cases.json").write_text(json.dumps(listed))
    np.savez(folder / "expected.npz", **arrays)
    return folder


def test_recorded_outputs_of_the_same_weights_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(tmp_path))]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"]
    assert report["greedy_equal"] == dict.fromkeys(("text", "both", "text.batch", "both.batch"), True)
    assert max(report["largest_error"].values()) < 1e-4
    assert {"clip0.mel", "clip1.encoder.batch", "text.logits", "both.step_logits"} <= report["largest_error"].keys()


def nudge(key: str, amount: float = 2e-4) -> Change:
    def change(_listed: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays[key].flat[-1] += amount

    return change


@pytest.mark.parametrize(
    "change",
    [
        nudge("clip0.mel"),
        nudge("clip1.encoder"),
        nudge("text.logits"),
        nudge("both.step_logits"),
        nudge("both.step_logits", float("nan")),
        lambda listed, arrays: arrays.pop("text.logits"),
        lambda listed, arrays: arrays.pop("clip1.pcm"),
        lambda listed, arrays: arrays.update({"text.step_logits": arrays["text.step_logits"][:2]}),
        lambda listed, arrays: listed["cases"].pop("both"),
        lambda listed, arrays: listed["cases"].clear(),
        lambda listed, arrays: listed["cases"]["text"]["greedy"].__setitem__(0, 1),
    ],
)
def test_what_differs_or_is_missing_fails(tmp_path: Path, change: Change) -> None:
    assert main([str(write(tmp_path, change))]) == 1


def test_other_tokens_are_reported_beside_the_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(write(tmp_path, lambda listed, arrays: listed["cases"]["text"]["greedy"].__setitem__(0, 1)))])
    assert json.loads(capsys.readouterr().out)["greedy_equal"] == {
        "text": False,
        "both": True,
        "text.batch": False,
        "both.batch": True,
    }


def test_the_tolerance_is_the_callers(tmp_path: Path) -> None:
    assert main([str(write(tmp_path, nudge("text.logits"))), "--tolerance", "1e-3"]) == 0


def test_a_prompt_of_several_clips_is_built_from_what_the_other_implementation_spliced(tmp_path: Path) -> None:
    def change(_listed: dict[str, Any], arrays: dict[str, Any]) -> None:
        for clip in (0, 1):
            arrays[f"clip{clip}.encoder_in_batch"] = arrays[f"clip{clip}.encoder"] + 0.1

    assert main([str(write(tmp_path, change))]) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda listed, arrays: listed.pop("spans"),
        lambda listed, arrays: listed["cases"]["text"].pop("greedy"),
        lambda listed, arrays: listed["cases"]["both"]["ids"].pop(2),
        lambda listed, arrays: listed["cases"]["text"]["ids"].append(START),
    ],
)
def test_a_folder_that_cannot_be_read_is_another_error(
    tmp_path: Path, change: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(write(tmp_path, change))]) == 2
    assert capsys.readouterr().err.startswith("verify: ")


def test_an_empty_folder_is_one_as_well(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 2
