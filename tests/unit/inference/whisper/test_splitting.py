"""Tokens to words as people write them, and remarks about sound taken out of them."""

from __future__ import annotations

from functools import lru_cache

import pytest

from inference.whisper.text import TokenWord, WordSplitter, take_out_annotations
from tests.support.checkpoints import bundled


@lru_cache(maxsize=1)
def splitter() -> WordSplitter:
    return WordSplitter(bundled().tokenizer, bundled().vocabulary.end_of_text)


def encode(text: str) -> list[int]:
    ids: list[int] = bundled().tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def words(text: str, language: str | None = "en") -> list[TokenWord]:
    return splitter().words(encode(text), language)


def texts(text: str, language: str | None = "en") -> list[str]:
    return [word.text for word in words(text, language)]


class TestWords:
    def test_words_begin_at_spaces(self) -> None:
        assert texts(" The lighthouse keeper climbed") == ["The", "lighthouse", "keeper", "climbed"]

    def test_punctuation_stays_with_its_word(self) -> None:
        assert texts(' Hello, world! It\'s 7:45 -- "really"?') == [
            "Hello,",
            "world!",
            "It's",
            "7:45",
            "--",
            '"really"?',
        ]

    def test_tokens_that_say_the_same_are_of_one_kind(self) -> None:
        kinds = splitter().kinds()
        assert len(kinds) == bundled().vocabulary.end_of_text

        def said(text: str) -> list[int]:
            return [kinds[token] for token in encode(text)]

        assert said(" No, no.") == said("no. No,")
        assert len(set(said(" yes no maybe"))) == 3

    def test_no_words_in_nothing_and_in_space(self) -> None:
        assert words("") == []
        assert words("   ") == []

    @pytest.mark.parametrize(
        "text",
        [
            " Neighbors will stop at the fence, and ask.",
            "no space at first",
            " naïve café 😀 done",
            " 世界 and 你好",
            "  two  spaces ",
            " Ελληνικά και русский",
        ],
    )
    @pytest.mark.parametrize("language", ["en", "ja"])
    def test_words_hold_the_tokens_in_order_and_each_once(self, text: str, language: str) -> None:
        """Only space at the end is left out."""
        tokens = encode(text)
        found = splitter().words(tokens, language)
        joined = [token for word in found for token in word.tokens]
        assert joined == tokens[: len(joined)]
        assert splitter().text(tokens[len(joined) :]).strip() == ""
        at = 0
        for word in found:
            assert word.first == at
            at += len(word.tokens)

    @pytest.mark.parametrize("character", ["😀", "世", "𝄞", "é"])
    def test_a_character_that_is_split_over_tokens_stays_whole(self, character: str) -> None:
        assert texts(f" one {character}{character} two") == ["one", character * 2, "two"]
        assert texts(f"{character}{character}", "ja") == [character, character]

    def test_a_character_cut_at_the_end_is_shown_as_such_and_keeps_its_tokens(self) -> None:
        tokens = encode(" go 😀")
        cut = tokens[:-1]
        found = splitter().words(cut, "en")
        assert found[0].text == "go"
        assert found[1].text == "\N{REPLACEMENT CHARACTER}"
        assert [token for word in found for token in word.tokens] == cut

    def test_bytes_that_are_no_text_do_not_stop_the_words_after_them(self) -> None:
        broken = encode("😀")[:1] * 3
        found = splitter().words([*encode(" one"), *broken, *encode(" two three")], "en")
        assert found[0].text.startswith("one\N{REPLACEMENT CHARACTER}")
        assert [word.text for word in found[1:]] == ["two", "three"]

    def test_unspaced_languages_have_a_word_for_each_whole_group_and_glue_them(self) -> None:
        found = words("世界你好", "zh")
        assert "".join(word.text for word in found) == "世界你好"
        assert len(found) > 1
        assert [word.glued for word in found] == [False] + [True] * (len(found) - 1)

    def test_in_an_unspaced_language_a_space_still_parts_words(self) -> None:
        found = words("世 OK", "ja")
        assert [(word.text, word.glued) for word in found] == [("世", False), ("OK", False)]

    def test_spaced_words_are_not_glued(self) -> None:
        assert [word.glued for word in words("one two three")] == [False, False, False]

    @pytest.mark.parametrize(
        ("text", "punctuation"), [(" order", 0), (" order.", 1), (' order."', 1), (" 7:45", 0), (" --", 0), (" 世", 0)]
    )
    def test_punctuation_at_the_end_of_a_word_is_not_spoken(self, text: str, punctuation: int) -> None:
        (word,) = words(text)
        assert splitter().spoken(word.tokens) == len(word.tokens) - punctuation

    def test_text_is_the_tokens_text(self) -> None:
        for text in (" Hello, world.", "世界", " naïve 😀", "\n"):
            assert splitter().text(encode(text)) == text


def spoken(text: str) -> list[str]:
    return [word.text for word in take_out_annotations(words(text))[0]]


def labels(text: str) -> list[str]:
    return [remark.label for remark in take_out_annotations(words(text))[1]]


class TestAnnotations:
    @pytest.mark.parametrize(
        ("text", "label"),
        [
            (" (laughs)", "laughs"),
            (" (Laughs)", "laughs"),
            (" [BLANK_AUDIO]", "blank audio"),
            (" *sighs*", "sighs"),
            (" *sighs*.", "sighs"),
            (" ♪", "music"),
            (" ♪♪", "music"),
            (" (upbeat music)", "upbeat music"),
            (" {door closes}", "door closes"),
            (" (audience applauds).", "audience applauds"),
        ],
    )
    def test_a_remark_is_a_sound_and_no_word(self, text: str, label: str) -> None:
        assert spoken(f" Well{text} yes") == ["Well", "yes"]
        assert labels(f" Well{text} yes") == [label]

    def test_a_remark_keeps_its_place_among_the_tokens(self) -> None:
        found = words(" Well (upbeat music) yes")
        _, (remark,) = take_out_annotations(found)
        assert remark.first == found[1].first
        assert remark.count == sum(len(word.tokens) for word in found[1:3])

    def test_sung_words_stay(self) -> None:
        assert spoken(" ♪ la la ♪") == ["la", "la"]
        assert labels(" ♪ la la ♪") == ["music", "music"]

    def test_an_open_bracket_at_the_end_is_held_back(self) -> None:
        assert spoken(" Well (upbeat") == ["Well"]
        assert spoken(" Well (") == ["Well"]

    def test_a_bracket_that_stays_open_for_long_is_text(self) -> None:
        text = " (this is a long thought that goes on and on"
        assert spoken(text) == text.split()
        assert labels(text) == []

    def test_a_remark_of_more_than_eight_words_is_text(self) -> None:
        text = " (one two three four five six seven eight nine)"
        assert spoken(text) == text.split()

    def test_brackets_of_different_kinds_do_not_close_each_other(self) -> None:
        assert spoken(" (one] two three) four") == ["four"]

    def test_speech_has_no_remarks(self) -> None:
        text = " It costs $5 * 3, doesn't it? 7:45 - right."
        assert spoken(text) == text.split()
        assert labels(text) == []

    def test_empty_brackets_vanish(self) -> None:
        assert spoken(" Well () yes") == ["Well", "yes"]
        assert labels(" Well () yes") == []

    def test_a_label_is_short(self) -> None:
        (label,) = labels(f" ({'x' * 300})")
        assert label == "x" * 64
