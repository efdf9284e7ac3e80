"""Dynamic time warping over attention: each token begins where the cheapest monotone path enters its row."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.whisper.alignment import first_frames, median_filter, token_starts

SMALL_COSTS = st.integers(1, 5).flatmap(
    lambda tokens: st.integers(1, 7).flatmap(
        lambda frames: st.lists(
            st.lists(st.floats(-5, 5, width=32), min_size=frames, max_size=frames), min_size=tokens, max_size=tokens
        )
    )
)


def cheapest(cost: NDArray[np.float64]) -> float:
    """Least cost of a path from the first cell to the last by steps down, right, or both."""
    tokens, frames = cost.shape

    @cache
    def best(i: int, j: int) -> float:
        if i == 0 and j == 0:
            return float(cost[0, 0])
        steps = [(i - 1, j), (i, j - 1), (i - 1, j - 1)]
        return float(cost[i, j]) + min(best(a, b) for a, b in steps if a >= 0 and b >= 0)

    return best(tokens - 1, frames - 1)


def cost_of(starts: NDArray[np.int64], cost: NDArray[np.float64]) -> float:
    """Least cost of a path in which each token begins at the frame given."""
    total = 0.0
    for i, start in enumerate(starts):
        if i + 1 < len(starts):
            nexts = int(starts[i + 1])
            down = cost[i, start : nexts + 1].sum()  # leaves in the column where the next one enters
            across = cost[i, start:nexts].sum() if nexts > start else np.inf  # or one before it
            total += min(down, across)
        else:
            total += cost[i, start:].sum()
    return float(total)


@settings(max_examples=100, deadline=None)
@given(rows=SMALL_COSTS)
def test_first_frames_lie_on_a_cheapest_path(rows: list[list[float]]) -> None:
    cost = np.array(rows, dtype=np.float64)
    starts = first_frames(cost)
    assert starts[0] == 0
    assert bool((np.diff(starts) >= 0).all())
    assert cost_of(starts, cost) == pytest.approx(cheapest(cost), abs=1e-9)


def test_a_plain_diagonal_is_followed() -> None:
    cost = 1.0 - np.eye(5).repeat(3, axis=1)
    assert first_frames(cost).tolist() == [0, 3, 6, 9, 12]


def bumps(starts: list[int], frames: int, heads: int = 2) -> torch.Tensor:
    """Attention in which row i lies on the frames from its start to the next one's."""
    attention = torch.full((heads, len(starts), frames), 1e-4)
    for row, start in enumerate(starts):
        attention[:, row, start : (starts[row + 1] if row + 1 < len(starts) else frames)] = 1.0
    return attention / attention.sum(dim=2, keepdim=True)


def test_tokens_begin_where_their_attention_does() -> None:
    assert token_starts(bumps([0, 12, 30, 55], 80)).tolist() == [0, 12, 30, 55]


def test_known_tokens_are_left_out_and_the_rest_begins_no_earlier() -> None:
    starts = token_starts(bumps([0, 12, 30, 55], 80), first_token=2, first_frame=30)
    assert starts.tolist() == [30, 55]
    assert token_starts(bumps([0, 12, 30, 55], 80), first_token=2, first_frame=40).min() >= 40


def test_no_row_has_no_start_and_no_frame_is_the_end() -> None:
    attention = bumps([0, 12], 40)
    assert token_starts(attention, first_token=2).tolist() == []
    assert token_starts(attention, first_token=0, first_frame=40).tolist() == [40, 40]


def test_the_median_takes_out_a_single_spike_and_keeps_an_edge() -> None:
    spike = torch.zeros(1, 20)
    spike[0, 10] = 1
    edge = torch.cat([torch.zeros(1, 10), torch.ones(1, 10)], dim=1)
    assert bool((median_filter(spike) == 0).all())
    assert torch.equal(median_filter(edge), edge)


@pytest.mark.parametrize("frames", [4, 7, 8, 60])
def test_the_median_is_that_of_seven_frames_around(frames: int) -> None:
    x = torch.from_numpy(np.random.default_rng(frames).permutation(5 * frames).reshape(5, frames).astype(np.float32))
    padded = torch.nn.functional.pad(x, (3, 3), mode="reflect")
    wanted = torch.stack([padded[:, at : at + 7].median(dim=1).values for at in range(frames)], dim=1)
    assert torch.equal(median_filter(x), wanted)


def test_an_input_shorter_than_the_median_stays() -> None:
    short = torch.rand(2, 3)
    assert torch.equal(median_filter(short), short)
