"""The plan of faults: the same seed, the same faults, and none that destroys the only copy of a session."""

from __future__ import annotations

from collections import Counter

from benchmarks.chaos.plan import BAG, LOSES_A_COPY, ONE_GATEWAY_SERVES, Plan


def test_the_same_seed_makes_the_same_plan() -> None:
    one, other = Plan(3, 2), Plan(3, 2)
    assert [one.next({0, 1}) for _ in range(30)] == [other.next({0, 1}) for _ in range(30)]


def test_every_kind_comes_in_each_bag() -> None:
    plan = Plan(1, 2)
    faults = [plan.next({0, 1}) for _ in range(len(BAG))]
    assert Counter(fault.kind for fault in faults if fault) == Counter(BAG)


def test_while_a_gateway_is_away_the_other_one_and_redis_keep_what_they_have() -> None:
    plan = Plan(1, 2)
    faults = []
    while (fault := plan.next({1})) is not None and len(faults) < 100:
        faults.append(fault)
    forbidden = {*LOSES_A_COPY, *ONE_GATEWAY_SERVES}
    assert faults
    assert not {fault.kind for fault in faults} & forbidden
    assert {fault.target for fault in faults} == {1}


def test_without_a_gateway_nothing_is_done() -> None:
    assert Plan(1, 2).next(()) is None
