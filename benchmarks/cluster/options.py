"""What the benchmarks of a small deployment have in common: their options, and their table of figures and bounds."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from rich.table import Table

MANIFEST = Path(__file__).parents[2] / "tests" / "data" / "manifest.tsv"


def add_options(parser: argparse.ArgumentParser, *, minutes: float, streams: int, duty: float) -> None:
    """The options of a run with live streams, with these defaults."""
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--streams", type=int, default=streams, help="sessions at once")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="TSV with the columns path and transcript")
    parser.add_argument("--limit", type=int, help="only so many clips, spread evenly over the manifest")
    parser.add_argument("--duty", type=float, default=duty, help=f"share of the audio that is speech (default {duty})")
    parser.add_argument("--scripts", type=int, default=8, help="streams with audio of their own; more share it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-model", action="store_true", help="checksums in place of words; needs no fast machine")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="the plot, SVG and PNG")


def bounds_table(title: str, rows: Iterable[tuple[str, str, str]]) -> Table:
    """(figure, value, bound), a line each."""
    drawn = Table(title=title)
    drawn.add_column("figure")
    for heading in ("value", "bound"):
        drawn.add_column(heading, justify="right")
    for line in rows:
        drawn.add_row(*line)
    return drawn
