"""The book of what the worker holds: where it says complete, the worker has it all."""

from __future__ import annotations

import pytest

from inference.pool.fake import FakeEngine
from inference.pool.interface import StreamSpec
from streaming.scheduler.worker_cache import WorkerCache

PIECE = bytes(640)  # 320 samples


@pytest.fixture
async def engine() -> FakeEngine:
    engine = FakeEngine()
    await engine.start()
    return engine


@pytest.fixture
def cache(engine: FakeEngine) -> WorkerCache:
    cache = WorkerCache(engine, max_outbound_bytes=100)
    cache.open("a", StreamSpec())
    return cache


async def test_what_was_appended_is_complete(engine: FakeEngine, cache: WorkerCache) -> None:
    assert not cache.complete("a", 0)
    cache.append("a", 0, 0, PIECE)
    cache.append("a", 0, 320, PIECE)
    assert cache.complete("a", 0)
    assert engine.held("a", 0) == (0, 640)


async def test_one_piece_held_back_makes_it_incomplete_until_it_is_sent_whole(
    engine: FakeEngine, cache: WorkerCache
) -> None:
    cache.append("a", 0, 0, PIECE)
    engine.outbound_bytes = 101
    cache.append("a", 0, 320, PIECE)
    engine.outbound_bytes = 0
    cache.append("a", 0, 640, PIECE)
    assert not cache.complete("a", 0)
    assert engine.held("a", 0) == (0, 320)
    cache.resend("a", 0, 0, 3 * PIECE)
    assert cache.complete("a", 0)
    assert engine.held("a", 0) == (0, 960)


async def test_a_new_worker_has_nothing_and_gets_nothing_in_halves(engine: FakeEngine, cache: WorkerCache) -> None:
    cache.append("a", 0, 0, PIECE)
    engine.lose_worker()
    cache.append("a", 0, 320, PIECE)
    assert not cache.complete("a", 0)
    assert engine.held("a", 0) is None
    assert engine.open_streams() == {"a"}


async def test_an_utterance_that_begins_on_the_new_worker_is_complete(engine: FakeEngine, cache: WorkerCache) -> None:
    engine.lose_worker()
    cache.append("a", 1, 0, PIECE)
    assert cache.complete("a", 1)
    assert engine.held("a", 1) == (0, 320)


async def test_an_utterance_that_begins_while_no_worker_is_up_is_not(engine: FakeEngine, cache: WorkerCache) -> None:
    engine.lose_worker(restart=False)
    cache.append("a", 1, 0, PIECE)
    engine.restart_worker()
    cache.append("a", 1, 320, PIECE)
    assert not cache.complete("a", 1)
    assert engine.held("a", 1) is None


async def test_sending_again_forgets_what_the_worker_had(engine: FakeEngine, cache: WorkerCache) -> None:
    cache.append("a", 0, 320, PIECE)
    cache.resend("a", 0, 0, PIECE)
    assert engine.held("a", 0) == (0, 320)


async def test_distrust_lasts_until_the_audio_is_sent_again(cache: WorkerCache) -> None:
    cache.append("a", 0, 0, PIECE)
    cache.distrust("a", 0)
    assert not cache.complete("a", 0)
    cache.resend("a", 0, 0, PIECE)
    assert cache.complete("a", 0)


async def test_what_is_discarded_or_closed_is_freed_and_stays_so(engine: FakeEngine, cache: WorkerCache) -> None:
    cache.append("a", 0, 0, PIECE)
    cache.discard("a", 0)
    cache.distrust("a", 0)
    assert engine.held("a", 0) is None
    assert not cache.complete("a", 0)
    cache.close("a")
    cache.append("a", 1, 0, PIECE)
    cache.resend("a", 1, 0, PIECE)
    assert engine.open_streams() == set()
    assert not cache.complete("a", 1)
