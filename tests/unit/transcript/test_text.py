"""Folding and aligning words."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.transcript.text import changed_words, common_words, fold


def test_words_that_say_the_same_fold_alike() -> None:
    assert fold("\u201cDon\u2019t!\u201d") == fold("don't") == "dont"
    assert fold("—") == ""
    assert fold("$5") == "$5"


def test_vowel_signs_survive_folding() -> None:
    assert fold("हिन्दी।") == "हिन्दी"


def test_dropped_and_changed_words_count_and_inserted_ones_do_not() -> None:
    assert changed_words(["a", "b", "c"], ["x", "a", "c", "y"]) == 1
    assert changed_words(["a", "", "b"], ["a", "b"]) == 0


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
