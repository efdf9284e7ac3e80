"""Sessions in this process, and what came out of them."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from tympan_client import SessionOptions, SoundEvent, TranscriptUpdate

from benchmarks.events.mixtures import Mixture, Truth
from streaming.cli.backend import Backend, in_place, paced
from streaming.config import load_config
from streaming.session.service import Service

COLLARS_S = (0.25, 0.5)


@dataclass
class Told:
    """What a session said of one recording."""

    words: list[str] = field(default_factory=list)
    events: list[tuple[str, float, float]] = field(default_factory=list)
    """Label, begin and end in seconds, of the tagger's."""


async def hear(backend: Backend, pcm: NDArray[np.int16], *, real_time: bool = False) -> Told:
    """One session; as fast as it goes, or as fast as it was spoken."""
    told = Told()

    async def chunks() -> AsyncGenerator[bytes, None]:
        data = pcm.astype("<i2").tobytes()
        size = 3_200 if real_time else 32_000
        for first in range(0, len(data), size):
            yield data[first : first + size]

    source = paced(chunks(), 32_000) if real_time else chunks()
    async with aclosing(backend.stream(source, SessionOptions())) as events:
        async for event in events:
            if isinstance(event, TranscriptUpdate) and event.final:
                told.words += (event.text or "").split()
            elif isinstance(event, SoundEvent) and event.source == "tagger" and event.phase == "end":
                assert event.end_ms is not None
                told.events.append((event.label, event.start_ms / 1000, event.end_ms / 1000))
    return told


def hear_all(
    tagger: str, clips: Sequence[NDArray[np.int16]], progress: Progress, name: str
) -> tuple[list[Told], float]:
    """What was told of each, and the CPU seconds of gateway and worker, without the model's loading."""

    async def run() -> tuple[list[Told], float]:
        config = load_config(flags={"engine.tagger": tagger, "engine.workers": 1})
        bar = progress.add_task(name, total=len(clips))
        told: list[Told] = []
        async with in_place(Service(config)) as backend:
            await hear(backend, np.zeros(16_000, np.int16))
            before = _cpu_s()
            for pcm in clips:
                told.append(await hear(backend, pcm))
                progress.advance(bar)
            return told, _cpu_s() - before

    return asyncio.run(run())


def cpu_in_real_time(tagger: str, streams: Sequence[NDArray[np.int16]], progress: Progress, name: str) -> float:
    """CPU seconds of gateway and worker while these streams come side by side as fast as they were spoken."""

    async def run() -> float:
        config = load_config(flags={"engine.tagger": tagger, "engine.workers": 1})
        bar = progress.add_task(name, total=len(streams))
        async with in_place(Service(config)) as backend:
            await hear(backend, np.zeros(16_000, np.int16))
            before = _cpu_s()
            for done in asyncio.as_completed([hear(backend, pcm, real_time=True) for pcm in streams]):
                await done
                progress.advance(bar)
            return _cpu_s() - before

    return asyncio.run(run())


def _cpu_s() -> float:
    """Of this process and of its children that run: its workers."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime + sum(map(_child_cpu_s, Path("/proc").glob("[0-9]*/stat")))


def _child_cpu_s(stat: Path) -> float:
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    mine = int(fields[1]) == os.getpid()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if mine else 0.0


def event_scores(made: Sequence[Mixture], told: Sequence[Told]) -> dict[str, Any]:
    """F1 of events whose label is right and whose begin lies within a collar of the truth, each matched once; and
    events that overlap nothing of their label, by the hour."""
    labels = {truth.label for mixture in made for truth in mixture.truth}
    result: dict[str, Any] = {}
    for collar in COLLARS_S:
        hits = sum(_hits(mixture.truth, _of(each, labels), collar) for mixture, each in zip(made, told, strict=True))
        wanted = sum(len(mixture.truth) for mixture in made)
        said = sum(len(_of(each, labels)) for each in told)
        result[f"f1_{round(collar * 1000)}_ms"] = round(2 * hits / max(1, wanted + said), 3)
    false = sum(_false(mixture.truth, _of(each, labels)) for mixture, each in zip(made, told, strict=True))
    hours = sum(len(mixture.pcm) for mixture in made) / 16_000 / 3600
    heard = sum(
        any(label == truth.label and begin < truth.end_s and end > truth.start_s for label, begin, end in each.events)
        for mixture, each in zip(made, told, strict=True)
        for truth in mixture.truth
    )
    return {**result, "heard": round(heard / max(1, wanted), 3), "false_per_hour": round(false / hours, 1)}


def _of(told: Told, labels: set[str]) -> list[tuple[str, float, float]]:
    return [event for event in told.events if event[0] in labels]


def _hits(truth: Sequence[Truth], said: Sequence[tuple[str, float, float]], collar: float) -> int:
    left = list(said)
    hits = 0
    for each in truth:
        near = [event for event in left if event[0] == each.label and abs(event[1] - each.start_s) <= collar]
        if near:
            left.remove(min(near, key=lambda event: abs(event[1] - each.start_s)))
            hits += 1
    return hits


def _false(truth: Sequence[Truth], said: Sequence[tuple[str, float, float]]) -> int:
    return sum(
        not any(label == each.label and begin < each.end_s + 0.5 and end > each.start_s - 0.5 for each in truth)
        for label, begin, end in said
    )
