"""How many jobs a step takes: few where each of them takes long, many where all together take as long as one."""

from __future__ import annotations

import pytest

from inference.pool.interface import Job
from streaming.scheduler.pace import LONGEST_STEP_S, STEP_TARGET_S, Pace
from streaming.scheduler.policy import Policy


def learned(seconds_per_job: float) -> Pace:
    pace = Pace()
    for _ in range(50):
        pace.stepped(4, 4 * seconds_per_job)
    return pace


def test_nothing_is_limited_before_the_first_step() -> None:
    assert Pace().limit(10.0) is None


@pytest.mark.parametrize(("job_s", "limit"), [(0.05, 12), (0.1, 6), (0.9, 1), (0.001, 600)])
def test_a_step_takes_as_many_jobs_as_fit_the_target(job_s: float, limit: int) -> None:
    assert learned(job_s).limit(-1.0) == pytest.approx(limit, abs=1)


def test_where_jobs_are_overdue_steps_grow_so_that_a_batchs_savings_count_but_not_without_end() -> None:
    pace = learned(0.05)
    assert pace.limit(0.0) == round(STEP_TARGET_S / 0.05)
    assert pace.limit(1.6) == 16
    assert pace.limit(60.0) == round(LONGEST_STEP_S / 0.05)


def test_a_device_that_runs_many_as_fast_as_one_soon_gets_many() -> None:
    """Each step takes 30 ms, whatever is in it."""
    pace, sizes = Pace(), [1]
    for _ in range(30):
        pace.stepped(sizes[-1], 0.03)
        sizes.append(min(400, pace.limit(0.0) or 400))
    assert sizes[-1] == 400


def test_a_step_without_jobs_teaches_nothing() -> None:
    pace = Pace()
    pace.stepped(0, 1.0)
    assert pace.job_s is None


def test_the_policys_batches_go_by_the_pace_and_the_most_urgent_are_taken() -> None:
    policy = Policy(64, max_wait_s=0)
    policy.stepped(4, 4 * STEP_TARGET_S / 2)  # two fit
    for index in range(6):
        policy.submit(Job(f"s{index}", 0, 1, "interim", 0, 8_000), now=0.0, deadline=10.0 - index)
    batch = policy.next_batch(0.0)
    assert batch is not None
    assert [ticket.job.stream for ticket in batch] == ["s5", "s4"]
