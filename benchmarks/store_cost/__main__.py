"""`python -m benchmarks.store_cost [--streams N] [--seconds S] [--turns T] [--json OUT]`.

Two gateways with a scripted engine run all the time, one with each store; the same paced clients speak to one after the
other, and the order turns round each time. CPU is what the gateway's process used until all was said, over the audio
messages that it took. What lies in Redis is read just before the first client stops.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from rich.console import Console

from benchmarks.accuracy.__main__ import progress_bars
from benchmarks.accuracy.clips import MODEL_RATE, Clip, ManifestError, load_clip, read_manifest
from benchmarks.accuracy.service import RunningService, ServiceError, running_service
from benchmarks.accuracy.stream import StreamSettings
from benchmarks.circumstances import circumstances, load
from benchmarks.cluster.options import MANIFEST
from benchmarks.cluster.process import HOST, ProcessError
from benchmarks.cluster.redis import RedisProcess
from benchmarks.load.resources import usage
from benchmarks.load.script import make_scripts, start_offsets
from benchmarks.load.stage import run_stage
from benchmarks.results_file import write_result
from benchmarks.store_cost.figures import Kept, Stage, Store, figures
from benchmarks.store_cost.table import table
from streaming.protocol.messages import Endpointing

SERVICE = ("benchmarks.gateway.service",)
RAMP_S = 2.0
SETTLE_S = 1.0
BEFORE_THE_END_S = 1.0
OFTEN = Endpointing(min_silence_ms=300)
"""Many short utterances: a percentile of TTFS needs many finals."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0; 1 where a bound was missed; 2 after one sentence on stderr."""
    options = _parser().parse_args(arguments)
    try:
        result = asyncio.run(measure(options))
    except (ManifestError, ProcessError, ServiceError, ValueError) as error:
        print(f"benchmarks.store_cost: {error}", file=sys.stderr)
        return 2
    if options.json is not None:
        write_result(options.json, result)
    terminal = Console()
    Console(width=terminal.width if terminal.is_terminal else 160).print(table(result))
    return 1 if result["missed"] else 0


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The result, ready for JSON."""
    began = circumstances()
    clips = [load_clip(row) for row in read_manifest(options.manifest)]
    scripts = [
        Clip(script.row, script.samples[: round(options.seconds * MODEL_RATE)], MODEL_RATE)
        for script in make_scripts(clips, options.scripts, options.seconds, options.duty, options.seed)
    ]
    pairs, kept = [], []
    with tempfile.TemporaryDirectory(prefix="tympan-") as folder, progress_bars() as progress:
        bar = progress.add_task("stages", total=2 * options.turns)
        redis = RedisProcess(Path(folder))
        try:
            await redis.start()
            with running_service(SERVICE) as memory, running_service([*SERVICE, "--store-url", redis.url]) as durable:
                places: dict[Store, RunningService] = {"memory": memory, "redis": durable}
                for store, place in places.items():  # what is loaded once is not a session's
                    await _stage(store, place, redis, scripts[:1], options)
                for turn in range(options.turns):
                    found: dict[Store, Stage] = {}
                    order: tuple[Store, Store] = ("memory", "redis") if turn % 2 else ("redis", "memory")
                    for store in order:
                        looking = asyncio.create_task(_look(redis, options.streams, options.seconds))
                        found[store] = await _stage(store, places[store], redis, scripts, options, options.streams)
                        at_the_end = await looking
                        if store == "redis":
                            kept.append(at_the_end)
                            await _forget(redis)
                        progress.advance(bar)
                    pairs.append((found["memory"], found["redis"]))
        finally:
            await redis.kill()
    return {
        **figures(pairs, kept),
        "streams": options.streams,
        "manifest": options.manifest.name,
        "settings": {
            "seconds": options.seconds,
            "duty": options.duty,
            "scripts": options.scripts,
            "seed": options.seed,
        },
        **began,
        "machine": began["machine"] | {"load_1min": load()},
    }


async def _stage(
    store: Store,
    service: RunningService,
    redis: RedisProcess,
    scripts: Sequence[Clip],
    options: argparse.Namespace,
    streams: int = 1,
) -> Stage:
    settings = StreamSettings(service.stream_url, endpointing=OFTEN, chunk_ms=100)
    before = _cpu_s(service.pid), _cpu_s(redis.pid)
    offsets = start_offsets(streams, RAMP_S, options.seed)
    outcomes = await run_stage(scripts, offsets, settings, lambda more: None)
    await asyncio.sleep(SETTLE_S)
    exchanges = [outcome.exchange for outcome in outcomes if outcome.exchange is not None]
    return Stage(
        store,
        _cpu_s(service.pid) - before[0],
        _cpu_s(redis.pid) - before[1],
        exchanges,
        len(outcomes) - len(exchanges),
    )


def _cpu_s(pid: int | None) -> float:
    found = usage(pid) if pid else None
    return found.cpu_s if found else 0.0


async def _look(redis: RedisProcess, streams: int, seconds: float) -> Kept:
    """Bytes by the kind of key, while all clients speak."""
    began_s = time.perf_counter()
    await asyncio.sleep(seconds - BEFORE_THE_END_S)
    client = Redis(host=HOST, port=redis.port, protocol=2, decode_responses=True)
    try:
        names = [name async for name in client.scan_iter(count=1000)]
        sizes = [await client.memory_usage(name, samples=0) or 0 for name in names]
    finally:
        await client.aclose()
    by_kind: Counter[str] = Counter()
    for name, size in zip(names, sizes, strict=True):
        by_kind[name.rpartition("}:")[2].partition(":")[0]] += size
    return Kept(streams, (time.perf_counter() - began_s - RAMP_S / 2) / 60, dict(by_kind))


async def _forget(redis: RedisProcess) -> None:
    """Sessions that ended, so that the next turn finds none of them."""
    client = Redis(host=HOST, port=redis.port, protocol=2)
    try:
        await client.flushall()
    finally:
        await client.aclose()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store_cost", description="What a Redis store costs.")
    parser.add_argument("--streams", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=30.0, help="audio of each stream (default 30)")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--duty", type=float, default=0.8, help="share of it that is speech (default 0.8)")
    parser.add_argument("--scripts", type=int, default=8, help="streams with audio of their own; more share it")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="what is said")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="OUT")
    return parser


if __name__ == "__main__":
    sys.exit(main())
