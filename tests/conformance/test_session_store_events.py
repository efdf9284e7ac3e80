"""The contract of session_store.store, for every store: the log of events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from session_store.store import EventsTrimmed, Lease, NoSession, SessionStore, StoredEvent, TooLarge
from tests.support.stored import events

SOON_S = 0.05
AMPLE_S = 30.0


async def test_events_come_back_in_order(store: SessionStore, other: SessionStore, lease: Lease) -> None:
    await store.append_events(lease, [])
    await store.append_events(lease, [StoredEvent(1, b"one"), StoredEvent(2, b"")])
    await store.append_events(lease, [StoredEvent(3, b"\x00\xff")])
    assert await other.read_events("s", 1) == (StoredEvent(2, b""), StoredEvent(3, b"\x00\xff"))
    assert await other.read_events("s", 3) == ()
    assert await other.read_events("s", 9) == ()


async def test_events_that_are_there_are_ignored(store: SessionStore, lease: Lease) -> None:
    await store.append_events(lease, events(1, 2, b"old"))
    await store.append_events(lease, events(1, 3, b"new"))
    await store.append_events(lease, events(2, 2, b"newest"))
    assert [event.data for event in await store.read_events("s", 0)] == [b"old", b"old", b"new"]


@pytest.mark.parametrize(
    "batch", [events(3, 3), events(2, 2) + events(4, 4), events(2, 2) + events(2, 2), events(0, 1), events(-1, -1)]
)
async def test_a_number_left_out_refuses_all_of_them(
    store: SessionStore, lease: Lease, batch: list[StoredEvent]
) -> None:
    await store.append_events(lease, events(1, 1))
    with pytest.raises(ValueError, match="event"):
        await store.append_events(lease, batch)
    assert await store.read_events("s", 0) == tuple(events(1, 1))


async def test_the_first_event_of_a_log_may_have_any_number(store: SessionStore, lease: Lease) -> None:
    """Sessions outlive the store's memory: they go on in an empty log where they are."""
    await store.append_events(lease, events(50, 51))
    with pytest.raises(ValueError, match="event 53 after event 51"):
        await store.append_events(lease, events(53, 53))
    assert await store.read_events("s", 49) == tuple(events(50, 51))
    with pytest.raises(EventsTrimmed) as caught:
        await store.read_events("s", 48)
    assert caught.value.first_seq == 50
    await store.append_events(lease, events(1, 50))
    assert await store.read_events("s", 49) == tuple(events(50, 51))


async def test_a_log_without_events_has_none_missing(store: SessionStore, lease: Lease) -> None:
    assert await store.read_events("s", 0) == ()
    assert await store.read_events("s", 7) == ()


async def test_a_reader_of_events_that_are_gone_is_told(store: SessionStore, lease: Lease) -> None:
    await store.append_events(lease, events(1, 3))
    await store.append_events(lease, events(4, 6))
    with pytest.raises(EventsTrimmed) as caught:
        await store.read_events("s", 1)
    assert caught.value.first_seq == 3  # four are kept
    assert await store.read_events("s", 2) == tuple(events(3, 6))


async def test_a_batch_larger_than_the_log_leaves_its_end(store: SessionStore, lease: Lease) -> None:
    await store.append_events(lease, events(1, 20))
    assert await store.read_events("s", 16) == tuple(events(17, 20))
    with pytest.raises(EventsTrimmed):
        await store.read_events("s", 15)


async def test_events_are_bounded_by_their_bytes(store: SessionStore, lease: Lease) -> None:
    for seq in (1, 2, 3):
        await store.append_events(lease, events(seq, seq, b"x" * 50))
    assert [event.seq for event in await store.read_events("s", 1)] == [2, 3]
    with pytest.raises(TooLarge):
        await store.append_events(lease, [*events(4, 4), StoredEvent(5, b"x" * 51)])
    assert [event.seq for event in await store.read_events("s", 1)] == [2, 3]
    await store.append_events(lease, events(4, 6))
    assert [event.seq for event in await store.read_events("s", 2)] == [3, 4, 5, 6]


async def test_a_waiter_gets_what_is_there_at_once(store: SessionStore, lease: Lease) -> None:
    await store.append_events(lease, events(1, 2))
    assert await store.wait_events("s", 1, 0) == tuple(events(2, 2))
    assert await store.wait_events("s", 0, AMPLE_S) == tuple(events(1, 2))


async def test_a_waiter_wakes_when_somebody_else_writes(store: SessionStore, other: SessionStore, lease: Lease) -> None:
    waiting = [asyncio.create_task(other.wait_events("s", after, AMPLE_S)) for after in (0, 0, 1)]
    await asyncio.sleep(SOON_S)
    assert not any(task.done() for task in waiting)
    await store.append_events(lease, events(1, 1))
    assert await waiting[0] == await waiting[1] == tuple(events(1, 1))
    assert not waiting[2].done()
    await store.append_events(lease, events(2, 2))
    assert await waiting[2] == tuple(events(2, 2))


@pytest.mark.parametrize("timeout_s", [0, SOON_S])
async def test_a_waiter_returns_empty_when_its_time_is_over(
    store: SessionStore, lease: Lease, timeout_s: float
) -> None:
    await store.append_events(lease, events(1, 1))
    assert await store.wait_events("s", 1, timeout_s) == ()


async def test_a_waiter_of_no_session_is_told(store: SessionStore) -> None:
    with pytest.raises(NoSession):
        await store.wait_events("s", 0, AMPLE_S)


async def test_a_waiter_is_told_when_the_session_goes(store: SessionStore, other: SessionStore, lease: Lease) -> None:
    waiting = asyncio.create_task(other.wait_events("s", 0, AMPLE_S))
    await asyncio.sleep(SOON_S)
    await store.delete(lease)
    with pytest.raises(NoSession):
        await waiting


async def test_a_waiter_is_told_when_the_session_expires(
    store: SessionStore, lease: Lease, pass_time: Callable[[float], None]
) -> None:
    waiting = asyncio.create_task(store.wait_events("s", 0, 4 * SOON_S))
    await asyncio.sleep(SOON_S)
    pass_time(60)
    with pytest.raises(NoSession):
        await waiting


async def test_a_waiter_is_told_when_the_log_begins_later(
    store: SessionStore, other: SessionStore, lease: Lease
) -> None:
    waiting = asyncio.create_task(other.wait_events("s", 10, AMPLE_S))
    await asyncio.sleep(SOON_S)
    await store.append_events(lease, events(50, 50))
    with pytest.raises(EventsTrimmed) as caught:
        await waiting
    assert caught.value.first_seq == 50


async def test_many_who_wait_do_not_hold_up_a_write(store: SessionStore, other: SessionStore, lease: Lease) -> None:
    """More than there are connections to wait on."""
    waiting = [asyncio.create_task(store.wait_events("s", 0, AMPLE_S)) for _ in range(80)]
    await asyncio.sleep(SOON_S)
    async with asyncio.timeout(AMPLE_S):
        await store.append_events(lease, events(1, 1))
        assert await asyncio.gather(*waiting) == [tuple(events(1, 1))] * 80


async def test_one_who_stops_waiting_leaves_the_store_usable(store: SessionStore, lease: Lease) -> None:
    waiting = asyncio.create_task(store.wait_events("s", 0, AMPLE_S))
    await asyncio.sleep(SOON_S)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await store.append_events(lease, events(1, 1))
    assert await store.wait_events("s", 0, AMPLE_S) == tuple(events(1, 1))
