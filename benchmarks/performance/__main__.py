"""Turns kept results into docs/performance.md and its plots.

    python -m benchmarks.performance --run [--manifest FILE.tsv]       # measure all of it here, keep it, then write
    python -m benchmarks.performance --add OUT.json --name load        # keep one result, then write
    python -m benchmarks.performance                                   # write from what is kept

Kept results are the JSON of the other benchmarks, `benchmarks/performance/results/NAME.json`. The text between the two
marker lines of the document is replaced; everything else in it is written by hand.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.load.result import Budget
from benchmarks.load.table import draw
from benchmarks.page import ROOT, Page
from benchmarks.performance.tables import KINDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures or keeps what is asked for, then writes the document and the plots."""
    options = PAGE.parser("python -m benchmarks.performance", "about half an hour", "load").parse_args(arguments)
    if options.add is not None:
        PAGE.keep(options.name, json.loads(options.add.read_text("utf-8")))
    if options.run:
        run(options.manifest, options.only)
    PAGE.write()
    return 0


def draw_load(result: dict[str, Any], folder: Path, name: str) -> None:
    bounds = result["budget"]
    draw(result, Budget(bounds["partial_lag_p95_ms"], bounds["ttfs_p95_ms"]), folder, name)


PAGE = Page(
    document=ROOT / "docs" / "performance.md",
    results=Path(__file__).parent / "results",
    kinds=KINDS,
    plots={"load": draw_load, "load-call": draw_load, "load-overload": draw_load},
)


def run(manifest: Path, only: Sequence[str]) -> None:
    """Measures one thing after the other. Raises CalledProcessError where one fails."""
    corpus = ["--manifest", str(manifest)]
    load = ["benchmarks.load", *corpus, "--find-knee", "--seconds", "40", "--streams"]
    commands = {
        "engine": ["benchmarks.engine", *corpus, "--streams", "1", "4", "16"],
        "gateway": ["benchmarks.gateway", "--sessions", "500"],
        "gpu": ["benchmarks.gpu", "--geometry", "tiny", "--streams", "1", "4", "8", "16", "--steps", "4"],
        "load": [*load, "4"],
        "load-call": [*load, "8", "--duty", "0.4"],
        "peers": ["benchmarks.peers", *corpus],
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, command in commands.items():
            if only and name not in only:
                continue
            out = Path(folder) / f"{name}.json"
            subprocess.run([sys.executable, "-m", *command, "--json", str(out)], check=True)
            PAGE.keep(name, json.loads(out.read_text("utf-8")))
        if not only or "load-overload" in only:
            knee = max(1, PAGE.read()["load"]["knee"])
            out = Path(folder) / "overload.json"
            command = ["benchmarks.load", *corpus, "--seconds", "40", "--streams", str(2 * knee), "4"]
            subprocess.run([sys.executable, "-m", *command, "--json", str(out)], check=True)
            PAGE.keep("load-overload", json.loads(out.read_text("utf-8")))


if __name__ == "__main__":
    sys.exit(main())
