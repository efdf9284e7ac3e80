"""Qwen2-Audio's engine writes what transformers' generation writes, for a whole window of half a minute each time."""

from pathlib import Path
from typing import Any

import pytest
import torch

from inference.adapters.build import build_adapter
from inference.adapters.qwen2_audio import TRANSCRIBE, TRANSLATE
from inference.pool.interface import EngineStartError, Hypothesis, Job, JobKind, StepStats, StreamSpec
from tests.support.adapter_checkpoints import melody, write_checkpoint

SECOND = 16_000
AUDIO = (melody(6.0, 2) * 32_767).astype("<i2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint("qwen2_audio", tmp_path_factory.mktemp("qwen2"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> Any:
    return build_adapter(str(folder), "cpu", 1)


def begin(engine: Any, spec: StreamSpec) -> None:
    engine.close("s")
    engine.open("s", spec)
    engine.append("s", 0, 0, AUDIO.tobytes())


def step(engine: Any, samples: int, kind: JobKind = "interim") -> tuple[Hypothesis, StepStats]:
    result = engine.step([Job("s", 0, 1, kind, 0, samples)])
    assert result.errors == ()
    return result.hypotheses[0], result.stats


def tokens(hypothesis: Hypothesis) -> list[int]:
    return [token for word in hypothesis.words for token in word.tokens]


def read_by(engine: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The token ids that the engine's language model is given, as they come."""
    embed, given = engine.writer.embed, list[list[int]]()
    monkeypatch.setattr(engine.writer, "embed", lambda ids: (given.append(list(ids)), embed(ids))[1])
    return given


def test_it_writes_what_transformers_generation_writes(engine: Any) -> None:
    """With transformers' own way of putting the audio among the tokens."""
    begin(engine, StreamSpec(language="en"))
    said, _ = step(engine, 4 * SECOND)
    told = engine.extractor(
        AUDIO[: 4 * SECOND].astype("float32") / 32768.0,
        sampling_rate=SECOND,
        return_attention_mask=True,
        return_tensors="pt",
    )
    audio = [engine.model.config.audio_token_id] * (4 * 25)
    prompt = [engine.audio_begin, *audio, engine.audio_end, *engine.prompt.text(TRANSCRIBE), engine.tags["en"]]
    vocabulary = engine.model.config.text_config.vocab_size
    written = engine.model.generate(
        torch.tensor([prompt]),
        input_features=told["input_features"],
        feature_attention_mask=told["attention_mask"],
        max_new_tokens=16 + 12 * 4,
        do_sample=False,
        suppress_tokens=[
            token
            for token in range(vocabulary)
            if not engine.splitter.is_text(token) and token not in engine.prompt.special("<|endoftext|>", "<|im_end|>")
        ],
        eos_token_id=engine.prompt.special("<|endoftext|>", "<|im_end|>"),
    )[0, len(prompt) :].tolist()
    assert tokens(said) == [token for token in written if engine.splitter.is_text(token)]
    assert said.words


def test_each_job_pays_for_half_a_minute_but_one_that_ends_where_the_last_did(engine: Any) -> None:
    begin(engine, StreamSpec(language="en"))
    kinds: list[tuple[int, JobKind]] = [(SECOND, "interim"), (2 * SECOND, "early_final"), (2 * SECOND, "final")]
    asked = [step(engine, samples, kind) for samples, kind in kinds]
    assert [stats.encoder_frames for _, stats in asked] == [1_500, 1_500, 0]
    assert asked[1][0].words == asked[2][0].words


def test_words_have_the_segments_bounds_as_the_model_gives_no_times(engine: Any) -> None:
    begin(engine, StreamSpec(language="en"))
    said, _ = step(engine, 3 * SECOND)
    assert {(word.start_sample, word.end_sample) for word in said.words} == {(0, 3 * SECOND)}


@pytest.mark.parametrize(("task", "instruction"), [("transcribe", TRANSCRIBE), ("translate", TRANSLATE)])
def test_the_task_is_an_instruction_behind_the_audio(
    engine: Any, monkeypatch: pytest.MonkeyPatch, task: Any, instruction: str
) -> None:
    given = read_by(engine, monkeypatch)
    begin(engine, StreamSpec(language="de", task=task))
    said, _ = step(engine, SECOND)
    before, after = given[:2]
    assert before == [engine.audio_begin]
    assert after == [engine.audio_end, *engine.prompt.text(instruction), engine.tags["de"]]
    assert said.language == "de"


def test_a_language_that_is_not_told_may_be_named_by_the_model(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(engine, StreamSpec())
    assert step(engine, SECOND)[0].language is None
    read = engine.writer.read

    def names_german(keys: Any, embedded: torch.Tensor) -> Any:
        reading = read(keys, embedded)
        if embedded.shape[1] > 1:
            reading.scores[engine.tags["de"]] = 1e4
        return reading

    monkeypatch.setattr(engine.writer, "read", names_german)
    assert step(engine, SECOND)[0].language == "de"


def test_an_instruct_checkpoint_is_asked_within_a_chat(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "Tiny-Instruct").symlink_to(folder)
    engine: Any = build_adapter(str(tmp_path / "Tiny-Instruct"), "cpu", 1)
    text, (start, end) = engine.prompt.text, engine.prompt.special("<|im_start|>", "<|im_end|>")
    system = [start, *text("system\nYou are a helpful assistant."), end, *text("\n")]
    assert engine.head == [*system, start, *text("user\nAudio 1: ")]
    assert engine.tail == [end, *text("\n"), start, *text("assistant\n")]
    begin(engine, StreamSpec(language="en"))
    assert step(engine, SECOND)[0].words


def test_an_encoder_with_another_window_than_its_features_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    features = tmp_path / "preprocessor_config.json"
    features.write_text(features.read_text().replace('"chunk_length": 30', '"chunk_length": 20'))
    with pytest.raises(EngineStartError, match="2000 frames"):
        build_adapter(str(tmp_path), "cpu", 1)
