"""What is taken for a hallucination, and what people do say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.whisper.guards import (
    FinalGuard,
    TokenBudget,
    compression,
    fourth_repeats,
    loop_start,
    repeats_itself,
    without_silent_repeats,
)

SENTENCE = list(range(100, 116))  # 16 tokens, none twice

LOOPS = {
    "one token ten times": ([7] * 10, 1),
    "one token ten times after speech": ([1, 2, 3, *[7] * 10], 4),
    "two tokens five times": ([5, 6] * 5, 2),
    "three tokens four times": ([1, *[5, 6, 7] * 4], 4),
    "three tokens four times, a fifth begun": ([1, *[5, 6, 7] * 4, 5], 5),
    "a phrase of sixteen tokens four times": (SENTENCE * 4, 16),
}

SPEECH = {
    "nothing": [],
    "a sentence": SENTENCE,
    "no no no no": [7, 7, 7, 7],
    "no, no, no, no": [7, 8, 7, 8, 7, 8, 7, 8],
    "one token nine times": [7] * 9,
    "three tokens three times": [5, 6, 7] * 3,
    "a phrase three times": SENTENCE * 3,
    "a phrase of seventeen tokens four times": [*SENTENCE, 99] * 4,
    "a loop that speech has left": [*[7] * 10, 1, 2],
}


@pytest.mark.parametrize("kind", LOOPS)
def test_a_loop_begins_after_the_first_repeat(kind: str) -> None:
    tokens, start = LOOPS[kind]
    assert loop_start(tokens) == start


@pytest.mark.parametrize("kind", SPEECH)
def test_speech_that_repeats_itself_is_no_loop(kind: str) -> None:
    assert loop_start(SPEECH[kind]) is None


def test_a_loop_is_seen_at_its_tenth_token() -> None:
    """Decoding that looks after each token stops there, not at the budget."""
    assert next(n for n in range(1, 15) if loop_start([7] * n) is not None) == 10


@pytest.mark.parametrize(
    ("kinds", "repeats"),
    [
        ([], False),
        ([7, 7, 7], False),
        ([7, 7, 7, 7], True),
        ([1, 7, 7, 7, 7, 2], True),
        ([7, 8, 7, 8, 7, 8], False),
        ([7, 8, 7, 8, 7, 8, 7], False),
        ([7, 8, 7, 8, 7, 8, 7, 8], True),
        ([*SENTENCE * 3, *SENTENCE[:-1]], False),
        (SENTENCE * 4, True),
        ([*SENTENCE, 99] * 4, False),
    ],
)
def test_a_text_repeats_itself_that_says_something_four_times_in_a_row(kinds: list[int], repeats: bool) -> None:
    assert repeats_itself(kinds) is repeats


@pytest.mark.parametrize(
    ("kinds", "forbidden"),
    [
        ([], set()),
        ([7, 7], set()),
        ([7, 7, 7], {7}),
        ([7, 8, 7, 8, 7, 8], {7}),
        ([8, 7, 8, 7, 8], set()),
        ([8, 7, 8, 7, 8, 7], {8}),
        ([1, 7, 8, 7, 8, 7, 8], {7}),
        ([7, 7, 7, 1], set()),
        ([7, 7, 7, 8, 7, 7, 7, 8, 7, 7, 7, 8], {7}),
        ([8, 7, 7, 7, 8, 7, 7, 7, 8, 7, 7, 7], {7, 8}),
        (SENTENCE * 3, {SENTENCE[0]}),
    ],
)
def test_what_would_begin_a_fourth_time_in_a_row_may_not_follow(kinds: list[int], forbidden: set[int]) -> None:
    assert fourth_repeats(kinds) == forbidden


@pytest.mark.parametrize(
    ("text", "heard", "left"),
    [
        ("more word word word word word word word", 6, "more word word word word word"),
        ("more word word", 3, "more word word"),
        ("more word word", 2, "more word"),
        ("go on go on go on", 2, "go on"),
        ("go on go on go on", 3, "go on go on"),
        ("we go on we go off", 3, "we go on we go off"),
        ("word word", 0, "word"),
        ("word", 0, "word"),
        ("", 0, ""),
    ],
)
def test_what_is_said_again_in_the_silence_was_not_said(text: str, heard: int, left: str) -> None:
    said = text.split()
    assert said[: without_silent_repeats(said, heard)] == left.split()


@given(st.lists(st.integers(0, 2), max_size=40))
def test_a_text_without_what_may_not_follow_never_repeats_itself(kinds: list[int]) -> None:
    """Of three kinds one is always left, or the text ends."""
    said: list[int] = []
    for kind in kinds:
        allowed = {0, 1, 2} - fourth_repeats(said)
        if not allowed:
            break
        said.append(kind if kind in allowed else min(allowed))
    assert not repeats_itself(said)


@pytest.mark.parametrize(("frames", "tokens"), [(0, 8), (25, 12), (50, 16), (55, 16), (1500, 248)])
def test_the_token_budget_is_eight_a_second_and_eight(frames: int, tokens: int) -> None:
    assert TokenBudget().tokens(frames) == tokens


def test_the_token_budget_can_be_told() -> None:
    assert TokenBudget(per_second=4, allowance=0).tokens(100) == 8


TEXT = " The lighthouse keeper climbed the stairs before sunrise."

TRIPS = {
    "a sure and whole text passes": (False, (TEXT, -0.3, False, True)),
    "a loop trips": (True, (TEXT, -0.3, True, True)),
    "a text that does not end trips": (True, (TEXT, -0.3, False, False)),
    "an unsure text trips": (True, (TEXT, -1.01, False, True)),
    "a text at the limit passes": (False, (TEXT, -1.0, False, True)),
    "a text that zlib makes small trips": (True, (" again and again" * 20, -0.1, False, True)),
    "no text passes": (False, ("", -0.5, False, True)),
}


@pytest.mark.parametrize("kind", TRIPS)
def test_the_guard_of_finals(kind: str) -> None:
    trips, (text, mean_logprob, looped, ended) = TRIPS[kind]
    assert FinalGuard().trips(text, mean_logprob, looped=looped, ended=ended) is trips


@pytest.mark.parametrize(
    ("no_speech", "mean_logprob", "silence"),
    [(0.9, -1.5, True), (0.9, -0.5, False), (0.5, -1.5, False), (0.6, -1.5, False), (0.1, -0.1, False)],
)
def test_silence_is_where_the_model_hears_none_and_is_not_sure_of_its_words(
    no_speech: float, mean_logprob: float, silence: bool
) -> None:
    assert FinalGuard().is_silence(no_speech, mean_logprob) is silence


def test_compression_is_high_for_repetition_and_low_for_speech() -> None:
    assert compression(TEXT) < 1.5
    assert compression(TEXT * 6) > 2.4
    assert compression("") == 0
    assert compression("世界" * 100) > 2.4
