"""Of two gateways that have the same session only the newer one writes; in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from streaming.session.holding import LEASE_S
from tests.support.talkers import BLOCK, Talker, begun, takes_over
from tests.support.unruly_store import UnrulyStore
from tests.support.virtual_time import in_virtual_time

LONG_S = 5.0
"""More than any pause between two tries."""


@in_virtual_time
async def test_whoever_resumes_a_session_owns_it_before_it_says_anything() -> None:
    store = UnrulyStore()
    talker = await begun(store)
    await talker.durable.close(done=False)
    store.writes.clear()
    await takes_over(store)
    assert store.writes == ["record 2"]
    found = await store.get("s")
    assert found is not None
    assert found.record.owner == "gateway-2"
    assert found.record.state == b"state %d" % (2 * BLOCK)


@pytest.mark.parametrize("act", ["say", "hear", "renew"])
@in_virtual_time
async def test_a_session_that_was_taken_over_is_told_once_and_writes_nothing_more(act: str) -> None:
    store = UnrulyStore()
    first = await begun(store)
    second = await takes_over(store)
    await second.say(data=b"second")
    writes = list(store.writes)
    match act:
        case "say":
            await first.say()
        case "hear":
            first.hear()
        case "renew":
            first.durable.renew()
    await asyncio.sleep(LONG_S)
    assert first.heard[2:] == ["taken over"]
    await first.say()
    first.hear()
    first.durable.renew()
    await first.durable.close(done=True)
    await asyncio.sleep(LONG_S)
    assert first.heard[2:] == ["taken over"]
    assert store.writes == writes
    assert (await store.read_events("s", 2))[0].data == b"second"


@pytest.mark.parametrize("did", ["nothing", "said", "heard", "finished"])
@in_virtual_time
async def test_a_gateway_that_slept_through_its_lease_does_not_write_over_its_successor(did: str) -> None:
    """The successor has finished and given the lease back by the time the first one wakes."""
    store = UnrulyStore()
    first = await begun(store)
    second = await takes_over(store)
    if did == "said":
        await second.say(data=b"second")
    if did == "heard":
        second.hear()
    await second.durable.close(done=did == "finished")
    await asyncio.sleep(2 * LEASE_S)
    before = await store.get("s")
    await first.say(data=b"first")
    first.hear()
    await asyncio.sleep(LONG_S)
    assert first.heard[2:] == ["taken over"]
    assert await store.get("s") == before
    assert [event.data for event in await store.read_events("s", 2)] == [b"second"] * (did == "said")
    await store.acquire("s", "gateway-3", LEASE_S)


@in_virtual_time
async def test_a_gateway_whose_store_was_away_while_another_took_over_is_told_when_it_is_back() -> None:
    store = UnrulyStore()
    first = await begun(store)
    store.fail()
    await first.say()
    first.hear()
    store.mend()
    second = await takes_over(store)
    await second.say(data=b"second")
    await asyncio.sleep(LONG_S)
    assert first.heard[2:] == ["failed", "taken over"]
    assert [event.data for event in await store.read_events("s", 2)] == [b"second"]


@in_virtual_time
async def test_of_two_that_resume_at_once_the_second_has_the_session() -> None:
    store = UnrulyStore()
    talker = await begun(store)
    await talker.durable.close(done=False)
    lease = await store.acquire("s", "gateway-2", LEASE_S, take_over=True)
    found = await store.get("s")
    assert found is not None
    late = Talker(store, "gateway-2", record=found.record, lease=lease, version=found.version)
    owner = await takes_over(store, "gateway-3")
    await late.durable.start()
    assert late.heard == ["taken over"]
    await owner.say()
    assert owner.heard == []
