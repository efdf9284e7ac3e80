"""The search for the most streams inside the budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.knee import KneeSearch


def search(carries: int, first: int = 1, most: int = 1024) -> tuple[int, list[int]]:
    """(knee, the numbers tried) of a service that carries so many streams and no more."""
    seeking, tried = KneeSearch(first, most), list[int]()
    while (streams := seeking.next()) is not None:
        tried.append(streams)
        seeking.tell(streams, streams <= carries)
    return seeking.knee, tried


def test_it_doubles_and_then_halves_the_distance() -> None:
    assert search(11, first=2) == (11, [2, 4, 8, 16, 12, 10, 11])


def test_a_service_that_carries_nothing_has_a_knee_of_zero() -> None:
    assert search(0, first=4) == (0, [4, 2, 1])


def test_it_does_not_go_beyond_the_most() -> None:
    assert search(10_000, first=8, most=50) == (50, [8, 16, 32, 50])


@given(carries=st.integers(0, 2000), first=st.integers(1, 64))
def test_the_knee_is_known_to_a_tenth_of_itself(carries: int, first: int) -> None:
    knee, tried = search(carries, first)
    assert knee <= carries
    assert min(carries, 1024) - knee <= max(1, knee // 10)
    assert len(tried) == len(set(tried))
    assert len(tried) < 20


@pytest.mark.parametrize(("first", "most"), [(0, 10), (11, 10)])
def test_bounds_that_make_no_sense_are_refused(first: int, most: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        KneeSearch(first, most)
