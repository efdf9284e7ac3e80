"""Folding and aligning words."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.pool.fake import ALPHABET
from streaming.transcript.text import changed_words, common_words, fold, is_code


def test_words_that_say_the_same_fold_alike() -> None:
    assert fold("\u201cDon\u2019t!\u201d") == fold("don't") == "dont"
    assert fold("—") == ""
    assert fold("$5") == "$5"


def test_vowel_signs_survive_folding() -> None:
    assert fold("हिन्दी।") == "हिन्दी"


def test_dropped_and_changed_words_count_and_inserted_ones_do_not() -> None:
    assert changed_words(["a", "b", "c"], ["x", "a", "c", "y"]) == 1
    assert changed_words(["a", "", "b"], ["a", "b"]) == 0


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        (["voice", "over", "ip"], ["voiceover", "ip"], 0),
        (["a", "hotdog", "please"], ["a", "hot", "dog", "please"], 0),
        (["any", "one", "can"], ["anyone", "can", "do"], 0),
        (["be", "fore", "noon", "to", "day"], ["before", "noon", "today"], 0),
        (["hot", "dog"], ["hotdogs"], 2),
        (["over", "voice"], ["voiceover"], 2),
        (["hot", "dog", "x"], ["hotdog", "y"], 3),
        (["hot", "x", "dog"], ["hotdog"], 3),
        (["hotdog"], [], 1),
    ],
)
def test_words_of_which_only_the_spaces_moved_have_not_changed(old: list[str], new: list[str], changed: int) -> None:
    """Only where all that lies between two words that stayed is the same, letter for letter."""
    assert changed_words(old, new) == changed


NUMBERS = ["49", "$5.99", "7:30", "3rd", "B2B", "seven", "Seven,", "oh", "double", "hundred", "NINETEEN"]
SPELLINGS = ["b", "B.", "x", "é", "G-I-B", "MNZ", "I.B.M.", "ÄÖ", "U.S."]


@pytest.mark.parametrize("text", [*NUMBERS, *SPELLINGS])
def test_numbers_and_spellings_are_code(text: str) -> None:
    assert is_code(text)


@pytest.mark.parametrize(
    "text", ["I", "a", "A", "a,", "I'm", "cat", "Cat", "someone", "sevenths", "iPhone", "PhD", "don't", "—", "", "$"]
)
def test_ordinary_words_and_punctuation_are_not_code(text: str) -> None:
    assert not is_code(text)


def test_the_words_that_tests_speak_are_ordinary() -> None:
    assert [text for text in ALPHABET if is_code(text)] == []


letters = st.lists(st.sampled_from("abc"), max_size=8)


def longest(a: list[str], b: list[str]) -> int:
    """The textbook recursion, to check against."""
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + longest(a[1:], b[1:])
    return max(longest(a[1:], b), longest(a, b[1:]))


@settings(max_examples=80, deadline=None)
@given(letters, letters)
def test_the_alignment_is_a_longest_one_and_rises_in_both(a: list[str], b: list[str]) -> None:
    """Trimming equal heads and tails first costs nothing."""
    pairs = common_words(a, b)
    assert len(pairs) == longest(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(x < y and u < v for (x, u), (y, v) in itertools.pairwise(pairs))
