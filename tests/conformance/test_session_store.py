"""The contract of session_store.store, for every store: add a factory to STORES and all of it runs on that one too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from session_store.memory import MemoryStore
from session_store.store import (
    RECORD_FORMAT,
    BadRecord,
    Conflict,
    EventsTrimmed,
    Lease,
    LeaseHeld,
    Limits,
    NoSession,
    SessionRecord,
    SessionStore,
    StaleLease,
    StoreFull,
    TooLarge,
    decode_record,
    encode_record,
)

LIMITS = Limits(
    max_sessions=3,
    max_record_bytes=500,
    max_pcm_bytes=100,
    max_pcm_chunks=8,
    max_events=4,
    max_event_bytes=50,
    max_events_bytes=100,
    max_total_bytes=350,
    ttl_s=60.0,
)

StoreFactory = Callable[[Callable[[], float], Limits], SessionStore]
STORES: dict[str, StoreFactory] = {"memory": MemoryStore}


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, clock: Clock) -> SessionStore:
    return STORES[request.param](clock, LIMITS)


@pytest.fixture
async def lease(store: SessionStore) -> Lease:
    return await store.acquire("s", "gateway-1", 10.0)


def record(session: str = "s", **fields: int) -> SessionRecord:
    return SessionRecord(session=session, start=b"start", **fields)  # type: ignore[arg-type]


def pcm(first_sample: int, end_sample: int) -> bytes:
    """Audio in which each sample's value is its position."""
    return b"".join(sample.to_bytes(2, "little") for sample in range(first_sample, end_sample))


