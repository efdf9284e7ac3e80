"""Word errors, repetition loops and percentiles as the accuracy benchmark counts them."""

import pytest

from benchmarks.accuracy.words import (
    NO_ERRORS,
    Percentiles,
    WordErrors,
    has_loop,
    longest_repeat,
    normalise,
    split_digits,
    word_errors,
)


def test_spelling_case_punctuation_and_fillers_do_not_count() -> None:
    """Only words are compared, as Whisper's normaliser writes them."""
    assert normalise("Uh, the COLOUR isn't right: it's twenty-five.") == normalise("the color is not right it is 25")


def test_errors_are_counted_by_kind() -> None:
    """One word replaced, one missing, one too many."""
    assert word_errors("a b c d", "a x c d") == WordErrors(1, 0, 0, 4)
    assert word_errors("a b c d", "a c d") == WordErrors(0, 1, 0, 4)
    assert word_errors("a b c d", "a b b c d") == WordErrors(0, 0, 1, 4)


def test_an_empty_reference_counts_insertions_only() -> None:
    assert word_errors("", "two words") == WordErrors(0, 0, 2, 0)


def test_the_rate_is_over_all_words_not_the_mean_of_the_clips() -> None:
    """1 error in 2 words and none in 8 make 10 percent."""
    assert (WordErrors(1, 0, 0, 2) + WordErrors(0, 0, 0, 8)).rate == pytest.approx(10.0)
    assert NO_ERRORS.rate == 0.0


def test_digits_read_the_same_however_they_are_grouped() -> None:
    assert split_digits(normalise("five, five, five")) == split_digits(normalise("5 5 5")) == "5 5 5"


@pytest.mark.parametrize(
    ("text", "size", "times"),
    [("a b a b a b", 2, 3), ("a b a b a", 2, 2), ("a a a", 1, 3), ("a b c", 1, 1), ("a", 2, 0), ("x a b a b y", 2, 2)],
)
def test_longest_repeat_counts_whole_ngrams_in_a_row(text: str, size: int, times: int) -> None:
    assert longest_repeat(text.split(), size) == times


def test_a_phrase_four_times_in_a_row_is_a_loop() -> None:
    assert has_loop("thank you", "thank you thank you thank you thank you")
    assert not has_loop("thank you", "thank you thank you thank you")


def test_a_repeat_that_the_speaker_made_is_not_a_loop() -> None:
    assert not has_loop("no no no no", "no, no, no, no")
    assert has_loop("no no no no", "no no no no no")


def test_repeated_fillers_are_a_loop_although_the_normaliser_drops_them() -> None:
    assert has_loop("well", "well um um um um um")


def test_a_digit_loop_written_as_one_number_is_found() -> None:
    assert has_loop("one two", "1, 2, 2, 2, 2, 2")
    assert not has_loop("eight eight eight eight", "8888")


def test_far_more_words_than_were_spoken_is_a_loop() -> None:
    """More than 2.5 times the reference and 10 words, though no phrase repeats in a row."""
    words = "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november"
    assert has_loop("alpha", words)
    assert not has_loop("alpha bravo", words)


def test_percentiles_interpolate_and_know_their_count() -> None:
    assert Percentiles.of(range(101)) == Percentiles(50.0, 95.0, 99.0, 101)
    assert Percentiles.of([]) is None
