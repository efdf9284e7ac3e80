"""Qwen3-ASR's engine writes what transformers' generation writes, and encodes a window of 8 s once."""

from pathlib import Path
from typing import Any

import pytest
import torch

from inference.adapters.build import build_adapter
from inference.adapters.text import read_tokenizer
from inference.adapters.writer import Prompt
from inference.pool.interface import Hypothesis, Job, StreamSpec
from tests.support.adapter_checkpoints import melody, write_checkpoint

SECOND = 16_000
WINDOW = 8 * SECOND
SAMPLES = melody(20.0, 2)
AUDIO = (SAMPLES * 32_767).astype("<i2")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return build_adapter(str(write_checkpoint("qwen3_asr", tmp_path_factory.mktemp("qwen3"))), "cpu", 1)


def say(engine: Any, samples: int, language: str | None = "en", kind: Any = "final") -> Hypothesis:
    engine.close("s")
    engine.open("s", StreamSpec(language=language))
    engine.append("s", 0, 0, AUDIO.tobytes())
    (said,) = engine.step([Job("s", 0, 1, kind, 0, samples)]).hypotheses
    return said


def features(engine: Any, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    told = engine.extractor(
        AUDIO[:samples].astype("float32") / 32768.0,
        sampling_rate=SECOND,
        padding="longest",
        return_attention_mask=True,
        return_tensors="pt",
    )
    return told["input_features"], told["attention_mask"]


def test_it_writes_what_transformers_generation_writes(engine: Any) -> None:
    mel, mask = features(engine, 5 * SECOND)
    with torch.inference_mode():
        heard = engine.model.get_audio_features(mel, mask).pooler_output
    prompt = [
        *engine.head,
        *[engine.model.config.audio_token_id] * len(heard),
        *engine.tail,
        *engine.headers["en"],
        engine.text_mark,
    ]
    vocabulary = engine.model.config.text_config.vocab_size
    stops = set(engine.model.config.eos_token_id)
    told = engine.model.generate(
        torch.tensor([prompt]),
        input_features=mel,
        input_features_mask=mask,
        max_new_tokens=16 + 12 * 5,
        do_sample=False,
        suppress_tokens=[t for t in range(vocabulary) if not engine.splitter.is_text(t) and t not in stops],
        eos_token_id=list(stops),
    )
    said = say(engine, 5 * SECOND)
    written = [token for token in told[0, len(prompt) :].tolist() if token not in stops]
    assert [token for word in said.words for token in word.tokens] == written
    assert len(written) > 10


def test_a_windows_embeddings_are_the_same_alone_and_within_the_clip(engine: Any) -> None:
    """Attention does not leave a window; features are the same here, as they are made once for both."""
    mel, mask = features(engine, 2 * WINDOW)
    with torch.inference_mode():
        whole = engine.model.get_audio_features(mel, mask).pooler_output
        parts = [
            engine.model.get_audio_features(mel[..., begin : begin + 800], mask[..., begin : begin + 800]).pooler_output
            for begin in (0, 800)
        ]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-5)


def test_a_full_window_is_encoded_once_and_the_open_one_each_time(engine: Any) -> None:
    engine.close("s")
    engine.open("s", StreamSpec(language="en"))
    engine.append("s", 0, 0, AUDIO.tobytes())
    frames = [
        engine.step([Job("s", 0, 1, "interim", 0, seconds * SECOND)]).stats.encoder_frames
        for seconds in (6, 9, 10, 17, 18)
    ]
    assert frames == [6 * 50, (8 + 1) * 50, 2 * 50, (8 + 1) * 50, 2 * 50]


def test_what_stays_between_jobs_is_the_prompt_and_full_windows(engine: Any) -> None:
    said = say(engine, 9 * SECOND, kind="interim")
    state = engine._streams["s"].utterances[0].state
    assert state.keys.get_seq_length() == state.read_tokens == len(engine.head) + 8 * 13
    assert said.words


def test_words_have_the_segments_bounds_as_the_model_gives_no_times(engine: Any) -> None:
    assert {(word.start_sample, word.end_sample) for word in say(engine, 3 * SECOND).words} == {(0, 3 * SECOND)}


def test_a_language_that_is_not_told_is_the_models_to_name(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that names none within a few tokens writes its text all the same."""
    assert say(engine, 2 * SECOND, language=None).language is None
    embed = engine.writer.embed
    read: list[list[int]] = []
    monkeypatch.setattr(engine.writer, "embed", lambda tokens: (read.append(list(tokens)), embed(tokens))[1])
    say(engine, 2 * SECOND, language=None)
    named = read[read.index(engine.tail) + 1 :]
    assert named.index([engine.text_mark]) <= 8
    first = [token for (token,) in named[:8]]
    monkeypatch.setattr(engine, "headers", {**engine.headers, "fi": first})
    assert say(engine, 2 * SECOND, language=None).language == "fi"


def test_a_told_language_is_in_the_prompt_and_the_answer(engine: Any) -> None:
    english, german = (say(engine, 4 * SECOND, language=code) for code in ("en", "de"))
    assert (english.language, german.language) == ("en", "de")
    assert english.words != german.words


def test_text_in_a_prompt_never_becomes_a_special_token(engine: Any) -> None:
    prompt = Prompt(read_tokenizer(Path(engine.info.model)))
    (end,) = prompt.special("<|im_end|>")
    assert end not in prompt.text("say <|im_end|> aloud")
