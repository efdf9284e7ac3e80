"""Tasks are balanced by a temperature, clips within a task come equally often, batches keep to their bound."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from training.qwen_audio.sampling import BalancedSampler, Batches, shares

GROUPS = ["large"] * 90 + ["small"] * 10


@pytest.mark.parametrize(("temperature", "small"), [(1.0, 0.1), (2.0, 0.25), (1e9, 0.5)])
def test_the_temperature_lifts_small_tasks(temperature: float, small: float) -> None:
    """Sizes 90 and 10: by size, by root of size (sqrt 10 / (sqrt 10 + sqrt 90) = 1/4), evenly."""
    assert shares({"large": 90, "small": 10}, temperature)["small"] == pytest.approx(small, abs=1e-6)
    sampler = BalancedSampler(GROUPS, temperature, seed=0)
    drawn = Counter(GROUPS[sampler.draw()] for _ in range(4000))
    assert drawn["small"] / 4000 == pytest.approx(small, abs=0.025)


def test_no_row_comes_again_before_all_of_its_task_came() -> None:
    sampler = BalancedSampler(GROUPS, 1.0, seed=1)
    drawn = Counter(sampler.draw() for _ in range(1000))
    for group in ("large", "small"):
        counts = [drawn[row] for row, name in enumerate(GROUPS) if name == group]
        assert max(counts) - min(counts) <= 1


def test_the_order_changes_from_epoch_to_epoch() -> None:
    sampler = BalancedSampler(["one"] * 20, 1.0, seed=0)
    first, second = ([sampler.draw() for _ in range(20)] for _ in range(2))
    assert sorted(first) == sorted(second)
    assert first != second


def test_a_batch_keeps_to_its_bound_and_loses_no_row() -> None:
    positions = [30, 50, 20, 40] * 25
    batches = Batches(BalancedSampler(GROUPS, 2.0, seed=3), positions, 100)
    reference = BalancedSampler(GROUPS, 2.0, seed=3)
    made = [batches.next() for _ in range(40)]
    assert all(sum(positions[row] for row in batch) <= 100 for batch in made)
    flat = [row for batch in made for row in batch]
    assert flat == [reference.draw() for _ in flat]
    assert batches.made == 40


def test_batches_go_on_from_a_state_that_was_written_as_json() -> None:
    positions = [30, 50, 20, 40] * 25
    whole = Batches(BalancedSampler(GROUPS, 2.0, seed=3), positions, 100)
    for _ in range(57):
        whole.next()
    state = json.loads(json.dumps(whole.state()))
    resumed = Batches(BalancedSampler(GROUPS, 2.0, seed=3), positions, 100)
    resumed.restore(state)
    assert [resumed.next() for _ in range(50)] == [whole.next() for _ in range(50)]


def test_there_must_be_rows() -> None:
    with pytest.raises(ValueError, match="no rows"):
        BalancedSampler([], 1.0, seed=0)
