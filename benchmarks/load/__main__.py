"""`python -m benchmarks.load --manifest FILE.tsv --streams N --seconds S [--duty D] [--find-knee]`.

Order of calls: read the manifest, make the scripts; start the service; each script alone, as fast as it goes; then
stage after stage; write the JSON and the plots, print the table.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.progress import Progress

from benchmarks.accuracy.__main__ import endpointing, progress_bars
from benchmarks.accuracy.clips import Clip, ManifestError, load_clip, read_manifest
from benchmarks.accuracy.exchange import Exchange
from benchmarks.accuracy.service import TYMPAN_SERVE, RunningService, ServiceError, running_service
from benchmarks.accuracy.stream import StreamSettings, with_silence
from benchmarks.circumstances import circumstances, load
from benchmarks.load.knee import KneeSearch
from benchmarks.load.resources import ResourceMeter, children
from benchmarks.load.result import Budget, stage_result
from benchmarks.load.script import make_scripts, start_offsets
from benchmarks.load.stage import run_stage
from benchmarks.load.table import best_stage, draw, table
from benchmarks.results_file import write_result
from streaming.protocol.messages import Endpointing, InterimPolicy


class LoadError(RuntimeError):
    """The measurement cannot go on; the text says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 after one sentence on stderr."""
    options = _parser().parse_args(arguments)
    budget = Budget(options.lag_budget_ms, options.ttfs_budget_ms)
    try:
        result = measure(options, budget)
    except (ManifestError, ServiceError, LoadError, ValueError) as error:
        print(f"benchmarks.load: {error}", file=sys.stderr)
        return 2
    if options.json is not None:
        write_result(options.json, result)
    if options.plots is not None:
        draw(result, budget, options.plots)
    terminal = Console()
    Console(width=terminal.width if terminal.is_terminal else 200).print(table(result))
    return 0


def measure(options: argparse.Namespace, budget: Budget) -> dict[str, Any]:
    """Runs all stages; the result's figures are those of the knee, or of the only stage, with all under `stages`."""
    began = circumstances()
    clips = [load_clip(row) for row in read_manifest(options.manifest, options.limit)]
    count = min(options.scripts, max(options.streams))
    scripts = make_scripts(clips, count, options.seconds, options.duty, options.seed)
    arguments = ["--model", options.model, "--device", options.device, *shlex.split(options.serve_args)]
    given = nullcontext(RunningService(options.server)) if options.server else None
    with progress_bars() as progress, given or running_service([*TYMPAN_SERVE], arguments) as service:
        settings = StreamSettings(
            service.stream_url, options.interim, options.endpointing, options.chunk_ms, patience_s=600
        )
        alone = _alone(scripts, settings, progress)
        stages = []
        for streams, tell in _numbers(options):
            result = _stage(scripts, streams, alone, settings, service, options, budget, progress)
            stages.append(result)
            tell(not result["missed"])
    best = best_stage(stages)
    return best | {
        "knee": best["streams"] if not best["missed"] else 0,
        "budget": {"partial_lag_p95_ms": budget.partial_lag_p95_ms, "ttfs_p95_ms": budget.ttfs_p95_ms},
        "stages": stages,
        "manifest": options.manifest.name,
        "settings": {
            "model": options.model,
            "device": options.device,
            "interim": options.interim,
            "endpointing": msgspec.to_builtins(options.endpointing),
            "seconds": options.seconds,
            "duty": options.duty,
            "chunk_ms": options.chunk_ms,
            "ramp_s": options.ramp,
            "scripts": len(scripts),
            "seed": options.seed,
            "serve_args": options.serve_args,
        },
        **began,
        "machine": began["machine"] | {"load_1min": load()},
    }


def _numbers(options: argparse.Namespace) -> Iterator[tuple[int, Any]]:
    """(streams, what to call with whether the stage was carried) of one stage after the other."""
    if not options.find_knee:
        for streams in options.streams:
            yield streams, lambda inside: None
        return
    search = KneeSearch(options.streams[0], options.most)
    while (streams := search.next()) is not None:
        yield streams, lambda inside, streams=streams: search.tell(streams, inside)


