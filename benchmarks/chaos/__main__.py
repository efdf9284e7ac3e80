"""`python -m benchmarks.chaos --minutes M --streams N [--manifest FILE.tsv] [--seed S] [--json OUT] [--plots FOLDER]`.

Order of calls: make the scripts; start Redis, two gateways and the balancer; each script alone; then all clients while
faults are done; write the JSON and the timeline, print the table.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from benchmarks.accuracy.__main__ import progress_bars
from benchmarks.accuracy.clips import ManifestError, load_clip, read_manifest
from benchmarks.chaos.figures import figures
from benchmarks.chaos.injector import Injected
from benchmarks.chaos.run import UndisturbedError, at_rates, disturbed, undisturbed
from benchmarks.chaos.table import draw, table
from benchmarks.circumstances import circumstances, load
from benchmarks.cluster.deployment import deployment
from benchmarks.cluster.gateway import SCRIPTED, TYMPAN_SERVE
from benchmarks.cluster.options import add_options
from benchmarks.cluster.process import ProcessError
from benchmarks.load.script import make_scripts
from benchmarks.results_file import write_result


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0; 1 where a bound was missed; 2 after one sentence on stderr."""
    options = _parser().parse_args(arguments)
    try:
        result = asyncio.run(measure(options))
    except (ManifestError, ProcessError, UndisturbedError, ValueError) as error:
        print(f"benchmarks.chaos: {error}", file=sys.stderr)
        return 2
    if options.json is not None:
        write_result(options.json, result)
    if options.plots is not None:
        draw(result, options.plots)
    terminal = Console()
    Console(width=terminal.width if terminal.is_terminal else 160).print(table(result))
    for problem in result["problems"]:
        print(f"benchmarks.chaos: raised to an application: {problem}", file=sys.stderr)
    return 1 if result["missed"] else 0


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The result, ready for JSON."""
    began = circumstances()
    clips = [load_clip(row) for row in read_manifest(options.manifest, options.limit)]
    seconds = options.minutes * 60
    count = min(options.scripts, options.streams)
    scripts = at_rates(make_scripts(clips, count, seconds, options.duty, options.seed))
    gateway = SCRIPTED if options.no_model else TYMPAN_SERVE
    with progress_bars() as progress:
        bar = progress.add_task("alone", total=count)
        async with deployment(gateway, {"TYMPAN_SERVER_LOG_LEVEL": "warning"}) as running:
            alone = await undisturbed(scripts, running.stream_url, lambda: progress.advance(bar))
            chaos = progress.add_task("faults", total=None)

            def tell(fault: Injected) -> None:
                progress.update(chaos, advance=1, description=fault.kind)

            run = await disturbed(running, scripts, options.streams, options.seed, tell)
    return {
        "minutes": options.minutes,
        **figures(run.clients, alone, run.faults, run.began_s),
        "manifest": options.manifest.name,
        "settings": {
            "model": "none" if options.no_model else "tiny.en",
            "gateways": 2,
            "workers": 1,
            "duty": options.duty,
            "scripts": count,
            "seed": options.seed,
        },
        **began,
        "machine": began["machine"] | {"load_1min": load()},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description="Faults under live streams.")
    add_options(parser, minutes=5.0, streams=16, duty=0.4)
    return parser


if __name__ == "__main__":
    sys.exit(main())
