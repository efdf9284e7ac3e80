"""Whole sessions over worker processes that are killed, hang, break or run out of memory: each final once, and right.

The workers' words are checksums of the audio, so that a rebuild which lost, doubled or moved a sample changes them.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from inference.pool.fake import FakeEngine
from inference.pool.fake_trap import Trap
from inference.pool.local import LocalPool
from inference.pool.process import WorkerSettings
from streaming.protocol.messages import Ack, Error, Gap, Speech, Transcript
from tests.support.callers import Caller, over, same_as_undisturbed
from tests.support.live import live_server
from tests.support.polling import eventually
from tests.support.redis_server import RedisServer

IN_SPEECH = 28_000


def workers(model: str, **settings: Any) -> Any:
    """One process with the fake engine."""
    return LocalPool(WorkerSettings(model=model, device="cpu", engine="fake", **settings))


@pytest.fixture
async def trap(tmp_path: Path) -> AsyncIterator[Trap]:
    trap = Trap(tmp_path)
    yield trap
    trap.close()


@pytest.fixture(scope="module")
def right() -> dict[int, list[tuple[Any, ...]]]:
    """The finals of a session whose worker is well; made by the first test that asks."""
    return {}


async def check_finals(caller: Caller, right: dict[int, list[tuple[Any, ...]]]) -> None:
    caller.check()
    if 0 not in right:
        whole = Caller()
        async with live_server(workers("fake")) as live, whole.connected(live) as client:
            assert await whole.stop(client) == 1000
        right[0] = whole.finals
    assert len(right[0]) == 3
    assert caller.finals == right[0]
    assert not [message for message in caller.heard if isinstance(message, Gap)]


@pytest.mark.parametrize("mishap", ["killed", "hangs", "crashes"])
async def test_a_worker_lost_within_a_step_changes_no_final(trap: Trap, mishap: str, right: dict[int, Any]) -> None:
    model = "crash-once" if mishap == "crashes" else "hang-once"
    pool = workers(f"{model}:{trap.path}", step_timeout_s=0.3 if mishap == "hangs" else 30.0)
    caller = Caller()
    async with live_server(pool) as live, caller.connected(live) as client:
        await caller.send(client, IN_SPEECH)
        await asyncio.wait_for(trap.sprung.wait(), 20)
        if mishap == "killed":
            os.kill(pool.worker_pid, signal.SIGKILL)
        assert await caller.stop(client) == 1000
        assert pool.generation == 2
    await check_finals(caller, right)


async def test_a_worker_killed_again_and_again_says_no_final_twice(right: dict[int, Any]) -> None:
    pool = workers("fake")
    caller = Caller()
    async with live_server(pool) as live, caller.connected(live) as client:
        for generation, at in enumerate(range(20_000, caller.length, 40_000), 1):
            await caller.send(client, at)
            await client.until(Ack)

            async def replaced(generation: int = generation) -> bool:
                return pool.generation == generation and pool.worker_pid is not None

            await eventually(replaced)
            os.kill(pool.worker_pid, signal.SIGKILL)
        assert await caller.stop(client) == 1000
        assert pool.generation >= 3
    await check_finals(caller, right)


async def test_a_session_resumed_while_the_worker_is_away_waits_for_the_next_one(right: dict[int, Any]) -> None:
    """The connection and the worker are lost together."""
    pool = workers("fake")
    caller = Caller()
    async with live_server(pool) as live:
        async with caller.connected(live) as client:
            await caller.paced(client, IN_SPEECH)
            client.socket.transport.abort()
        os.kill(pool.worker_pid, signal.SIGKILL)
        async with caller.connected(live) as client:
            assert await caller.stop(client) == 1000
    await check_finals(caller, right)


async def test_a_final_that_finds_no_memory_is_tried_again() -> None:
    engine, caller = FakeEngine(), Caller(interim="off")
    async with live_server(engine) as live, caller.connected(live) as client:
        engine.fail_jobs(f"{caller.session}/0", "out_of_memory", "internal")
        assert await caller.stop(client) == 1000
        assert client.got(Gap) == []
    await same_as_undisturbed(caller)


async def test_where_no_worker_is_left_the_session_goes_on_at_another_gateway(redis_server: RedisServer) -> None:
    """The error says that it may be tried again."""
    engine, caller = FakeEngine(), Caller()
    store = over(redis_server)
    async with live_server(engine, store=store) as one, live_server(store=store) as two:
        async with caller.connected(one) as client:
            await caller.paced(client, IN_SPEECH)
            engine.fail_for_good("The worker could not be started again.")
            await caller.send(client, 44_000)
            assert await client.rest() == 1013
            error = client.received[-1]
            assert isinstance(error, Error)
            assert (error.code, error.retryable) == ("engine_unavailable", True)
        async with caller.connected(two) as client:
            assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_a_final_that_was_asked_of_the_last_worker_is_not_given_up(redis_server: RedisServer) -> None:
    """Another gateway will work it out: no gap is said in its place."""
    engine, caller = FakeEngine(), Caller()
    store = over(redis_server)
    async with live_server(engine, store=store) as one, live_server(store=store) as two:
        async with caller.connected(one) as client:
            engine.hold_steps()
            await caller.send(client, 60_000)
            await client.has(Speech, state="ended")
            await client.has(Ack, sample=56_000)
            engine.fail_for_good("The worker could not be started again.")
            assert await client.rest() == 1013
            assert client.got(Gap) == []
        async with caller.connected(two) as client:
            assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_a_final_that_was_said_is_not_said_again_when_its_worker_and_its_gateway_are_lost(
    redis_server: RedisServer, right: dict[int, Any]
) -> None:
    """It is in the log, and the snapshot is older than it."""
    store = over(redis_server)
    caller = Caller()
    pools = [workers("fake") for _ in range(2)]
    async with live_server(pools[0], store=store) as one, live_server(pools[1], store=store) as two:
        async with caller.connected(one) as client:
            await caller.send(client, 55_000)
            await client.until(Transcript, final=True, utterance=1)
            os.kill(pools[0].worker_pid, signal.SIGKILL)
            client.socket.transport.abort()
        async with caller.connected(two) as client:
            assert await caller.stop(client) == 1000
            assert 1 not in [message.utterance for message in client.got(Transcript) if message.final]
    await check_finals(caller, right)
