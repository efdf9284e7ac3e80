"""Does faults to a deployment, one after the other, while clients speak to it.

A fault is over when what it hit is back; the next one waits until every session has been acknowledged audio since then,
so that nothing is emptied or killed that is the only copy of a session. A gateway comes back in the background: until
then it is the target of nothing.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.chaos.plan import Fault, Kind, Plan
from benchmarks.cluster.client import Told
from benchmarks.cluster.deployment import END_S, Deployment
from benchmarks.cluster.gateway import GatewayProcess
from benchmarks.cluster.process import ProcessError

POLL_S = 0.1
STOPPED_S = 3.0
"""Behind `stop` no acks need come: the session is given this long to be stored again."""
SETTLE_S = 30.0
"""How long sessions may take to be acknowledged audio again."""
WORKER_S = 60.0


@dataclass(slots=True)
class Injected:
    """A fault that was done: times on `time.perf_counter`."""

    kind: Kind
    target: str
    began_s: float
    ended_s: float
    """What it hit is back, or the sessions can go on elsewhere."""
    settled_s: float | None = None
    """Every session was acknowledged audio again; None: not in time."""


class Injector:
    """Order of calls: `run`, which begins when every session is stored for the first time, and returns when all clients
    are over; then `close`."""

    def __init__(
        self, deployment: Deployment, clients: Sequence[Told], seed: int, tell: Callable[[Injected], None]
    ) -> None:
        self.faults: list[Injected] = []
        self._deployment = deployment
        self._clients = clients
        self._plan = Plan(seed, len(deployment.gateways))
        self._random = random.Random(seed + 1)
        self._tell = tell
        self._coming_back: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Raises ProcessError: something did not come back."""
        while not all(client.over for client in self._clients):
            all_stored = all(client.acknowledged or client.over for client in self._clients)
            fault = self._plan.next(self._ready()) if all_stored else None
            if fault is None:
                await asyncio.sleep(POLL_S)
                continue
            began_s = time.perf_counter()
            target, ended_s = await self._do(fault)
            injected = Injected(fault.kind, target, began_s, ended_s)
            self.faults.append(injected)
            await self._settle(injected)
            self._tell(injected)
            await asyncio.sleep(fault.pause_s)

    async def close(self) -> None:
        """Waits for what comes back. Raises ProcessError."""
        await asyncio.gather(*self._coming_back.values())

    def _ready(self) -> list[int]:
        for index, task in list(self._coming_back.items()):
            if task.done():
                task.result()
                del self._coming_back[index]
        return [index for index in range(len(self._deployment.gateways)) if index not in self._coming_back]

    async def _do(self, fault: Fault) -> tuple[str, float]:
        """(what was hit, when sessions could go on)."""
        deployment, redis = self._deployment, self._deployment.redis
        gateway = deployment.gateways[fault.target]
        match fault.kind:
            case "gateway killed":
                await gateway.kill()
                ended_s = time.perf_counter()
                self._bring_back(fault.target, self._start(gateway, fault.lasts_s))
                return gateway.name, ended_s
            case "gateway drained":
                began_s = time.perf_counter()
                self._bring_back(fault.target, self._roll(gateway, fault.lasts_s))
                return gateway.name, began_s
            case "gateway frozen" | "sockets cut, gateway frozen":
                gateway.freeze()
                await asyncio.sleep(fault.lasts_s / 2)
                if fault.kind.startswith("sockets"):
                    deployment.balancer.cut(1.0, self._random)
                await asyncio.sleep(fault.lasts_s / 2)
                gateway.thaw()
                return gateway.name, time.perf_counter()
            case "worker killed":
                return gateway.name, await self._kill_worker(fault.target, gateway)
            case "worker frozen":
                return gateway.name, await self._freeze_worker(gateway, fault.lasts_s)
            case "redis restarted" | "redis emptied":
                await redis.kill()
                if fault.kind == "redis emptied":
                    redis.forget()
                await asyncio.sleep(fault.lasts_s)
                await redis.start()
                return "redis", time.perf_counter()
            case "redis frozen" | "sockets cut, redis frozen" | "gateway killed, redis frozen":
                redis.freeze()
                await asyncio.sleep(fault.lasts_s / 2)
                if fault.kind.startswith("sockets"):
                    deployment.balancer.cut(fault.share, self._random)
                if fault.kind.startswith("gateway"):
                    await gateway.kill()
                    self._bring_back(fault.target, self._start(gateway, fault.lasts_s))
                await asyncio.sleep(fault.lasts_s / 2)
                redis.thaw()
                return "redis", time.perf_counter()
            case "sockets cut":
                count = deployment.balancer.cut(fault.share, self._random)
                return f"{count} sockets", time.perf_counter()

    def _bring_back(self, index: int, back: Coroutine[Any, Any, None]) -> None:
        self._coming_back[index] = asyncio.create_task(back)

    async def _start(self, gateway: GatewayProcess, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await gateway.end_orphans()
        await gateway.start()

    async def _roll(self, gateway: GatewayProcess, after_s: float) -> None:
        gateway.note_worker()
        await gateway.terminate(END_S)
        await self._start(gateway, after_s)

    async def _kill_worker(self, index: int, gateway: GatewayProcess) -> float:
        """Returns at once: the sessions go on while the worker comes back."""
        restarts = await gateway.worker_restarts() or 0
        worker = gateway.note_worker()
        if worker is not None:
            worker.send(signal.SIGKILL)
        self._bring_back(index, self._worker_back(gateway, restarts))
        return time.perf_counter()

    async def _worker_back(self, gateway: GatewayProcess, restarts: int) -> None:
        """Raises ProcessError."""
        until_s = time.perf_counter() + WORKER_S
        while (await gateway.worker_restarts() or 0) <= restarts:
            if time.perf_counter() > until_s:
                raise ProcessError(f"{gateway.name} has no worker again in {WORKER_S:g} s:\n{gateway.last_words}")
            await asyncio.sleep(POLL_S)
        gateway.note_worker()

    async def _freeze_worker(self, gateway: GatewayProcess, lasts_s: float) -> float:
        worker = gateway.note_worker()
        if worker is not None:
            worker.send(signal.SIGSTOP)
            await asyncio.sleep(lasts_s)
            worker.send(signal.SIGCONT)
        return time.perf_counter()

    async def _settle(self, fault: Injected) -> None:
        until_s = time.perf_counter() + SETTLE_S
        while time.perf_counter() < until_s:
            if all(_goes_on(client, fault.ended_s) for client in self._clients):
                fault.settled_s = time.perf_counter()
                return
            await asyncio.sleep(POLL_S)


def _goes_on(client: Told, since_s: float) -> bool:
    if client.over:
        return True
    if client.stopped_at_s is not None and time.perf_counter() > max(since_s, client.stopped_at_s) + STOPPED_S:
        return True
    return client.connected and client.acknowledged_at_s > since_s
