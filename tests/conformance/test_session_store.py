"""The contract of session_store.store, for every store: leases, records and expiry."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from session_store.store import (
    Conflict,
    Lease,
    LeaseHeld,
    NoSession,
    SessionRecord,
    SessionStore,
    StaleLease,
    TooLarge,
)
from tests.support.stored import block, events, piece, record

PassTime = Callable[[float], None]


async def version(store: SessionStore) -> tuple[SessionRecord, int] | None:
    found = await store.get("s")
    return (found.record, found.version) if found else None


async def test_a_record_comes_back_with_its_version(store: SessionStore, other: SessionStore, lease: Lease) -> None:
    assert await store.get("s") is None
    assert await store.commit(lease, record(1, state=b"\x00\xff"), expected_version=0) == 1
    assert await version(other) == (record(1, state=b"\x00\xff"), 1)
    assert await store.commit(lease, record(2), expected_version=1) == 2
    assert await version(other) == (record(2), 2)


@pytest.mark.parametrize("expected_version", [0, 2])
async def test_a_record_at_another_version_is_a_conflict_and_nothing_changes(
    store: SessionStore, lease: Lease, expected_version: int
) -> None:
    await store.commit(lease, record(1), expected_version=0, audio=block(0, 10))
    with pytest.raises(Conflict):
        await store.commit(lease, record(9), expected_version=expected_version, audio=block(10, 20, needed_from=5))
    assert await version(store) == (record(1), 1)
    assert await store.read_pcm("s", 0) == piece(0, 10)


async def test_a_record_too_large_is_refused_with_its_audio(store: SessionStore, lease: Lease) -> None:
    await store.commit(lease, record(1), expected_version=0, audio=block(0, 10))
    with pytest.raises(TooLarge):
        await store.commit(lease, record(2, state=b"x" * 501), expected_version=1, audio=block(10, 20))
    assert await version(store) == (record(1), 1)
    assert await store.read_pcm("s", 0) == piece(0, 10)


async def test_a_held_lease_keeps_others_out_until_it_runs_out(
    store: SessionStore, other: SessionStore, lease: Lease, pass_time: PassTime
) -> None:
    pass_time(5)
    with pytest.raises(LeaseHeld, match="another"):
        await other.acquire("s", "gateway-2", 10.0)
    pass_time(5)
    successor = await other.acquire("s", "gateway-2", 10.0)
    assert successor.token > lease.token
    with pytest.raises(StaleLease):
        await store.commit(lease, record(), expected_version=0)
    assert await other.commit(successor, record(), expected_version=0) == 1


async def test_a_lease_that_ran_out_still_writes_while_nobody_took_it(
    store: SessionStore, lease: Lease, pass_time: PassTime
) -> None:
    """The token is the guard; a slow clock alone loses nothing."""
    pass_time(30)
    assert await store.commit(lease, record(), expected_version=0) == 1
    await store.renew(lease, 10.0)
    with pytest.raises(LeaseHeld):
        await store.acquire("s", "gateway-2", 10.0)


async def test_a_renewed_lease_is_held_on(store: SessionStore, lease: Lease, pass_time: PassTime) -> None:
    pass_time(9)
    await store.renew(lease, 10.0)
    pass_time(5)
    with pytest.raises(LeaseHeld):
        await store.acquire("s", "gateway-2", 10.0)


async def test_a_released_lease_is_free_and_writes_no_more(store: SessionStore, lease: Lease) -> None:
    await store.commit(lease, record(), expected_version=0)
    await store.release(lease)
    with pytest.raises(StaleLease):
        await store.append_events(lease, events(1, 1))
    successor = await store.acquire("s", "gateway-2", 10.0)
    assert successor.token > lease.token
    assert await version(store) == (record(), 1)


async def test_the_owner_and_a_taker_over_get_a_newer_lease_at_once(
    store: SessionStore, other: SessionStore, lease: Lease
) -> None:
    again = await store.acquire("s", "gateway-1", 10.0)
    taken = await other.acquire("s", "gateway-2", 10.0, take_over=True)
    assert lease.token < again.token < taken.token
    assert (taken.session, taken.owner) == ("s", "gateway-2")


async def test_every_write_with_a_stale_lease_is_refused_and_changes_nothing(
    store: SessionStore, other: SessionStore, lease: Lease
) -> None:
    """A gateway that was frozen wakes up and goes on as if nothing had been."""
    await store.commit(lease, record(1), expected_version=0, audio=block(0, 10))
    await store.append_events(lease, events(1, 1))
    await other.acquire("s", "gateway-2", 10.0, take_over=True)
    for write in (
        store.commit(lease, record(2), expected_version=1, audio=block(10, 20, needed_from=5)),
        store.append_events(lease, events(2, 2)),
        store.renew(lease, 10.0),
        store.release(lease),
        store.delete(lease),
    ):
        with pytest.raises(StaleLease):
            await write
    assert await version(other) == (record(1), 1)
    assert await other.read_pcm("s", 0) == piece(0, 10)
    assert await other.read_events("s", 0) == tuple(events(1, 1))


async def test_tokens_rise_across_the_life_of_sessions(store: SessionStore, lease: Lease, pass_time: PassTime) -> None:
    """A writer of a session that is gone must not write into its namesake."""
    await store.delete(lease)
    reborn = await store.acquire("s", "gateway-2", 10.0)
    assert reborn.token > lease.token
    pass_time(60)
    again = await store.acquire("s", "gateway-2", 10.0)
    assert again.token > reborn.token
    for stale in (lease, reborn):
        with pytest.raises(StaleLease):
            await store.append_events(stale, events(1, 1))


async def test_a_session_expires_after_its_last_write_and_is_gone_whole(
    store: SessionStore, lease: Lease, pass_time: PassTime
) -> None:
    await store.commit(lease, record(), expected_version=0, audio=block(0, 10))
    pass_time(50)
    await store.append_events(lease, events(1, 1))
    pass_time(55)
    assert await store.get("s") is not None
    assert await store.read_pcm("s", 0) == piece(0, 10)
    pass_time(5)
    assert await store.get("s") is None
    for call in (
        store.read_pcm("s", 0),
        store.read_events("s", 0),
        store.wait_events("s", 0, 10.0),
        store.append_events(lease, events(2, 2)),
        store.commit(lease, record(), expected_version=1),
        store.renew(lease, 10.0),
        store.release(lease),
        store.delete(lease),
    ):
        with pytest.raises(NoSession):
            await call
    await store.acquire("s", "gateway-1", 10.0)
    assert await store.read_events("s", 0) == ()
    assert (await store.read_pcm("s", 0)).pcm == b""


@pytest.mark.parametrize("write", ["acquire", "renew", "release", "commit", "append_events"])
async def test_every_write_lets_the_whole_session_live_on(
    store: SessionStore, lease: Lease, pass_time: PassTime, write: str
) -> None:
    await store.commit(lease, record(), expected_version=0, audio=block(0, 10))
    await store.append_events(lease, events(1, 1))
    pass_time(40)
    await {
        "acquire": lambda: store.acquire("s", "gateway-1", 1.0),
        "renew": lambda: store.renew(lease, 1.0),
        "release": lambda: store.release(lease),
        "commit": lambda: store.commit(lease, record(), expected_version=1),
        "append_events": lambda: store.append_events(lease, events(2, 2)),
    }[write]()
    pass_time(40)
    assert await store.get("s") is not None
    assert await store.read_pcm("s", 0) == piece(0, 10)
    assert (await store.read_events("s", 0))[0].seq == 1
    pass_time(20)
    assert await store.get("s") is None


async def test_a_session_does_not_expire_while_its_lease_is_held(
    store: SessionStore, lease: Lease, pass_time: PassTime
) -> None:
    await store.renew(lease, 100.0)
    await store.commit(lease, record(), expected_version=0)
    pass_time(90)
    assert await store.get("s") is not None
    pass_time(10)
    assert await store.get("s") is None


async def test_reading_does_not_prolong_a_session(store: SessionStore, lease: Lease, pass_time: PassTime) -> None:
    await store.commit(lease, record(), expected_version=0)
    await store.append_events(lease, events(1, 1))
    for _ in range(3):
        assert await store.get("s") is not None
        await store.read_pcm("s", 0)
        await store.wait_events("s", 0, 1.0)
        pass_time(20)
    assert await store.get("s") is None


async def test_a_session_that_is_done_is_kept_until_it_expires(
    store: SessionStore, lease: Lease, pass_time: PassTime
) -> None:
    done = SessionRecord(session="s", start=b"", done=True)
    await store.append_events(lease, events(1, 2))
    await store.commit(lease, done, expected_version=0)
    await store.release(lease)
    pass_time(55)
    assert await version(store) == (done, 1)
    assert await store.read_events("s", 0) == tuple(events(1, 2))
    pass_time(5)
    assert await store.get("s") is None


async def test_a_deleted_session_is_gone(store: SessionStore, other: SessionStore, lease: Lease) -> None:
    await store.commit(lease, record(), expected_version=0, audio=block(0, 10))
    await store.append_events(lease, events(1, 2))
    await store.delete(lease)
    assert await other.get("s") is None
    with pytest.raises(NoSession):
        await other.read_events("s", 0)
    with pytest.raises(NoSession):
        await store.renew(lease, 1.0)


@pytest.mark.parametrize("session", ["", "}", "{", "a{b}c", "{}", "ü/ \n%7B", "x" * 200])
async def test_any_text_can_name_a_session_and_none_is_taken_for_another(store: SessionStore, session: str) -> None:
    lease = await store.acquire(session, "g", 10.0)
    await store.append_events(lease, events(1, 1))
    await store.commit(lease, record(), expected_version=0, audio=block(0, 3, channels=2))
    assert await store.read_pcm(session, 1) == piece(0, 3)
    assert await store.get(session + "}") is None
    await store.delete(lease)
