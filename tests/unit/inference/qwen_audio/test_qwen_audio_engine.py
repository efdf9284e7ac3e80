"""Qwen-Audio's captions in the engine: what it says is what the model's own decoding says, alone or in a batch."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
import torch

from inference.pool.interface import HypothesisWord, JobKind, StreamSpec
from inference.pool.tasks import Task
from inference.qwen_audio.engine import QwenAudioEngine
from inference.qwen_audio.features import clip_mel
from inference.qwen_audio.prompts import AudioSlot
from inference.qwen_audio.writing import most_tokens
from tests.support.qwen_engines import (
    ENGLISH,
    SECOND,
    TASKS,
    asking,
    caption,
    clip,
    close_all,
    hear,
    one,
    qwen_engine,
    refused,
    task_of,
    tokens,
)


@pytest.fixture
def base() -> QwenAudioEngine:
    return qwen_engine(False)


@pytest.fixture
def chat() -> QwenAudioEngine:
    return qwen_engine(True)


@pytest.fixture(autouse=True)
def nothing_is_left(base: QwenAudioEngine, chat: QwenAudioEngine) -> Iterator[None]:
    yield
    close_all(base, chat)


@pytest.mark.parametrize("kind", ["final", "early_final"])
@pytest.mark.parametrize("which", ["base", "chat"])
def test_a_final_is_the_text_that_the_model_writes_of_the_whole_clip(
    which: str, kind: JobKind, request: pytest.FixtureRequest
) -> None:
    """The likeliest text: step by step the best of what a caption may have."""
    engine: QwenAudioEngine = request.getfixturevalue(which)
    hear(engine)
    said = one(engine, caption(3 * SECOND, kind))
    prompt = task_of(engine, Task(language="en"))
    allowed = torch.zeros(engine.model.config.vocab_size, dtype=torch.bool)
    allowed[: engine.tokenizer.specials.base] = True
    allowed[sorted(engine.tokenizer.specials.ends)] = True
    heard = engine.model.encode_audio([clip_mel(clip(0, 3 * SECOND), 80)])
    segments = [heard[0] if isinstance(part, AudioSlot) else torch.tensor(part) for part in prompt.parts]
    written: list[int] = []
    while len(written) < most_tokens(3 * SECOND, timed=False):
        logits = engine.model([[*segments, torch.tensor(written, dtype=torch.long)]])[0][-1]
        token = int(logits.masked_fill(~allowed, -torch.inf).argmax())
        if token in engine.tokenizer.specials.ends:
            break
        written.append(token)
    assert said.language == "en"
    assert tokens(said.words) == written[: len(tokens(said.words))]
    assert engine.tokenizer.decode(written[len(tokens(said.words)) :]).strip() == ""
    assert written


def test_words_have_the_segments_bounds_where_the_model_writes_no_times(base: QwenAudioEngine) -> None:
    hear(base)
    words = one(base, caption(3 * SECOND)).words
    assert {(word.start_sample, word.end_sample) for word in words} == {(0, 3 * SECOND)}
    assert not words[0].glued


def test_confidence_is_the_mean_probability_of_a_words_tokens_bound_or_not(base: QwenAudioEngine) -> None:
    hear(base)
    words = one(base, caption(3 * SECOND, "interim")).words
    bound = one(base, caption(3 * SECOND, "interim", prefix=words[0].tokens)).words
    assert [word.tokens for word in bound] == [word.tokens for word in words]
    assert [w.confidence for w in bound] == pytest.approx([w.confidence for w in words], abs=2e-4)


def test_interims_go_on_from_what_was_heard(base: QwenAudioEngine) -> None:
    """The same text as of one interim, and each second is read by the language model once, but for the open block."""
    hear(base, stream="often")
    for samples in range(SECOND, 5 * SECOND, SECOND // 2):
        one(base, caption(samples, "interim", stream="often"))
    hear(base, stream="once")
    often, once = (one(base, caption(5 * SECOND, "interim", stream=stream)) for stream in ("often", "once"))
    assert often.words == once.words
    live = base._streams["often"].utterances[0].live
    assert live is not None
    assert live.clip.read_tokens == 4 * 25


def test_a_language_that_is_not_told_is_heard(base: QwenAudioEngine) -> None:
    """The likeliest of the tags after the first one; with it the caption is as if it had been told."""
    specials = base.tokenizer.specials
    logits = base.model([[*base.model.encode_audio([clip_mel(clip(0, 3 * SECOND), 80)]),
                          torch.tensor([specials.id("startoftranscript")])]])[0][-1]  # fmt: skip
    codes = base.info.languages
    likeliest = codes[int(logits[[specials.id(code) for code in codes]].argmax())]
    hear(base, StreamSpec())
    heard = one(base, caption(3 * SECOND))
    assert heard.language == likeliest
    hear(base, StreamSpec(language=likeliest))
    assert one(base, caption(3 * SECOND)).words == heard.words


def test_what_is_said_in_the_target_language_already_is_transcribed(base: QwenAudioEngine) -> None:
    hear(base, StreamSpec())
    heard = one(base, caption(3 * SECOND)).language
    hear(base, StreamSpec(task="translate", target=heard))
    same = one(base, caption(3 * SECOND))
    hear(base, StreamSpec(language=heard))
    assert same.words == one(base, caption(3 * SECOND)).words


def test_a_job_may_want_another_language_than_its_stream(base: QwenAudioEngine) -> None:
    hear(base, StreamSpec(language="de", task="translate", target="fr"))
    expected = one(base, caption(2 * SECOND)).words
    hear(base)
    assert one(base, caption(2 * SECOND)).words != expected
    spec = StreamSpec(language="de", task="translate", target="fr")
    assert one(base, msgspec.structs.replace(caption(2 * SECOND), spec=spec)).words == expected


def test_captions_in_a_batch_are_those_alone(base: QwenAudioEngine) -> None:
    """Of all kinds, beside answers."""
    jobs = [
        caption(2 * SECOND, "interim", stream="a"),
        caption(3 * SECOND, "early_final", stream="b"),
        caption(4 * SECOND, "final", stream="c"),
        asking(2 * SECOND, *TASKS, stream="d"),
    ]
    specs = dict(
        zip("abcd", (ENGLISH, StreamSpec(), StreamSpec(language="zh", task="word_timestamps"), ENGLISH), strict=True)
    )
    alone = []
    for job in jobs:
        hear(base, specs[job.stream], stream=job.stream)
        alone.append(one(base, job))
    for job in jobs:
        hear(base, specs[job.stream], stream=job.stream)
    together = {said.stream: said for said in base.step(jobs).hypotheses}
    for said in alone:
        other = together[said.stream]
        assert (tokens(other.words), other.language, other.answers) == (tokens(said.words), said.language, said.answers)


# -- words with times ---------------------------------------------------------------------------------------------


def test_words_with_stamps_hold_all_tokens_and_a_prefix_of_them_says_them_again(base: QwenAudioEngine) -> None:
    hear(base, StreamSpec(language="en", task="word_timestamps"))
    bound = 0
    for samples in range(SECOND, 7 * SECOND, SECOND):
        words = one(base, caption(samples, "interim")).words
        starts = [word.start_sample for word in words]
        assert starts == sorted(starts)
        for count in range(1, len(words)):
            prefix = tuple(tokens(words[:count]))
            again = one(base, caption(samples, "interim", prefix=prefix)).words
            assert [timed(word) for word in again] == [timed(word) for word in words]
            bound += any(base.tokenizer.specials.seconds(token) is not None for token in prefix)
    assert bound >= 3


def timed(word: HypothesisWord) -> tuple[str, int, int, tuple[int, ...]]:
    return word.text, word.start_sample, word.end_sample, word.tokens


def test_stamps_in_captions_without_times_are_no_prefix(base: QwenAudioEngine) -> None:
    stamp = base.tokenizer.specials.stamp(1.0)
    hear(base)
    assert refused(base, caption(2 * SECOND, "interim", prefix=(stamp,))).code == "bad_job"
    hear(base, StreamSpec(task="word_timestamps"))
    assert one(base, caption(2 * SECOND, "interim", prefix=(stamp,))).words is not None
