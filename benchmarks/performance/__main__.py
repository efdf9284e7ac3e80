"""Turns kept results into docs/performance.md and its plots.

    python -m benchmarks.performance --run [--manifest FILE.tsv]       # measure all of it here, keep it, then write
    python -m benchmarks.performance --add OUT.json --name load        # keep one result, then write
    python -m benchmarks.performance                                   # write from what is kept

Kept results are the JSON of the other benchmarks, `benchmarks/performance/results/NAME.json`. The text between the two
marker lines of the document is replaced; everything else in it is written by hand.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.load.result import Budget
from benchmarks.load.table import draw
from benchmarks.performance.tables import KINDS
from benchmarks.report import replace_between
from benchmarks.results_file import write_result

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
DOCUMENT = ROOT / "docs" / "performance.md"
IMAGES = ROOT / "docs" / "images"
LOADS = ("load", "load-call", "load-overload")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures or keeps what is asked for, then writes the document and the plots."""
    options = _parser().parse_args(arguments)
    if options.add is not None:
        keep(options.name, json.loads(options.add.read_text("utf-8")))
    if options.run:
        run(options.manifest, options.only)
    results = read_results()
    DOCUMENT.write_text(replace_between(DOCUMENT.read_text("utf-8"), markdown(results)), encoding="utf-8")
    for name in LOADS:
        if name in results:
            bounds = results[name]["budget"]
            draw(results[name], Budget(bounds["partial_lag_p95_ms"], bounds["ttfs_p95_ms"]), IMAGES, name)
    return 0


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
            keep(name, json.loads(out.read_text("utf-8")))
        if not only or "load-overload" in only:
            knee = max(1, read_results()["load"]["knee"])
            out = Path(folder) / "overload.json"
            command = ["benchmarks.load", *corpus, "--seconds", "40", "--streams", str(2 * knee), "4"]
            subprocess.run([sys.executable, "-m", *command, "--json", str(out)], check=True)
            keep("load-overload", json.loads(out.read_text("utf-8")))


def keep(name: str, result: dict[str, Any]) -> None:
    """Replaces the result of that name. Raises ValueError for a name that has no table."""
    if name not in KINDS:
        raise ValueError(f"a result is called one of {', '.join(KINDS)}, not {name!r}")
    write_result(RESULTS / f"{name}.json", result)


def read_results() -> dict[str, dict[str, Any]]:
    """Kept results by name, in the order of the document."""
    found = {name: RESULTS / f"{name}.json" for name in KINDS}
    return {name: json.loads(file.read_text("utf-8")) for name, file in found.items() if file.is_file()}


def markdown(results: dict[str, dict[str, Any]]) -> str:
    """All tables, ready to stand between the markers."""
    if not results:
        return "No results are kept."
    parts = []
    for name, result in results.items():
        heading, table = KINDS[name]
        plot = f"\n\n![{heading}](images/{name}.svg)" if name in LOADS else ""
        parts.append(f"### {heading}\n\n{table(result)}{plot}")
    return "\n\n".join(parts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.performance", description="Writes docs/performance.md.")
    parser.add_argument("--run", action="store_true", help="measure here: about half an hour, on an idle machine")
    parser.add_argument("--only", nargs="+", choices=tuple(KINDS), default=(), help="of what --run measures")
    parser.add_argument("--manifest", type=Path, default=ROOT / "tests" / "data" / "manifest.tsv")
    parser.add_argument("--add", type=Path, metavar="OUT.json", help="keep this result")
    parser.add_argument("--name", choices=tuple(KINDS), default="load", help="what to call it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
