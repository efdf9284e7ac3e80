"""Reports of a call are delivered in their order, tried again with growing pauses, and given up in the end."""

import pytest

from streaming.telephony.deliveries import LONGEST_RETRY_S, Deliveries, Delivery


def deliveries(**options: float) -> Deliveries:
    limits: dict[str, float] = {"per_call": 3, "max_bytes": 1000, "max_in_flight": 2, "give_up_s": 600.0}
    return Deliveries(**(limits | options))  # type: ignore[arg-type]


def taken(some: Deliveries, now: float = 0.0) -> Delivery:
    delivery = some.take(now)
    assert delivery is not None
    return delivery


def test_the_next_report_of_a_call_waits_for_the_one_before() -> None:
    some = deliveries()
    for name in "abc":
        assert some.put("call", name, b"-", 0.0)
    for name in "abc":
        delivery = taken(some)
        assert delivery.id == name
        assert some.take(0.0) is None
        some.done(delivery, "delivered", 0.0)
    assert (some.waiting, some.due, some.dropped) == (0, None, 0)


def test_calls_do_not_wait_for_each_other_and_take_turns() -> None:
    some = deliveries()
    for call in ("one", "two", "three"):
        some.put(call, f"{call} 1", b"-", 0.0)
        some.put(call, f"{call} 2", b"-", 0.0)
    first, second = taken(some), taken(some)
    assert (first.id, second.id) == ("one 1", "two 1")
    assert (some.take(0.0), some.due) == (None, None), "two at once"
    some.done(first, "delivered", 0.0)
    assert taken(some).id == "three 1"


def test_a_failure_is_tried_again_after_pauses_that_double_to_a_minute() -> None:
    some = deliveries(give_up_s=10_000.0)
    some.put("call", "a", b"-", 0.0)
    now, pauses = 0.0, []
    for _ in range(10):
        some.done(taken(some, now), "failed", now)
        assert some.due is not None
        assert some.take(some.due - 0.001) is None
        pauses.append(some.due - now)
        now = some.due
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_after_a_success_the_pauses_begin_anew() -> None:
    some = deliveries()
    some.put("call", "a", b"-", 0.0)
    some.put("call", "b", b"-", 0.0)
    some.done(taken(some), "failed", 0.0)
    some.done(taken(some, 1.0), "delivered", 1.0)
    some.done(taken(some, 1.0), "failed", 1.0)
    assert some.due == 1.5


def test_pauses_are_spread() -> None:
    for random, pause in ((0.0, 0.375), (1.0, 0.625)):
        some = Deliveries(per_call=1, max_bytes=9, max_in_flight=1, give_up_s=9.0, random=lambda value=random: value)
        some.put("call", "a", b"-", 0.0)
        some.done(taken(some), "failed", 0.0)
        assert some.due == pause


def test_a_receiver_may_ask_for_a_longer_pause_but_not_for_any() -> None:
    for asked, pause in ((5.0, 5.0), (1e9, LONGEST_RETRY_S)):
        some = deliveries()
        some.put("call", "a", b"-", 0.0)
        some.done(taken(some), "failed", 0.0, asked)
        assert some.due == pause


def test_what_is_refused_is_dropped_and_the_next_one_comes() -> None:
    some = deliveries()
    some.put("call", "a", b"-", 0.0)
    some.put("call", "b", b"-", 0.0)
    some.done(taken(some), "refused", 0.0)
    assert taken(some).id == "b"
    assert some.dropped == 1


def test_what_was_tried_for_too_long_is_given_up() -> None:
    some = deliveries(give_up_s=10.0)
    some.put("call", "a", b"-", 0.0)
    some.put("call", "b", b"-", 9.0)
    some.done(taken(some, 10.0), "failed", 10.0)
    assert (some.waiting, some.dropped) == (1, 1)
    assert taken(some, 10.0).id == "b"


@pytest.mark.parametrize("limit", [{"per_call": 2}, {"max_bytes": 2}])
def test_what_does_not_fit_is_dropped_and_what_waits_stays(limit: dict[str, float]) -> None:
    some = deliveries(**limit)
    assert [some.put("call", name, b"-", 0.0) for name in "abc"] == [True, True, False]
    assert (some.waiting, some.dropped) == (2, 1)
    some.done(taken(some), "delivered", 0.0)
    assert some.put("call", "d", b"-", 0.0)
    some.done(taken(some), "delivered", 0.0)
    assert taken(some).id == "d"


def test_other_calls_find_room_where_one_is_full() -> None:
    some = deliveries(per_call=1)
    assert some.put("one", "a", b"-", 0.0)
    assert not some.put("one", "b", b"-", 0.0)
    assert some.put("two", "c", b"-", 0.0)
