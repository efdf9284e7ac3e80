"""Clients that come and go: so many at once, each for a while, and another one after it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.accuracy.clips import MODEL_RATE, Clip
from benchmarks.cluster.client import Told, speak
from benchmarks.cluster.deployment import Deployment
from benchmarks.soak.watch import EACH_S, Keys, Sample, Watch

EXPIRY_SLACK_S = 2.0


@dataclass(frozen=True, slots=True)
class Soak:
    sessions: list[Told]
    samples: list[Sample]
    left: Keys
    """After all sessions had ended and their time to live was over."""


async def soak(
    deployment: Deployment,
    scripts: Sequence[Clip],
    streams: int,
    seconds: float,
    session_s: tuple[float, float],
    ttl_s: float,
    seed: int,
    tell: Callable[[float], None],
) -> Soak:
    """Args:
    scripts: at least as long as a session.
    session_s: shortest and longest session.
    ttl_s: what the gateways were told.
    tell: is given the seconds that passed.
    """
    chance = random.Random(seed)
    sessions: list[Told] = []
    until_s = time.perf_counter() + seconds

    async def place() -> None:
        await asyncio.sleep(chance.uniform(0, min(session_s)))
        while (left_s := until_s - time.perf_counter()) > min(session_s):
            script = chance.choice(scripts)
            length = min(chance.uniform(*session_s), left_s)
            told = Told(Clip(script.row, script.samples[: round(length * MODEL_RATE)], MODEL_RATE))
            sessions.append(told)
            await speak(deployment.stream_url, told.script, told)

    async def clock() -> None:
        while True:
            await asyncio.sleep(1.0)
            tell(1.0)

    watch = Watch(deployment)
    aside = [asyncio.create_task(watch.run()), asyncio.create_task(clock())]
    try:
        await asyncio.gather(*(place() for _ in range(streams)))
        await asyncio.sleep(max(EACH_S, ttl_s + EXPIRY_SLACK_S))
        left = await watch.keys()
    finally:
        for task in aside:
            task.cancel()
        for task in aside:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await watch.close()
    return Soak(sessions, watch.samples, left)
