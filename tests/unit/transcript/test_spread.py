"""Words without times of their own get an estimate, and no other word is touched."""

from hypothesis import given
from hypothesis import strategies as st

from inference.pool.interface import HypothesisWord
from streaming.transcript.spread import spread


def word(text: str, start: int, end: int, *, glued: bool = False) -> HypothesisWord:
    return HypothesisWord(text, start, end, 0.9, (1,), glued)


def bounds(words: list[HypothesisWord]) -> list[tuple[int, int]]:
    return [(one.start_sample, one.end_sample) for one in words]


def test_words_with_the_segments_bounds_share_its_time_by_their_lengths() -> None:
    words = [word("one", 1000, 2200), word("three", 1000, 2200), word(".", 1000, 2200, glued=True)]
    assert bounds(spread(words)) == [(1000, 1436), (1436, 2090), (2090, 2200)]


def test_words_with_times_stay_as_they_are() -> None:
    words = [word("one", 0, 400), word("two", 400, 900), word("a", 900, 900), word("three", 1200, 1500)]
    assert spread(words) == words


def test_a_run_amid_timed_words_is_spread_within_its_bounds() -> None:
    words = [word("one", 0, 400), word("aa", 400, 1000), word("bb", 400, 1000), word("end", 1000, 1200)]
    assert bounds(spread(words)) == [(0, 400), (400, 700), (700, 1000), (1000, 1200)]


@given(st.lists(st.text(max_size=9), min_size=1, max_size=40), st.integers(0, 10**9), st.integers(0, 480_000))
def test_no_time_is_lost_and_none_runs_back(texts: list[str], start: int, length: int) -> None:
    placed = spread([word(text, start, start + length) for text in texts])
    assert [one.text for one in placed] == texts
    edges = [edge for one in placed for edge in (one.start_sample, one.end_sample)]
    assert edges == sorted(edges)
    assert (edges[0], edges[-1]) == (start, start + length)
