"""`python -m benchmarks.tones --data FOLDER [--json OUT] [--speeds S ...] [--presses N] [--seed N]`.

Talk-off is what Bellcore's TR-TSY-000763 measures: how often recordings without tones are taken for some. Each
recording is heard at each speed, so that pitch falls elsewhere. Keys in noise are drawn from all that Q.24 wants
accepted: 40 to 100 ms, twist of -8 to 4 dB, frequencies within 1.5 %.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.accuracy.__main__ import progress_bars
from benchmarks.circumstances import circumstances
from benchmarks.results_file import write_result
from benchmarks.tones.corpus import CorpusError, recordings
from benchmarks.tones.measure import cost, keys_in_noise, latencies, talk_off
from benchmarks.tones.table import tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0; 2 after one sentence on stderr."""
    options = _parser().parse_args(arguments)
    try:
        result = measure(options)
    except CorpusError as error:
        print(f"benchmarks.tones: {error}", file=sys.stderr)
        return 2
    if options.json is not None:
        write_result(options.json, result)
    terminal = Console()
    console = Console(width=terminal.width if terminal.is_terminal else 140)
    for table in tables(result):
        console.print(table)
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The result, ready for JSON."""
    began = circumstances()
    found = recordings(options.data)
    speech = [recording for recording in found if recording.kind == "speech"]
    generator = np.random.default_rng(options.seed)
    with progress_bars() as progress:
        return {
            **began,
            "seed": options.seed,
            "talk_off": {f"{speed:g}": talk_off(found, speed, progress) for speed in options.speeds},
            "keys_in_noise": keys_in_noise(speech, options.presses, generator, progress),
            "latency_ms": latencies(generator),
            "cpu_ms_per_second": cost(speech),
        }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tones", description=__doc__)
    default = os.environ.get("TYMPAN_DATA")
    parser.add_argument("--data", type=Path, default=default, required=default is None, help="folder of recordings")
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--speeds", type=float, nargs="+", default=[1.0], help="of the recordings of talk-off")
    parser.add_argument("--presses", type=int, default=1000, help="keys for each noise")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
