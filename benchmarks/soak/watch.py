"""What the deployment's processes hold, read every few seconds from /proc and from Redis itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from benchmarks.cluster.deployment import Deployment
from benchmarks.cluster.process import HOST, file_descriptors
from benchmarks.load.resources import usage

EACH_S = 5.0


@dataclass(frozen=True, slots=True)
class Held:
    """By one process."""

    memory_mb: float
    descriptors: int


@dataclass(frozen=True, slots=True)
class Keys:
    """In Redis."""

    count: int
    eternal: int
    """Without an expiry."""
    longest_s: float
    """The furthest expiry."""
    used_mb: float
    """Of Redis' memory, by data."""


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    """Since the begin."""
    processes: dict[str, Held]
    keys: Keys


class Watch:
    """Order of calls: `run` as a task; `keys` at any time; `close`."""

    def __init__(self, deployment: Deployment) -> None:
        self.samples: list[Sample] = []
        self._deployment = deployment
        self._redis = Redis(host=HOST, port=deployment.redis.port, protocol=2)

    async def run(self) -> None:
        began_s = time.perf_counter()
        while True:
            keys = await self.keys()
            self.samples.append(Sample(round(time.perf_counter() - began_s, 1), self._processes(), keys))
            await asyncio.sleep(EACH_S)

    async def keys(self) -> Keys:
        names = [name async for name in self._redis.scan_iter(count=1000)]
        pipeline = self._redis.pipeline(transaction=False)
        for name in names:
            pipeline.pttl(name)
        # -1: it has no expiry; -2: it has expired meanwhile.
        lives_ms = [int(found) for found in await pipeline.execute()] if names else []
        info: dict[str, Any] = await self._redis.info("memory")
        return Keys(
            count=len(lives_ms),
            eternal=sum(life_ms == -1 for life_ms in lives_ms),
            longest_s=max(lives_ms, default=0) / 1000,
            used_mb=round(info["used_memory"] / 1e6, 2),
        )

    async def close(self) -> None:
        await self._redis.aclose()

    def _processes(self) -> dict[str, Held]:
        pids = {"redis": self._deployment.redis.pid}
        for number, gateway in enumerate(self._deployment.gateways, 1):
            worker = gateway.note_worker()
            pids |= {f"gateway {number}": gateway.pid, f"worker {number}": worker.pid if worker else None}
        found = {}
        for name, pid in pids.items():
            used = usage(pid) if pid else None
            descriptors = file_descriptors(pid) if pid else None
            if used is not None and descriptors is not None:
                found[name] = Held(round(used.memory_bytes / 1e6, 2), descriptors)
        return found
