"""Whatever the receiver does: in order, one at a time for each call, no more than fits, and nothing forgotten."""

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.telephony.deliveries import Deliveries, Delivery, Outcome

PER_CALL, IN_FLIGHT = 4, 2
steps = st.lists(
    st.tuples(st.just("put"), st.sampled_from("xyz"))
    | st.tuples(st.just("done"), st.sampled_from(["delivered", "refused", "failed"]))
    | st.tuples(st.just("wait"), st.floats(0, 30)),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(steps=steps)
def test_laws(steps: list[tuple[str, str | float]]) -> None:
    some = Deliveries(per_call=PER_CALL, max_bytes=9, max_in_flight=IN_FLIGHT, give_up_s=40.0)
    flying: list[Delivery] = []
    accepted: dict[str, list[str]] = {call: [] for call in "xyz"}
    arrived: dict[str, list[str]] = {call: [] for call in "xyz"}
    now, names, left_out = 0.0, 0, 0

    def look() -> None:
        while (delivery := some.take(now)) is not None:
            flying.append(delivery)
        assert len({one.queue for one in flying}) == len(flying) <= IN_FLIGHT
        assert some.due is None or some.due > now

    for kind, value in steps:
        if kind == "put":
            names += 1
            if some.put(str(value), str(names), b"-", now):
                accepted[str(value)].append(str(names))
            else:
                left_out += 1
        elif kind == "wait":
            now += float(value)
        elif flying:
            delivery, outcome = flying.pop(0), value
            some.done(delivery, outcome, now)  # type: ignore[arg-type]
            if outcome == "delivered":
                arrived[delivery.queue].append(delivery.id)
        look()
        assert some.waiting <= 9
    while some.waiting:
        if not flying:
            assert some.due is not None, "nothing is forgotten"
            now = max(now, some.due)
            look()
        delivery = flying.pop(0)
        last: Outcome = "delivered"
        some.done(delivery, last, now)
        arrived[delivery.queue].append(delivery.id)
        look()
    for call in "xyz":
        assert arrived[call] == sorted(arrived[call], key=int)
        assert set(arrived[call]) <= set(accepted[call])
    assert sum(map(len, arrived.values())) + some.dropped == names
    assert left_out <= some.dropped
