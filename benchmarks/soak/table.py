"""A soak as a table for the terminal, and as a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.cluster.options import bounds_table
from benchmarks.soak.figures import DESCRIPTORS, GROWTH, LEASE_S

ROWS: tuple[tuple[str, str, str], ...] = (
    ("sessions", "sessions", ""),
    ("errors_raised", "errors raised to the application", "0"),
    ("sessions_without_summary", "sessions that did not come to their end", "0"),
    ("samples_unaccounted", "samples unaccounted for", "0"),
    ("gaps", "gaps", ""),
    ("keys_most", "keys in Redis, at most", ""),
    ("keys_without_expiry", "keys without an expiry", "0"),
    ("longest_expiry_s", "furthest expiry, s: the time to live, or a live session's lease", f"{LEASE_S:g}"),
    ("keys_left", "keys left after the last session's time to live", "0"),
)


def rows(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(figure, value, bound), in the order of the tables."""
    found = [(text, f"{result[name]}", bound) for name, text, bound in ROWS]
    for name, grew in result["growth"].items():
        value = "-" if grew is None else f"{grew['memory_mb']:.1f} / {grew['memory']:+.1%} / {grew['descriptors']:+g}"
        bound = f"{GROWTH:+.0%} / {DESCRIPTORS:+g}"
        found.append((f"{name}: MB at the end / growth after minute 5 / of descriptors", value, bound))
    return found


def table(result: dict[str, Any]) -> Table:
    return bounds_table(
        f"{result['streams']} at once, {result['minutes']:g} min, {result['machine']['processor']}", rows(result)
    )


def draw(result: dict[str, Any], folder: Path, name: str = "soak") -> list[Path]:
    """Memory of each process, and keys and descriptors, over time, as SVG and PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "tympan"
    minutes = [at_s / 60 for at_s in result["at_s"]]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    for process, held in result["processes"].items():
        left.plot(minutes, held["memory_mb"], label=process)
        right.plot(minutes, held["descriptors"], label=process)
    right.plot(minutes, result["keys"], color="#1a202c", label="keys in Redis")
    left.set_ylabel("resident memory, MB")
    right.set_ylabel("descriptors; keys in Redis")
    for axes in (left, right):
        axes.set_xlabel("minutes")
        axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
        axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper center")
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.svg", folder / f"{name}.png"]
    figure.savefig(files[0], metadata={"Date": None})
    figure.savefig(files[1], dpi=120)
    pyplot.close(figure)
    return files
