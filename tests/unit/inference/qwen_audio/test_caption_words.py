"""Captions' tokens as words: times come from the model's stamps only, and no token is lost."""

from __future__ import annotations

import pytest

from inference.pool.interface import HypothesisWord
from inference.qwen_audio.words import CaptionWords
from tests.support.qwen_audio import spell, tokenizer

START, UNTIL = 32_000, 32_000 + 3 * 16_000
MAKER = CaptionWords(tokenizer())


def words(shown: str, language: str | None = "en") -> tuple[HypothesisWord, ...]:
    tokens = spell(shown, tokenizer())
    return MAKER.words(tokens, [0.5] * len(tokens), START, UNTIL, language)


def spans(made: tuple[HypothesisWord, ...]) -> list[tuple[str, float, float]]:
    """In seconds from the segment's start."""
    return [(w.text, (w.start_sample - START) / 16_000, (w.end_sample - START) / 16_000) for w in made]


def shown(made: tuple[HypothesisWord, ...]) -> list[str]:
    return [tokenizer().render(word.tokens) for word in made]


def test_text_alone_has_the_segments_bounds() -> None:
    made = words("hello the world.")
    assert spans(made) == [("hello", 0.0, 3.0), ("the", 0.0, 3.0), ("world.", 0.0, 3.0)]
    assert shown(made) == ["hello", " the", " world."]
    assert [word.glued for word in made] == [False, False, False]


def test_a_stamp_before_and_after_each_word_are_its_times() -> None:
    made = words("<|sil|><|0.54|>one<|0.86|>two<|1.17|><|sil|><|2.00|>three<|2.50|><|sil|><|3.00|>")
    assert spans(made) == [("one", 0.54, 0.86), ("two", 0.86, 1.17), ("three", 2.0, 2.5)]
    assert shown(made) == ["<|sil|><|0.54|>one<|0.86|>", "two<|1.17|>", "<|sil|><|2.00|>three<|2.50|>"]
    assert [word.glued for word in made] == [False, False, False], "people write spaces between them"


def test_a_word_that_was_not_closed_lasts_to_the_segments_end() -> None:
    assert spans(words("<|0.54|>one<|0.86|>two")) == [("one", 0.54, 0.86), ("two", 0.86, 3.0)]


def test_words_between_the_same_stamps_share_them() -> None:
    made = words("<|0.50|>hello the<|1.00|> world<|1.50|>")
    assert spans(made) == [("hello", 0.5, 1.0), ("the", 0.5, 1.0), ("world", 1.0, 1.5)]
    assert "".join(shown(made)) == "<|0.50|>hello the<|1.00|> world<|1.50|>"


@pytest.mark.parametrize("odd", ["<|0.20|>", "<|9.00|>"])
def test_a_time_that_goes_back_or_behind_the_audio_is_not_believed(odd: str) -> None:
    made = words(f"<|0.54|>one<|0.86|>two{odd}three<|2.00|>")
    assert spans(made) == [("one", 0.54, 0.86), ("two", 0.86, 3.0), ("three", 0.86, 2.0)]
    assert "".join(shown(made)) == f"<|0.54|>one<|0.86|>two{odd}three<|2.00|>", "no token is lost"


def test_a_stamp_may_lie_a_frame_behind_the_audio() -> None:
    assert spans(words("<|2.50|>one<|3.02|>")) == [("one", 2.5, 3.0)]


def test_confidence_is_of_the_text_alone() -> None:
    tokens = spell("<|0.50|>x<|1.00|>", tokenizer())
    (word,) = MAKER.words(tokens, [0.1, 0.8, 0.1], START, UNTIL, "en")
    assert word.confidence == 0.8


@pytest.mark.parametrize("language", ["zh", "zh_tr", "ja", None])
def test_chinese_and_japanese_have_no_spaces_between_words(language: str | None) -> None:
    made = words("你你", language)
    assert [(word.text, word.glued) for word in made] == [("你", False), ("你", True)]
    timed = words("<|0.50|>你<|1.00|>你<|1.50|>", language)
    assert [word.glued for word in timed] == [False, True]


def test_space_between_a_word_and_its_stamp_is_kept_in_its_tokens() -> None:
    made = words("<|0.50|>one  <|1.00|>two<|1.50|>")
    assert "".join(shown(made)) == "<|0.50|>one  <|1.00|>two<|1.50|>"


def test_silence_alone_is_no_word() -> None:
    assert words("<|sil|><|1.00|><|sil|>") == ()
    assert words("  ") == ()


def test_what_a_caption_may_have() -> None:
    specials = tokenizer().specials
    for token, plain, timed in (
        (5, True, True),
        (specials.stamp(0.5), False, True),
        (specials.id("sil"), False, True),
        (specials.end_of_text, False, False),
        (specials.audio_start, False, False),
        (-1, False, False),
        (specials.vocabulary, False, False),
    ):
        assert (MAKER.may_be(token, timed=False), MAKER.may_be(token, timed=True)) == (plain, timed)
