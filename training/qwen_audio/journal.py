"""What a run says about itself: a log of JSON lines, and its curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

LOG = "log.jsonl"
CURVES = "curves"
Entry = dict[str, Any]


class Journal:
    """The log of one run. An entry has `step`, and what was measured there."""

    def __init__(self, folder: Path, from_step: int = 0) -> None:
        """Goes on with the folder's log after `from_step`; later entries, of a run that was cut off, are dropped."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        kept = [entry for entry in read_log(folder) if entry["step"] <= from_step] if from_step else []
        self._file().write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")

    def add(self, entry: Entry) -> None:
        """Appends one entry."""
        with self._file().open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def draw(self) -> None:
        """Writes the curves beside the log, as SVG and PNG."""
        draw_curves({"": read_log(self._folder)}, self._folder / CURVES)

    def _file(self) -> Path:
        return self._folder / LOG


def read_log(folder: Path) -> list[Entry]:
    """The entries of a run's folder; none where there is no log."""
    file = folder / LOG
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.is_file() else []


def draw_curves(runs: dict[str, Sequence[Entry]], file: Path) -> None:
    """Loss on what is learnt and on the validation clips, one panel a group of tasks.

    Args:
        runs: entries by the run's name; several runs are drawn over one another.
        file: its path without suffix.
    """
    matplotlib.rcParams["svg.hashsalt"] = "tympan"  # the same log draws the same file
    groups = sorted({group for entries in runs.values() for entry in entries for group in entry.get("losses", {})})
    figure, panels = pyplot.subplots(1, max(1, len(groups)), figsize=(3.4 * max(1, len(groups)), 3.2), squeeze=False,
                                     layout="constrained")  # fmt: skip
    for axes, group in zip(panels[0], groups, strict=False):
        for number, (name, entries) in enumerate(runs.items()):
            color = f"C{number}"
            for key, style in (("losses", "-"), ("validation", "o")):
                points = [(entry["step"], entry[key][group]) for entry in entries if group in entry.get(key, {})]
                label = f"{name} {'training' if key == 'losses' else 'validation'}".strip()
                axes.plot(*zip(*points, strict=True) if points else ([], []), style, color=color, label=label,
                          linewidth=1, markersize=4)  # fmt: skip
        axes.set_title(group)
        axes.set_xlabel("step")
        axes.set_ylim(bottom=0)
    panels[0][0].set_ylabel("nats per token")
    panels[0][0].legend(frameon=False, fontsize="small")
    figure.savefig(file.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(file.with_suffix(".png"), dpi=120)
    pyplot.close(figure)