def _alone(scripts: Sequence[Clip], settings: StreamSettings, progress: Progress) -> dict[str, Exchange]:
    """Each script when it is the only stream, as fast as the service takes it: the same audio as when it is paced."""
    bar = progress.add_task("alone", total=len(scripts))
    found = {}
    for script in scripts:
        (outcome,) = asyncio.run(
            run_stage([with_silence(script)], [0.0], settings, lambda more: progress.advance(bar, more), "at_once")
        )
        if outcome.exchange is None:
            raise LoadError(f"a stream alone failed: {outcome.problem}")
        found[script.row.path] = outcome.exchange
    return found


def _stage(
    scripts: Sequence[Clip],
    streams: int,
    alone: dict[str, Exchange],
    settings: StreamSettings,
    service: RunningService,
    options: argparse.Namespace,
    budget: Budget,
    progress: Progress,
) -> dict[str, Any]:
    bar = progress.add_task(f"{streams} streams", total=streams)
    offsets = start_offsets(streams, options.ramp, options.seed)
    meter = ResourceMeter(_processes(service), time.perf_counter())
    before = _scheduler(service)
    outcomes = asyncio.run(run_stage(scripts, offsets, settings, lambda more: progress.advance(bar, more)))
    uses = meter.read(time.perf_counter(), _processes(service))
    after = _scheduler(service)
    counted = {name: round(after[name] - before.get(name, 0.0), 3) for name in after}
    if counted.get("batches"):
        counted["jobs_per_batch"] = round(counted["jobs"] / counted["batches"], 2)
    return stage_result(outcomes, alone, uses, counted, budget)


def _processes(service: RunningService) -> dict[str, int]:
    own = {"generator": os.getpid()}
    if service.pid is None:
        return own
    workers = children(service.pid)
    named = {"worker" if n == 0 else f"worker {n + 1}": pid for n, pid in enumerate(workers)}
    return {"gateway": service.pid, **named, **own}


def _scheduler(service: RunningService) -> dict[str, float]:
    """The service's own sums; empty where it has no such metrics."""
    wanted = {f"tympan_{name}": name for name in ("jobs", "batches", "jobs_coalesced", "step_seconds")}
    try:
        with urllib.request.urlopen(f"{service.address.rstrip('/')}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            return {wanted[f.name]: f.samples[0].value for f in families if f.name in wanted}
    except OSError:
        return {}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description="Live streams at once: latencies, accuracy, and how many fit."
    )
    parser.add_argument("--manifest", type=Path, required=True, help="TSV with the columns path and transcript")
    parser.add_argument("--streams", type=int, nargs="+", default=[1], help="live streams; several: one stage for each")
    parser.add_argument("--seconds", type=float, default=60, help="audio of each stream (default 60)")
    parser.add_argument("--duty", type=float, default=1.0, help="share of it that is speech (a call's is 0.4)")
    parser.add_argument("--find-knee", action="store_true", help="from --streams on, the most inside the budget")
    parser.add_argument("--most", type=int, default=1024, help="where the search for the knee ends")
    parser.add_argument("--lag-budget-ms", type=float, default=1500, help="bound of partial lag, p95")
    parser.add_argument("--ttfs-budget-ms", type=float, default=1000, help="bound of TTFS, p95")
    parser.add_argument("--ramp", type=float, default=10, help="streams begin at random within so many seconds")
    parser.add_argument("--chunk-ms", type=int, default=100, help="audio per message")
    parser.add_argument("--scripts", type=int, default=8, help="streams with audio of their own; more share it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, help="only so many clips, spread evenly over the manifest")
    parser.add_argument("--interim", choices=get_args(InterimPolicy), default="stable")
    parser.add_argument("--endpointing", type=endpointing, default=Endpointing(), help="such as min_silence_ms=500")
    parser.add_argument("--model", default="tiny.en", help="as for tympan serve")
    parser.add_argument("--device", default="auto", help="as for tympan serve")
    parser.add_argument("--serve-args", default="", help="more arguments for tympan serve, in one string")
    parser.add_argument("--server", help="measure this running service (http://host:port) instead of starting one")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="latencies over streams, SVG and PNG")
    return parser


if __name__ == "__main__":
    sys.exit(main())
