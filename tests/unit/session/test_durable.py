"""The session's side of the store while the store works, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from session_store.store import Limits
from streaming.session.durable import FLUSH_S, MAX_WAITING_BLOCKS
from streaming.session.holding import LEASE_S
from tests.support.talkers import BLOCK, Talker, begun, check_whole
from tests.support.unruly_store import UnrulyStore
from tests.support.virtual_time import in_virtual_time

LONG_S = 5.0
"""More than any pause between two tries."""


@in_virtual_time
async def test_a_new_session_is_in_the_store_before_anything_is_said() -> None:
    store = UnrulyStore()
    await Talker(store).durable.start()
    found = await store.get("s")
    assert found is not None
    assert (found.record.start, found.record.token_hash, found.record.owner) == (b"start", b"hash", "gateway-1")


@in_virtual_time
async def test_messages_are_in_the_log_before_the_snapshot_that_knows_of_them() -> None:
    store = UnrulyStore()
    store.latency_s = 0.1
    talker = Talker(store)
    await talker.durable.start()
    saying = [asyncio.create_task(talker.say()) for _ in range(3)]
    await asyncio.sleep(0)
    talker.hear()
    saying.append(asyncio.create_task(talker.say()))
    await asyncio.gather(*saying)
    await asyncio.sleep(LONG_S)
    assert store.writes == ["record 0", "events 1 to 3", "record 3", "events 4 to 4"]


@in_virtual_time
async def test_a_message_is_said_when_it_is_in_the_log_and_not_before() -> None:
    store = UnrulyStore()
    talker = Talker(store)
    await talker.durable.start()
    store.latency_s = 0.3
    saying = asyncio.create_task(talker.say())
    await asyncio.sleep(0.2)
    assert talker.sent == []
    await saying
    assert store.writes[-1] == "events 1 to 1"


@in_virtual_time
async def test_messages_that_come_while_one_is_written_go_together() -> None:
    store = UnrulyStore()
    talker = Talker(store)
    await talker.durable.start()
    store.latency_s = 0.1
    await asyncio.gather(*(talker.say() for _ in range(10)))
    assert store.writes[1:] in (["events 1 to 10"], ["events 1 to 1", "events 2 to 10"])


@in_virtual_time
async def test_an_ack_follows_the_write_and_no_ack_comes_twice() -> None:
    store = UnrulyStore()
    talker = await begun(store)
    store.latency_s = 0.2
    talker.hear()
    await asyncio.sleep(0.1)
    assert f"stored {3 * BLOCK}" not in talker.heard
    await asyncio.sleep(0.2)
    assert talker.heard.count(f"stored {3 * BLOCK}") == 1


@in_virtual_time
async def test_a_slow_store_makes_the_session_wait_for_room() -> None:
    store = UnrulyStore()
    talker = await begun(store)
    store.latency_s = 0.5
    for _ in range(MAX_WAITING_BLOCKS):
        talker.hear()
    assert talker.durable.waiting_blocks == MAX_WAITING_BLOCKS
    waiting = asyncio.create_task(talker.durable.wait_for_room())
    await asyncio.sleep(0.4)
    assert not waiting.done()
    await asyncio.sleep(0.2)
    assert waiting.done()


@in_virtual_time
async def test_a_session_where_nothing_happens_does_not_expire() -> None:
    store = UnrulyStore(Limits(ttl_s=30.0))
    talker = await begun(store)
    for _ in range(20):
        await asyncio.sleep(LEASE_S / 3)
        talker.durable.renew()
    await check_whole(store, talker)


@in_virtual_time
async def test_closing_writes_what_waits_and_gives_the_lease_back() -> None:
    store = UnrulyStore()
    talker = await begun(store)
    store.latency_s = 0.1
    saying = asyncio.create_task(talker.say())
    await asyncio.sleep(0)
    talker.hear()
    await talker.durable.close(done=False)
    await saying
    assert store.writes[-1] == "release"
    store.latency_s = 0.0
    await check_whole(store, talker)
    await store.acquire("s", "gateway-2", LEASE_S)


@in_virtual_time
async def test_a_finished_session_says_so_and_can_be_read_for_its_time_to_live() -> None:
    store = UnrulyStore(Limits(ttl_s=30.0))
    talker = await begun(store)
    await talker.durable.close(done=True)
    await asyncio.sleep(29.0)
    found = await store.get("s")
    assert found is not None
    assert found.record.done
    await check_whole(store, talker)
    await asyncio.sleep(LEASE_S)
    assert await store.get("s") is None


@in_virtual_time
async def test_a_store_that_is_too_slow_holds_the_end_up_for_a_moment_only() -> None:
    store = UnrulyStore()
    talker = await begun(store)
    store.latency_s = 100.0
    saying = asyncio.create_task(talker.say())
    await asyncio.sleep(0.01)
    store.latency_s = 0.0
    since_s = asyncio.get_running_loop().time()
    await talker.durable.close(done=True)
    assert asyncio.get_running_loop().time() - since_s == pytest.approx(FLUSH_S)
    await saying


@in_virtual_time
async def test_a_store_that_is_known_to_fail_does_not_hold_the_end_up() -> None:
    store = UnrulyStore()
    talker = await begun(store)
    store.fail()
    await talker.say()
    since_s = asyncio.get_running_loop().time()
    await talker.durable.close(done=True)
    assert asyncio.get_running_loop().time() == since_s


@in_virtual_time
async def test_after_the_end_nothing_is_written_any_more() -> None:
    store = UnrulyStore()
    talker = await begun(store)
    await talker.durable.close(done=False)
    writes = list(store.writes)
    await talker.say()
    talker.hear()
    talker.durable.renew()
    await asyncio.sleep(LONG_S)
    assert store.writes == writes
