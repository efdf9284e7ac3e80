"""The likeliest token out of the whole vocabulary: int8 says which few it may be, float32 which one it is."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inference.whisper.model import Norm
from inference.whisper.projection import VocabularyProjection

WIDTH, VOCABULARY, CHOICES = 64, 3_000, 2_900
SUPPRESSED, SUPPRESSED_FIRST = (7, 8, 2_950), (20, 21)

pytestmark = pytest.mark.skipif(
    not {"x86", "fbgemm", "onednn"} & {torch.backends.quantized.engine}, reason="torch has no int8 products here"
)


@lru_cache(maxsize=1)
def weights() -> tuple[Norm, Tensor]:
    """One channel is much larger than the others, as in real decoders."""
    random = torch.Generator().manual_seed(1)
    scale = torch.ones(WIDTH)
    scale[3] = 40.0
    return Norm(scale, torch.zeros(WIDTH)), torch.randn(VOCABULARY, WIDTH, generator=random) * 0.2


@lru_cache(maxsize=2)
def projection(quantised: bool) -> VocabularyProjection:
    made = VocabularyProjection(*weights(), CHOICES, SUPPRESSED, SUPPRESSED_FIRST, quantised=quantised)
    assert made.quantised is quantised
    return made


def rows(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


def near_twins(seed: int) -> Tensor:
    """A row for which many tokens are almost as likely as the best."""
    norm, embedding = weights()
    wanted = embedding[:CHOICES:40].mean(dim=0) / norm.weight
    return (wanted + 0.01 * rows(1, seed)[0])[None]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.booleans())
def test_the_choice_is_the_one_of_full_precision(seed: int, count: int, hard: bool) -> None:
    x = torch.cat([rows(count, seed), near_twins(seed)]) if hard else rows(count, seed)
    chosen, exact = projection(True).choose(x), projection(False).choose(x)
    scores = projection(False).scores(x)
    for row, (token, best) in enumerate(zip(chosen.tokens, exact.tokens, strict=True)):
        assert scores[row, token] >= scores[row, best] - 1e-4, "but for the rounding of sums"
    assert np.allclose(chosen.logprobs, exact.logprobs, atol=0.05)


def test_a_row_in_which_more_tokens_may_be_the_likeliest_than_are_looked_at_is_looked_at_again() -> None:
    flat = Norm(torch.ones(WIDTH), torch.zeros(WIDTH))
    embedding = weights()[1].clone()
    embedding[:CHOICES] = embedding[0] + 1e-5 * embedding[:CHOICES]
    hard = VocabularyProjection(flat, embedding, CHOICES, quantised=True)
    plain = VocabularyProjection(flat, embedding, CHOICES, quantised=False)
    x = rows(20)
    scores = plain.scores(x).double()
    chosen = hard.choose(x)
    best = scores.max(dim=1).values
    for row, token in enumerate(chosen.tokens):
        assert scores[row, token] >= best[row] - 1e-5


def test_a_row_is_chosen_for_alike_alone_and_among_others() -> None:
    x = rows(40)
    together = projection(True).choose(x)
    for row in range(len(x)):
        alone = projection(True).choose(x[row : row + 1])
        assert alone.tokens == together.tokens[row : row + 1]
        assert alone.logprobs == pytest.approx(together.logprobs[row : row + 1], abs=1e-5)


@pytest.mark.parametrize("quantised", [False, True])
def test_what_is_suppressed_is_not_chosen(quantised: bool) -> None:
    """Though it would be the likeliest: the rows point at suppressed tokens."""
    norm, embedding = weights()
    at = [*SUPPRESSED, *SUPPRESSED_FIRST, 2_990]
    x = embedding[at] / norm.weight
    chosen = projection(quantised).choose(x, first=range(len(at))).tokens
    assert not {*chosen} & {*at}
    later = projection(quantised).choose(x).tokens
    assert later[3:5] == [*SUPPRESSED_FIRST]
    assert max(chosen + later) < CHOICES


def test_the_probability_of_a_token_is_that_of_full_precision() -> None:
    norm, embedding = weights()
    x = torch.cat([rows(4), embedding[2_950:2_951] / norm.weight * 3])
    known = projection(False).probability(x, 2_950)
    assert projection(True).probability(x, 2_950) == pytest.approx(known, rel=0.05, abs=1e-4)
    assert known[-1] > max(known[:-1])


def test_half_precision_is_projected_as_it_is() -> None:
    norm, embedding = weights()
    half = Norm(norm.weight.bfloat16(), norm.bias.bfloat16())
    assert not VocabularyProjection(half, embedding.bfloat16(), CHOICES).quantised


def test_rows_are_counted() -> None:
    counted = VocabularyProjection(*weights(), CHOICES, quantised=True)
    counted.choose(rows(3))
    counted.scores(rows(2))
    assert counted.rows == 5
