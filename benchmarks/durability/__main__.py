"""Turns kept results into docs/durability.md and its plots.

    python -m benchmarks.durability --run [--only chaos]               # measure here, keep it, then write
    python -m benchmarks.durability --add OUT.json --name chaos        # keep one result, then write
    python -m benchmarks.durability                                    # write from what is kept

Kept results are the JSON of the other benchmarks, `benchmarks/durability/results/NAME.json`. The text between the two
marker lines of the document is replaced; everything else in it is written by hand.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.chaos.table import draw as draw_chaos
from benchmarks.durability.tables import KINDS
from benchmarks.page import ROOT, Page
from benchmarks.soak.table import draw as draw_soak

PAGE = Page(
    document=ROOT / "docs" / "durability.md",
    results=Path(__file__).parent / "results",
    kinds=KINDS,
    plots={"chaos": draw_chaos, "soak": draw_soak},
)
COMMANDS = {
    "chaos": ("benchmarks.chaos", "--minutes", "5", "--streams", "16"),
    "soak": ("benchmarks.soak", "--minutes", "30", "--streams", "6"),
    "cost": ("benchmarks.store_cost",),
}
BOUND_MISSED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures or keeps what is asked for, then writes the document and the plots."""
    options = PAGE.parser("python -m benchmarks.durability", "about 45 minutes", "chaos").parse_args(arguments)
    if options.add is not None:
        PAGE.keep(options.name, json.loads(options.add.read_text("utf-8")))
    if options.run:
        run(options.manifest, options.only)
    PAGE.write()
    return 0


def run(manifest: Path, only: Sequence[str]) -> None:
    """Measures one thing after the other; a bound that was missed is part of the result. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        for name, command in COMMANDS.items():
            if only and name not in only:
                continue
            out = Path(folder) / f"{name}.json"
            done = subprocess.run(
                [sys.executable, "-m", *command, "--manifest", str(manifest), "--json", str(out)], check=False
            )
            if done.returncode not in (0, BOUND_MISSED):
                done.check_returncode()
            PAGE.keep(name, json.loads(out.read_text("utf-8")))


if __name__ == "__main__":
    sys.exit(main())
