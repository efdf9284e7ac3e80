"""What a step cost, divided among its jobs."""

from __future__ import annotations

import pytest

from inference.pool.interface import Job, StepStats
from streaming.scheduler.stats import Share, add_stats, percentiles, split_cost

SECOND = 16_000


def test_finals_pay_for_their_passes_by_length_and_everyone_the_same_for_the_rest() -> None:
    jobs = [
        Job("a", 0, 1, "interim", 0, SECOND),
        Job("b", 0, 1, "final", 0, SECOND),
        Job("c", 0, 1, "final", SECOND, 4 * SECOND),
    ]
    stats = StepStats(jobs=3, encoder_frames=230, encoder_frames_final=200, decoder_calls=9)
    assert split_cost(stats, jobs) == [(10.0, 3.0), (60.0, 3.0), (160.0, 3.0)]


def test_a_step_without_jobs_has_no_shares() -> None:
    assert split_cost(StepStats(), []) == []


def test_shares_of_thirds_add_up() -> None:
    share = Share()
    for _ in range(3):
        share.add(1 / 3, 2 / 3)
    assert (share.cost().encoder_frames, share.cost().decoder_calls, share.cost().jobs) == (1, 2, 3)


def test_stats_add_field_by_field() -> None:
    a = StepStats(jobs=1, encoder_frames=2, encoder_frames_final=3, decoder_calls=4, decoder_passes=5, seconds=0.5)
    assert add_stats(a, a) == StepStats(
        jobs=2, encoder_frames=4, encoder_frames_final=6, decoder_calls=8, decoder_passes=10, seconds=1.0
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], [0.0, 0.0, 0.0]), ([7.0], [7.0, 7.0, 7.0]), ([float(n) for n in range(100, 0, -1)], [50.0, 95.0, 99.0])],
)
def test_percentiles_are_values_that_occurred(values: list[float], expected: list[float]) -> None:
    assert percentiles(values, (50, 95, 99)) == expected