async def tail(store: SessionStore, channel: int = 0) -> dict[int, bytes]:
    """Position to sample; whatever the chunks are."""
    found: dict[int, bytes] = {}
    end_sample = 0
    for chunk in await store.read_pcm("s", channel):
        assert chunk.first_sample >= end_sample
        end_sample = chunk.end_sample
        for index in range(len(chunk.pcm) // 2):
            found[chunk.first_sample + index] = chunk.pcm[2 * index : 2 * index + 2]
    return found


def samples(*ranges: tuple[int, int]) -> dict[int, bytes]:
    return {sample: pcm(sample, sample + 1) for first, end in ranges for sample in range(first, end)}


async def test_a_record_comes_back_with_its_version(store: SessionStore, lease: Lease) -> None:
    assert await store.get("s") is None
    assert await store.put(lease, record(last_seq=1), expected_version=0) == 1
    assert await store.put(lease, record(last_seq=2), expected_version=1) == 2
    found = await store.get("s")
    assert found is not None
    assert (found.record, found.version) == (record(last_seq=2), 2)


@pytest.mark.parametrize("expected_version", [0, 2])
async def test_a_record_at_another_version_is_a_conflict(
    store: SessionStore, lease: Lease, expected_version: int
) -> None:
    await store.put(lease, record(), expected_version=0)
    with pytest.raises(Conflict):
        await store.put(lease, record(last_seq=9), expected_version=expected_version)
    found = await store.get("s")
    assert found is not None
    assert (found.record.last_seq, found.version) == (0, 1)


async def test_a_record_too_large_is_refused(store: SessionStore, lease: Lease) -> None:
    with pytest.raises(TooLarge):
        await store.put(lease, SessionRecord(session="s", start=b"x" * 501), expected_version=0)
    assert await store.get("s") is None


async def test_a_held_lease_keeps_others_out_until_it_runs_out(store: SessionStore, lease: Lease, clock: Clock) -> None:
    clock.now_s += 9.9
    with pytest.raises(LeaseHeld):
        await store.acquire("s", "gateway-2", 10.0)
    clock.now_s += 0.1
    successor = await store.acquire("s", "gateway-2", 10.0)
    assert successor.token > lease.token
    with pytest.raises(StaleLease):
        await store.put(lease, record(), expected_version=0)
    assert await store.put(successor, record(), expected_version=0) == 1


async def test_a_lease_that_ran_out_still_writes_while_nobody_took_it(
    store: SessionStore, lease: Lease, clock: Clock
) -> None:
    """The token is the guard; a slow clock alone loses nothing."""
    clock.now_s += 30
    assert await store.put(lease, record(), expected_version=0) == 1


async def test_a_renewed_lease_is_held_on(store: SessionStore, lease: Lease, clock: Clock) -> None:
    clock.now_s += 9
    await store.renew(lease, 10.0)
    clock.now_s += 9
    with pytest.raises(LeaseHeld):
        await store.acquire("s", "gateway-2", 10.0)


async def test_a_released_lease_is_free_and_writes_no_more(store: SessionStore, lease: Lease) -> None:
    await store.release(lease)
    with pytest.raises(StaleLease):
        await store.append_event(lease, 1, b"x")
    assert (await store.acquire("s", "gateway-2", 10.0)).token > lease.token


async def test_the_owner_and_a_taker_over_get_a_newer_lease_at_once(store: SessionStore, lease: Lease) -> None:
    again = await store.acquire("s", "gateway-1", 10.0)
    taken = await store.acquire("s", "gateway-2", 10.0, take_over=True)
    assert lease.token < again.token < taken.token


async def test_every_write_with_a_stale_lease_is_refused(store: SessionStore, lease: Lease) -> None:
    await store.append_pcm(lease, 0, 0, pcm(0, 10))
    await store.append_event(lease, 1, b"one")
    await store.acquire("s", "gateway-2", 10.0, take_over=True)
    for write in (
        store.put(lease, record(), expected_version=0),
        store.append_pcm(lease, 0, 10, pcm(10, 20)),
        store.trim_pcm(lease, 0, 5),
        store.append_event(lease, 2, b"two"),
        store.trim_events(lease, 1),
        store.renew(lease, 10.0),
        store.release(lease),
        store.delete(lease),
    ):
        with pytest.raises(StaleLease):
            await write
    assert await tail(store) == samples((0, 10))
    assert [event.seq for event in await store.read_events("s", 0)] == [1]


async def test_tokens_rise_across_the_life_of_sessions(store: SessionStore, lease: Lease, clock: Clock) -> None:
    """A writer of a session that is gone must not write into its namesake."""
    await store.delete(lease)
    reborn = await store.acquire("s", "gateway-2", 10.0)
    assert reborn.token > lease.token
    with pytest.raises(StaleLease):
        await store.append_event(lease, 1, b"x")


async def test_a_session_expires_after_its_last_write_and_is_gone_whole(
    store: SessionStore, lease: Lease, clock: Clock
) -> None:
    await store.put(lease, record(), expected_version=0)
    await store.append_pcm(lease, 0, 0, pcm(0, 10))
    clock.now_s += 50
    await store.append_event(lease, 1, b"one")
    clock.now_s += 59
    assert await store.get("s") is not None
    clock.now_s += 1
    assert await store.get("s") is None
    with pytest.raises(NoSession):
        await store.read_pcm("s", 0)
    with pytest.raises(NoSession):
        await store.read_events("s", 0)
    with pytest.raises(NoSession):
        await store.append_event(lease, 2, b"two")


async def test_reading_does_not_prolong_a_session(store: SessionStore, lease: Lease, clock: Clock) -> None:
    await store.put(lease, record(), expected_version=0)
    for _ in range(3):
        clock.now_s += 20
        found = await store.get("s")
    assert found is None


async def test_a_deleted_session_is_gone(store: SessionStore, lease: Lease) -> None:
    await store.put(lease, record(), expected_version=0)
    await store.delete(lease)
    assert await store.get("s") is None
    with pytest.raises(NoSession):
        await store.renew(lease, 1.0)


async def test_no_more_sessions_than_the_limit_until_one_expires(
    store: SessionStore, lease: Lease, clock: Clock
) -> None:
    await store.acquire("s2", "g", 10.0)
    await store.acquire("s3", "g", 10.0)
    with pytest.raises(StoreFull):
        await store.acquire("s4", "g", 10.0)
    clock.now_s += 60
    await store.acquire("s4", "g", 10.0)


async def test_audio_comes_back_where_it_was_put(store: SessionStore, lease: Lease) -> None:
    assert await store.append_pcm(lease, 0, 5, pcm(5, 10)) == 5
    assert await store.append_pcm(lease, 0, 10, pcm(10, 12)) == 5
    assert await store.append_pcm(lease, 0, 20, pcm(20, 22)) == 5
    await store.append_pcm(lease, 1, 0, pcm(0, 3))
    assert await tail(store) == samples((5, 12), (20, 22))
    assert await tail(store, channel=1) == samples((0, 3))


async def test_audio_that_is_there_already_is_ignored(store: SessionStore, lease: Lease) -> None:
    await store.append_pcm(lease, 0, 0, pcm(0, 10))
    await store.append_pcm(lease, 0, 0, bytes(20))
    await store.append_pcm(lease, 0, 5, bytes(10) + pcm(10, 15))
    assert await tail(store) == samples((0, 15))


async def test_the_tail_keeps_the_newest_audio(store: SessionStore, lease: Lease) -> None:
    for first_sample in range(0, 90, 30):
        await store.append_pcm(lease, 0, first_sample, pcm(first_sample, first_sample + 30))
    assert await tail(store) == samples((40, 90))
    assert await store.append_pcm(lease, 0, 90, pcm(90, 290)) == 240
    assert await tail(store) == samples((240, 290))


async def test_audio_full_of_gaps_is_bounded_too(store: SessionStore, lease: Lease) -> None:
    for first_sample in range(0, 40, 2):
        kept = await store.append_pcm(lease, 0, first_sample, pcm(first_sample, first_sample + 1))
    assert kept == 24
    assert await tail(store) == samples(*((sample, sample + 1) for sample in range(24, 40, 2)))


async def test_trimmed_audio_is_gone_to_the_sample_and_its_end_is_remembered(store: SessionStore, lease: Lease) -> None:
    await store.append_pcm(lease, 0, 0, pcm(0, 10))
    await store.append_pcm(lease, 0, 20, pcm(20, 30))
    await store.trim_pcm(lease, 0, 7)
    assert await tail(store) == samples((7, 10), (20, 30))
    await store.trim_pcm(lease, 0, 1_000)
    assert await tail(store) == {}
    assert await store.append_pcm(lease, 0, 25, pcm(25, 32)) == 30
    assert await tail(store) == samples((30, 32))
    await store.trim_pcm(lease, 1, 5)


@pytest.mark.parametrize(
    ("channel", "first_sample", "data"), [(0, 0, b"x"), (0, -1, b"xy"), (2, 0, b"xy"), (-1, 0, b"xy")]
)
async def test_audio_that_cannot_be_is_refused(
    store: SessionStore, lease: Lease, channel: int, first_sample: int, data: bytes
) -> None:
    with pytest.raises(ValueError, match="of channel"):
        await store.append_pcm(lease, channel, first_sample, data)


async def test_events_come_back_in_order(store: SessionStore, lease: Lease) -> None:
    for seq in (1, 2, 3):
        await store.append_event(lease, seq, b"%d" % seq)
    assert [(event.seq, event.data) for event in await store.read_events("s", 1)] == [(2, b"2"), (3, b"3")]
    assert await store.read_events("s", 3) == ()


async def test_an_event_that_is_there_is_ignored_and_none_may_be_left_out(store: SessionStore, lease: Lease) -> None:
    await store.append_event(lease, 1, b"one")
    await store.append_event(lease, 1, b"uno")
    with pytest.raises(ValueError, match="event 3 after event 1"):
        await store.append_event(lease, 3, b"three")
    assert [event.data for event in await store.read_events("s", 0)] == [b"one"]


async def test_a_reader_of_events_that_are_gone_is_told(store: SessionStore, lease: Lease) -> None:
    for seq in range(1, 7):
        await store.append_event(lease, seq, b"x")
    with pytest.raises(EventsTrimmed) as caught:
        await store.read_events("s", 1)
    assert caught.value.first_seq == 3  # four are kept
    assert [event.seq for event in await store.read_events("s", 2)] == [3, 4, 5, 6]
    await store.trim_events(lease, 6)
    with pytest.raises(EventsTrimmed) as caught:
        await store.read_events("s", 5)
    assert caught.value.first_seq == 7
    assert await store.read_events("s", 6) == ()
    await store.append_event(lease, 7, b"x")
    assert [event.seq for event in await store.read_events("s", 6)] == [7]


async def test_events_are_bounded_by_their_bytes(store: SessionStore, lease: Lease) -> None:
    for seq in (1, 2, 3):
        await store.append_event(lease, seq, b"x" * 50)
    assert [event.seq for event in await store.read_events("s", 1)] == [2, 3]
    with pytest.raises(TooLarge):
        await store.append_event(lease, 4, b"x" * 51)


async def test_the_store_is_bounded_as_a_whole_and_lives_on_when_full(
    store: SessionStore, lease: Lease, clock: Clock
) -> None:
    other = await store.acquire("s2", "g", 10.0)
    third = await store.acquire("s3", "g", 10.0)
    for session in (lease, other, third):
        await store.append_pcm(session, 0, 0, pcm(0, 50))
    with pytest.raises(StoreFull):
        await store.append_pcm(lease, 1, 0, pcm(0, 50))
    with pytest.raises(StoreFull):
        await store.put(lease, SessionRecord(session="s", start=b"x" * 100), expected_version=0)
    assert await store.append_pcm(lease, 0, 50, pcm(50, 100)) == 50  # takes the place of older audio
    await store.append_event(lease, 1, b"x" * 50)
    with pytest.raises(StoreFull):
        await store.append_event(lease, 2, b"x")
    await store.delete(other)
    await store.append_event(lease, 2, b"x")
    clock.now_s += 59
    await store.renew(lease, 1.0)
    clock.now_s += 1
    assert await store.append_pcm(lease, 1, 0, pcm(0, 50)) == 0  # the third has expired


async def test_bytes_of_what_went_away_are_free_again(store: SessionStore, lease: Lease) -> None:
    """Rounds of writing and trimming never fill the store."""
    for round_ in range(40):
        await store.append_pcm(lease, 0, 40 * round_, pcm(0, 40))
        await store.trim_pcm(lease, 0, 40 * round_ + 13)
        await store.append_event(lease, round_ + 1, b"x" * 30)
        await store.put(lease, record(last_seq=round_), expected_version=round_)
        if round_ % 3 == 0:
            await store.trim_events(lease, round_)
    found = await store.get("s")
    assert found is not None
    assert found.version == 40


def test_records_are_versioned_and_a_damaged_or_later_one_is_refused() -> None:
    data = encode_record(record(last_seq=4))
    assert decode_record(data) == record(last_seq=4)
    fields = msgspec.msgpack.decode(data)
    assert fields["format"] == RECORD_FORMAT
    assert decode_record(msgspec.msgpack.encode({**fields, "added_later": 1})) == record(last_seq=4)
    with pytest.raises(BadRecord, match="format 2"):
        decode_record(msgspec.msgpack.encode({**fields, "format": 2, "last_seq": "new kind"}))
    for damaged in (b"", data[:-1], data + b"x", msgspec.msgpack.encode({"format": 1}), b"\x81\xa1\xff\x01"):
        with pytest.raises(BadRecord):
            decode_record(damaged)


@pytest.mark.parametrize("name", [name for name in vars(Limits()) if name != "ttl_s"])
def test_limits_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        replace(Limits(), **{name: 0})
