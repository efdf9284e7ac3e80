"""A document whose tables and plots are written from kept results: JSON of benchmarks, one file a name.

The text between the two marker lines of the document is replaced; everything else in it is written by hand.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import replace_between
from benchmarks.results_file import write_result

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"

Result = dict[str, Any]


@dataclass(frozen=True)
class Page:
    document: Path
    results: Path
    """The folder of the kept results."""
    kinds: Mapping[str, tuple[str, Callable[[Result], str]]]
    """For each name its heading and what makes its table, in the order of the document."""
    plots: Mapping[str, Callable[[Result, Path, str], object]]
    """For some names what draws them: (result, folder, name)."""

    def keep(self, name: str, result: Result) -> None:
        """Replaces the result of that name. Raises ValueError for a name that has no table."""
        if name not in self.kinds:
            raise ValueError(f"a result is called one of {', '.join(self.kinds)}, not {name!r}")
        write_result(self.results / f"{name}.json", result)

    def read(self) -> dict[str, Result]:
        """Kept results by name, in the order of the document."""
        found = {name: self.results / f"{name}.json" for name in self.kinds}
        return {name: json.loads(file.read_text("utf-8")) for name, file in found.items() if file.is_file()}

    def markdown(self) -> str:
        """All tables, ready to stand between the markers."""
        parts = []
        for name, result in self.read().items():
            heading, table = self.kinds[name]
            plot = f"\n\n![{heading}](images/{name}.svg)" if name in self.plots else ""
            parts.append(f"### {heading}\n\n{table(result)}{plot}")
        return "\n\n".join(parts) or "No results are kept."

    def write(self) -> None:
        """Writes the document and the plots."""
        text = self.document.read_text("utf-8")
        self.document.write_text(replace_between(text, self.markdown()), encoding="utf-8")
        for name, result in self.read().items():
            if name in self.plots:
                self.plots[name](result, IMAGES, name)

    def parser(self, prog: str, takes: str, usual: str) -> argparse.ArgumentParser:
        """The options that every page has.

        Args:
            takes: how long `--run` takes.
            usual: the name that `--add` keeps a result under by default.
        """
        names = tuple(self.kinds)
        parser = argparse.ArgumentParser(prog=prog, description=f"Writes docs/{self.document.name}.")
        parser.add_argument("--run", action="store_true", help=f"measure here: {takes}, on an idle machine")
        parser.add_argument("--only", nargs="+", choices=names, default=(), help="of what --run measures")
        parser.add_argument("--manifest", type=Path, default=ROOT / "tests" / "data" / "manifest.tsv")
        parser.add_argument("--add", type=Path, metavar="OUT.json", help="keep this result")
        parser.add_argument("--name", choices=names, default=usual, help="what to call it")
        return parser
