"""Voxtral's engine says what transformers' own streaming generation says, one token for each 80 ms."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.adapters.build import build_adapter
from inference.pool.interface import EngineStartError, Job, StreamSpec
from tests.support.adapter_checkpoints import melody, write_checkpoint

AUDIO = (melody(5.0, 4) * 32_767).astype("<i2")
STEP = 1_280  # 80 ms
LEFT, DELAY = 4, 3  # what the checkpoint's tekken.json says
STEPS = 50
UNTIL = ((STEPS + DELAY) * 8 - 1) * 160 + 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint("voxtral_realtime", tmp_path_factory.mktemp("voxtral"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> Any:
    return build_adapter(str(folder), "cpu", 1)


def chunks(engine: Any) -> Iterator[torch.Tensor]:
    """The features of silence and audio, made at once, cut as transformers wants them."""
    samples = np.pad(AUDIO.astype("float32") / 32768.0, (LEFT * STEP, 0))
    mel = engine.extractor(samples, sampling_rate=16_000, return_tensors="pt").input_features
    prompt = (1 + LEFT + DELAY) * 8
    yield mel[..., :prompt]
    for begin in range(prompt, prompt + (STEPS - 1) * 8, 8):
        yield mel[..., begin : begin + 8]


def test_it_says_what_transformers_own_streaming_says(engine: Any) -> None:
    prompt = torch.tensor([[engine.begin_of_text] + [engine.pad] * (LEFT + DELAY)])
    told = engine.model.generate(
        prompt, input_features=chunks(engine), num_delay_tokens=DELAY, do_sample=False, eos_token_id=None
    )
    expected = told[0, prompt.shape[1] :].tolist()
    assert len(expected) == STEPS
    assert engine.end_of_text not in expected
    engine.open("s", StreamSpec())
    engine.append("s", 0, 0, AUDIO.tobytes())
    (said,) = engine.step([Job("s", 0, 1, "interim", 0, UNTIL)]).hypotheses
    state = engine._streams["s"].utterances[0].state
    written = {step: token for step, token in enumerate(expected) if engine.splitter.is_text(token)}
    assert dict(zip(state.token_steps, state.tokens, strict=True)) == written
    assert len(set(written.values())) > 2
    first = said.words[0]
    assert first.start_sample == min(written) * STEP
    assert (first.end_sample - first.start_sample) % STEP == 0


def test_a_step_is_heard_as_soon_as_its_samples_are_here(engine: Any) -> None:
    engine.open("s", StreamSpec())
    engine.append("s", 1, 0, AUDIO.tobytes())
    first_step = ((1 + DELAY) * 8 - 1) * 160 + 200
    assert engine.step([Job("s", 1, 1, "interim", 0, first_step - 1)]).stats.decoder_calls == 0
    assert engine.step([Job("s", 1, 2, "interim", 0, first_step)]).stats.decoder_calls == 1
    assert engine.step([Job("s", 1, 3, "interim", 0, first_step + 2 * STEP)]).stats.decoder_calls == 2


def test_an_end_of_text_amid_speech_loses_nothing_of_what_follows(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model ends its text only after the audio's end."""
    engine.open("s", StreamSpec())
    engine.append("s", 2, 0, AUDIO.tobytes())
    monkeypatch.setattr(engine, "end_of_text", engine.splitter._bytes.index(b" two"))
    stats = engine.step([Job("s", 2, 1, "final", 0, 4 * 16_000)]).stats
    assert stats.decoder_calls >= 4 * 16_000 // STEP


@pytest.mark.parametrize("broken", ["{}", '{"config": {}, "vocab": [], "special_tokens": []}', "no json"])
def test_a_vocabulary_that_cannot_be_read_is_told_at_the_start(folder: Path, tmp_path: Path, broken: str) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "tekken.json").write_text(broken)
    with pytest.raises(EngineStartError, match=r"tekken\.json"):
        build_adapter(str(tmp_path), "cpu", 1)


def test_features_that_depend_on_what_comes_later_are_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    told = json.loads((folder / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**told, "global_log_mel_max": None}))
    with pytest.raises(EngineStartError, match="global_log_mel_max"):
        build_adapter(str(tmp_path), "cpu", 1)
