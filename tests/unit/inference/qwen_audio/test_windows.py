"""Long audio in windows: all of it, cut in pauses, each window knowing what was said before."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inference.qwen_audio.features import WINDOW_SAMPLES
from inference.qwen_audio.windows import Window, cut_point, split_windows, transcribe_long

SECOND = 16_000


def loud(samples: int, seed: int = 0) -> Tensor:
    return torch.rand(samples, generator=torch.Generator().manual_seed(seed)) - 0.5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5 * SECOND), st.integers(1, SECOND), st.floats(0, 0.9))
def test_windows_are_the_whole_audio_without_gap_or_overlap(samples: int, longest: int, share: float) -> None:
    windows = split_windows(loud(samples), longest, int(share * longest))
    assert [window.first for window in windows] == [0, *(window.until for window in windows)][: len(windows)]
    assert (windows[-1].until if windows else 0) == samples
    assert all(0 < window.until - window.first <= longest for window in windows)


def test_audio_of_one_window_is_not_cut() -> None:
    assert split_windows(loud(WINDOW_SAMPLES)) == [Window(0, WINDOW_SAMPLES)]


def test_a_cut_lies_in_the_pause_that_is_there() -> None:
    pcm = loud(40 * SECOND)
    pcm[27 * SECOND : 27 * SECOND + 4000] = 0
    first, second = split_windows(pcm)
    assert 27 * SECOND < first.until < 27 * SECOND + 4000
    assert second.until == 40 * SECOND


def test_a_pause_before_the_searched_part_is_not_taken() -> None:
    pcm = loud(WINDOW_SAMPLES)
    pcm[10 * SECOND : 11 * SECOND] = 0
    assert cut_point(pcm) >= 25 * SECOND


def test_of_equal_pauses_the_last_is_taken() -> None:
    assert cut_point(torch.zeros(WINDOW_SAMPLES)) > 29 * SECOND


def test_the_text_before_a_window_goes_with_it() -> None:
    asked: list[tuple[int, tuple[int, ...]]] = []

    def answer(pcm: Tensor, said: tuple[int, ...]) -> list[int]:
        asked.append((pcm.shape[0], said))
        return [10 * len(asked), 10 * len(asked) + 1]

    pcm = loud(4 * SECOND)
    answers = transcribe_long(pcm, answer, context_tokens=3, longest=SECOND)
    assert sum(samples for samples, _ in asked) == 4 * SECOND
    assert [said for _, said in asked][:4] == [(), (10, 11), (11, 20, 21), (21, 30, 31)]
    assert [each.ids for each in answers][:2] == [(10, 11), (20, 21)]
    assert answers[-1].window.until == 4 * SECOND


def test_no_context_means_none() -> None:
    said: list[tuple[int, ...]] = []
    transcribe_long(loud(3 * SECOND), lambda _pcm, before: said.append(before) or [1], 0, SECOND)
    assert set(said) == {()}


def test_wrong_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="window"):
        split_windows(loud(10), WINDOW_SAMPLES + 1)
    with pytest.raises(ValueError, match="window"):
        split_windows(loud(10), 100, 100)
    with pytest.raises(ValueError, match="context_tokens"):
        transcribe_long(loud(10), lambda _pcm, _said: [], -1)
