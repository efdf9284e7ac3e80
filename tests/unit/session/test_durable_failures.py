"""A session goes on whatever its store does, and is written anew when the store is back; in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from session_store.store import Limits, StoreFull
from tests.support.talkers import BLOCK, Talker, begun, check_whole, takes_over
from tests.support.unruly_store import UnrulyStore
from tests.support.virtual_time import in_virtual_time

LONG_S = 5.0
"""More than any pause between two tries."""


@in_virtual_time
async def test_a_session_begins_without_a_store() -> None:
    store = UnrulyStore()
    store.fail()
    talker = Talker(store)
    await talker.durable.start()
    assert talker.heard == ["failed"]
    await talker.say()
    talker.hear()
    assert talker.sent == [1]
    store.mend()
    await asyncio.sleep(LONG_S)
    assert talker.heard == ["failed", f"stored {BLOCK}"]
    await check_whole(store, talker)


@pytest.mark.parametrize("error", [None, StoreFull("full")])
@in_virtual_time
async def test_once_the_store_is_known_to_fail_nobody_waits_for_it(error: StoreFull | None) -> None:
    store = UnrulyStore()
    talker = await begun(store)
    store.fail()
    store.error = error or store.error
    store.latency_s = 1.0
    since_s = asyncio.get_running_loop().time()
    await asyncio.gather(talker.say(), talker.say(), talker.durable.wait_for_room())
    assert asyncio.get_running_loop().time() == since_s + 1.0, "the first failure is waited for"
    for _ in range(100):
        await talker.say()
        talker.hear()
        await talker.durable.wait_for_room()
    assert asyncio.get_running_loop().time() == since_s + 1.0
    assert talker.heard[2:] == ["failed"]
    assert talker.sent == list(range(1, 105))


@in_virtual_time
async def test_what_a_store_missed_while_it_was_away_is_written_when_it_is_back() -> None:
    store = UnrulyStore()
    talker = await begun(store)
    store.fail()
    await talker.say()
    talker.hear()
    await talker.say(5)
    talker.hear()
    await asyncio.sleep(60.0)
    store.mend()
    await asyncio.sleep(LONG_S)
    assert talker.heard[2:] == ["failed", f"stored {4 * BLOCK}"]
    await check_whole(store, talker)
    await talker.say()
    talker.hear()
    await asyncio.sleep(0.01)
    await check_whole(store, talker)


@in_virtual_time
async def test_audio_and_messages_that_come_while_the_session_is_written_anew_follow_it() -> None:
    """Each write takes as long as three blocks."""
    store = UnrulyStore()
    talker = await begun(store, limits_to=3 * BLOCK)
    store.fail()
    await talker.say()
    store.mend()
    store.latency_s = 0.3
    for _ in range(100):
        await asyncio.sleep(0.1)
        talker.hear()
        await talker.say()
        if len(talker.heard) > 4:
            break
    await asyncio.sleep(LONG_S)
    store.latency_s = 0.0
    await check_whole(store, talker)
    acks = [int(word.split()[1]) for word in talker.heard if word.startswith("stored")]
    assert acks == sorted(set(acks)), "no ack goes back"
    assert acks[-1] == talker.position


@pytest.mark.parametrize("fails_at", range(6))
@in_virtual_time
async def test_a_store_that_fails_again_while_the_session_is_written_anew(fails_at: int) -> None:
    store = UnrulyStore()
    talker = await begun(store, limits_to=2 * BLOCK)
    store.fail()
    await talker.say()
    store.mend()
    store.latency_s = 0.1
    for at in range(40):
        await asyncio.sleep(0.05)
        if at == 3 + fails_at:
            store.fail()
        if at == 13 + fails_at:
            store.mend()
        talker.hear()
        await talker.say()
    await asyncio.sleep(LONG_S)
    store.latency_s = 0.0
    await check_whole(store, talker)


@in_virtual_time
async def test_a_store_that_was_emptied_takes_the_session_anew_and_nobody_need_know() -> None:
    store = UnrulyStore()
    talker = await begun(store, limits_to=BLOCK)
    talker.hear()
    await asyncio.sleep(0.01)
    store.forget()
    await talker.say()
    talker.hear()
    await asyncio.sleep(LONG_S)
    assert "failed" not in talker.heard
    await check_whole(store, talker, first_seq=3)
    found = await store.get("s")
    assert found is not None
    assert found.record.token_hash == b"hash"


@in_virtual_time
async def test_a_store_that_was_emptied_is_noticed_where_nothing_is_said() -> None:
    store = UnrulyStore()
    talker = await begun(store)
    store.forget()
    talker.durable.renew()
    await asyncio.sleep(LONG_S)
    assert await store.get("s") is not None


@in_virtual_time
async def test_a_store_that_has_older_data_again_is_brought_up_to_date() -> None:
    """As after a restart from a copy. Messages that are in no log any more are a hole: the log begins behind it."""
    store = UnrulyStore()
    talker = await begun(store)
    bring_back = store.remember()
    for _ in range(3):
        await talker.say()
        talker.hear()
    await asyncio.sleep(0.01)
    bring_back()
    await talker.say()
    talker.hear()
    await asyncio.sleep(LONG_S)
    assert "taken over" not in talker.heard
    await check_whole(store, talker, first_seq=6)


@pytest.mark.parametrize("owner", ["an earlier connection", "gateway-1"])
@in_virtual_time
async def test_older_data_of_another_owner_is_not_taken_for_a_take_over(owner: str) -> None:
    store = UnrulyStore()
    first = await begun(store, owner=owner)
    await first.durable.close(done=False)
    bring_back = store.remember()
    talker = await takes_over(store, "gateway-3")
    talker.hear()
    await asyncio.sleep(0.01)
    bring_back()
    await talker.say()
    talker.hear()
    await asyncio.sleep(LONG_S)
    assert "taken over" not in talker.heard


@in_virtual_time
async def test_writes_that_happened_without_an_answer_do_no_harm() -> None:
    for unanswered in range(1, 6):
        store = UnrulyStore()
        talker = await begun(store)
        store.unanswered = unanswered
        await talker.say()
        talker.hear()
        await talker.say()
        await asyncio.sleep(LONG_S)
        assert talker.heard[2] == "failed"
        assert talker.heard[-1] == f"stored {3 * BLOCK}"
        await check_whole(store, talker)


@in_virtual_time
async def test_what_is_kept_while_the_store_is_away_is_bounded() -> None:
    """The oldest messages go; the log then begins behind the hole, and the snapshot is whole."""
    store = UnrulyStore()
    talker = await begun(store)
    store.fail()
    for _ in range(5_000):
        await talker.say()
    talker.hear()
    store.mend()
    await asyncio.sleep(LONG_S)
    await check_whole(store, talker, first_seq=talker.last_seq - 4096 + 1)


@in_virtual_time
async def test_messages_that_push_others_out_while_they_are_written_are_not_lost_themselves() -> None:
    store = UnrulyStore()
    talker = await begun(store)
    store.fail()
    await talker.say(4_096)
    store.mend()
    store.latency_s = 0.2
    for _ in range(20):
        await asyncio.sleep(0.1)
        await talker.say(10)
    await asyncio.sleep(60.0)
    store.latency_s = 0.0
    log = await store.read_events("s", 100)
    assert [event.seq for event in log] == list(range(101, talker.last_seq + 1))


@in_virtual_time
async def test_a_message_that_is_too_large_for_the_log_leaves_its_number_there() -> None:
    store = UnrulyStore(Limits(max_event_bytes=100))
    talker = await begun(store)
    await asyncio.gather(talker.say(), talker.say(data=bytes(101)), talker.say())
    talker.hear()
    await asyncio.sleep(0.01)
    assert "failed" not in talker.heard
    await check_whole(store, talker)
    assert [len(event.data) for event in await store.read_events("s", 2)] == [4, 0, 4]


@in_virtual_time
async def test_a_snapshot_that_is_too_large_leaves_the_session_not_durable_until_there_is_a_smaller_one() -> None:
    store = UnrulyStore()
    talker = await begun(store, limits_to=BLOCK)
    store.limits = Limits(max_record_bytes=1)
    talker.hear()
    await talker.say()
    await asyncio.sleep(LONG_S)
    assert talker.heard[2:] == ["failed"]
    store.limits = Limits()
    talker.hear()
    await asyncio.sleep(LONG_S)
    assert talker.heard[2:] == ["failed", f"stored {4 * BLOCK}"]
    await check_whole(store, talker)


@in_virtual_time
async def test_a_damaged_record_is_replaced() -> None:
    store = UnrulyStore()
    talker = await begun(store)
    store._sessions["s"].record = b"damaged"
    store.unanswered = 1
    await talker.say()
    talker.hear()
    await asyncio.sleep(LONG_S)
    found = await store.get("s")
    assert found is not None
    assert found.record.state == b"state %d" % talker.position


@in_virtual_time
async def test_a_listener_that_fails_stops_no_message() -> None:
    store = UnrulyStore()
    talker = await begun(store)

    def failing(block: object) -> None:
        talker.on_stored = heard  # type: ignore[method-assign]
        raise RuntimeError("a bug")

    heard, talker.on_stored = talker.on_stored, failing  # type: ignore[method-assign]
    talker.hear()
    await talker.say()
    await asyncio.sleep(LONG_S)
    assert talker.sent == [1, 2, 3]
    await check_whole(store, talker)
