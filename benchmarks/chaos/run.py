"""One run: every script undisturbed, then all clients at once while faults are done to the deployment."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import soxr

from benchmarks.accuracy.clips import Clip
from benchmarks.accuracy.exchange import Exchange
from benchmarks.accuracy.stream import StreamSettings
from benchmarks.chaos.injector import Injected, Injector
from benchmarks.cluster.client import Told, samples_of, speak
from benchmarks.cluster.deployment import Deployment
from benchmarks.load.script import start_offsets
from benchmarks.load.stage import run_stage
from streaming.protocol.messages import SampleRate

RAMP_S = 5.0
RATES: Sequence[SampleRate] = (16_000, 48_000, 16_000, 8_000)
"""One script after the other: what is resampled has a state more."""


class UndisturbedError(RuntimeError):
    """A script could not be heard even alone."""


@dataclass(frozen=True, slots=True)
class Run:
    clients: list[Told]
    faults: list[Injected]
    began_s: float


def at_rates(scripts: Sequence[Clip]) -> list[Clip]:
    """The scripts as clients send them, at several sample rates."""
    found = []
    for index, script in enumerate(scripts):
        rate = RATES[index % len(RATES)]
        samples = (
            soxr.resample(script.samples, script.sample_rate, rate) if rate != script.sample_rate else script.samples
        )
        found.append(Clip(script.row, samples, rate))
    return found


async def undisturbed(scripts: Sequence[Clip], url: str, done: Callable[[], None]) -> dict[str, Exchange]:
    """Each script as a client sends it, alone and as fast as the service takes it. Raises UndisturbedError."""
    settings = StreamSettings(url, chunk_ms=100, patience_s=600)
    found = {}
    for script in scripts:
        whole = Clip(script.row, samples_of(script), script.sample_rate)
        (outcome,) = await run_stage([whole], [0.0], settings, lambda more: done(), "at_once")
        if outcome.exchange is None:
            raise UndisturbedError(outcome.problem)
        found[script.row.path] = outcome.exchange
    return found


async def disturbed(
    deployment: Deployment, scripts: Sequence[Clip], streams: int, seed: int, tell: Callable[[Injected], None]
) -> Run:
    """Client i says script i, and the first one again after the last. Raises ProcessError."""
    clients = [Told(scripts[index % len(scripts)]) for index in range(streams)]
    began_s = time.perf_counter()

    async def begin(told: Told, offset_s: float) -> None:
        await asyncio.sleep(offset_s)
        await speak(deployment.stream_url, told.script, told)

    offsets = start_offsets(streams, RAMP_S, seed)
    random.Random(seed).shuffle(offsets)
    speaking = [asyncio.create_task(begin(told, at)) for told, at in zip(clients, offsets, strict=True)]
    injector = Injector(deployment, clients, seed, tell)
    try:
        await injector.run()
        await asyncio.gather(*speaking)
        await injector.close()
    finally:
        for task in speaking:
            task.cancel()
        await asyncio.gather(*speaking, return_exceptions=True)
    return Run(clients, injector.faults, began_s)
