"""`python -m benchmarks.soak --minutes M --streams N [--manifest FILE.tsv] [--seed S] [--json OUT] [--plots FOLDER]`.

Order of calls: make the scripts; start Redis, two gateways and the balancer; clients come and go while memory,
descriptors and keys are noted; wait until the last session has expired; write the JSON and the plot, print the table.
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
from benchmarks.circumstances import circumstances, load
from benchmarks.cluster.deployment import deployment
from benchmarks.cluster.gateway import SCRIPTED, TYMPAN_SERVE
from benchmarks.cluster.options import add_options
from benchmarks.cluster.process import ProcessError
from benchmarks.load.script import make_scripts
from benchmarks.results_file import write_result
from benchmarks.soak.figures import figures
from benchmarks.soak.run import soak
from benchmarks.soak.table import draw, table

SESSION_S = (20.0, 60.0)
TTL_S = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0; 1 where something grew or was left; 2 after one sentence on stderr."""
    options = _parser().parse_args(arguments)
    try:
        result = asyncio.run(measure(options))
    except (ManifestError, ProcessError, ValueError) as error:
        print(f"benchmarks.soak: {error}", file=sys.stderr)
        return 2
    if options.json is not None:
        write_result(options.json, result)
    if options.plots is not None:
        draw(result, options.plots)
    terminal = Console()
    Console(width=terminal.width if terminal.is_terminal else 160).print(table(result))
    return 1 if result["missed"] else 0


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The result, ready for JSON."""
    began = circumstances()
    clips = [load_clip(row) for row in read_manifest(options.manifest, options.limit)]
    scripts = make_scripts(clips, options.scripts, max(SESSION_S), options.duty, options.seed)
    settings = {"TYMPAN_SERVER_LOG_LEVEL": "warning", "TYMPAN_STORE_TIME_TO_LIVE_S": str(TTL_S)}
    seconds = options.minutes * 60
    gateway = SCRIPTED if options.no_model else TYMPAN_SERVE
    with progress_bars() as progress:
        bar = progress.add_task("seconds", total=round(seconds + TTL_S))
        async with deployment(gateway, settings) as running:
            found = await soak(
                running, scripts, options.streams, seconds, SESSION_S, TTL_S, options.seed,
                lambda more: progress.advance(bar, more),
            )  # fmt: skip
    return {
        "minutes": options.minutes,
        "streams": options.streams,
        **figures(found, TTL_S),
        "manifest": options.manifest.name,
        "settings": {
            "model": "none" if options.no_model else "tiny.en",
            "duty": options.duty,
            "session_s": list(SESSION_S),
            "time_to_live_s": TTL_S,
            "seed": options.seed,
        },
        **began,
        "machine": began["machine"] | {"load_1min": load()},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Does anything grow?")
    add_options(parser, minutes=30.0, streams=6, duty=0.6)
    return parser


if __name__ == "__main__":
    sys.exit(main())
