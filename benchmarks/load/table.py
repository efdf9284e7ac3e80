"""Stages as a table for the terminal, and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.load.result import Budget

PERCENTILES = ("p50", "p95", "p99")


def table(result: dict[str, Any]) -> Table:
    """One row a stage."""
    settings = result["settings"]
    title = (
        f"{result['manifest']}, {settings['duty']:.0%} speech, {settings['seconds']:g} s a stream, "
        f"{result['machine']['processor']}, {result['machine']['cores']} cores"
    )
    drawn = Table(title=title)
    for heading in ("streams", "partial lag, ms", "TTFS, ms", "first interim, ms", "WER / alone", "other words"):
        drawn.add_column(heading, justify="right")
    for heading in ("errors", "refused", "gaps", "CPU share", "jobs a batch", "budget"):
        drawn.add_column(heading, justify="right")
    for stage in result["stages"]:
        drawn.add_row(*row(stage))
    return drawn


def row(stage: dict[str, Any]) -> list[str]:
    """The cells of one stage."""
    shares = " ".join(f"{role} {use['cpu_share']:.2f}" for role, use in stage["processes"].items())
    return [
        f"{stage['streams']}",
        *(_spread(stage[name]) for name in ("partial_lag_ms", "ttfs_ms", "first_interim_ms")),
        "-" if stage["wer"] is None else f"{stage['wer']:.2f} / {stage['wer_alone']:.2f}",
        f"{stage['streams_with_other_words']}",
        f"{stage['errors']}",
        f"{stage['refused']}",
        f"{stage['gaps']}",
        shares or "-",
        f"{stage['scheduler'].get('jobs_per_batch', 0):.1f}",
        "; ".join(stage["missed"]) or "kept",
    ]


def draw(result: dict[str, Any], budget: Budget, folder: Path, name: str = "load") -> list[Path]:
    """Latencies over streams, as SVG and PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "tympan"
    stages = sorted(result["stages"], key=lambda stage: int(stage["streams"]))
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    kinds = (("partial_lag_ms", "partial lag", budget.partial_lag_p95_ms), ("ttfs_ms", "TTFS", budget.ttfs_p95_ms))
    for place, (key, label, bound) in zip(axes, kinds, strict=True):
        known = [stage for stage in stages if stage[key]]
        for percentile in PERCENTILES:
            values = [stage[key][percentile] for stage in known]
            place.plot([stage["streams"] for stage in known], values, "o-", label=percentile)
        place.axhline(bound, color="#c53030", linestyle="dashed", label="bound of p95")
        place.set_xlabel("live streams")
        place.set_ylabel(f"{label}, ms")
        place.set_ylim(bottom=0)
        place.legend(frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.svg", folder / f"{name}.png"]
    figure.savefig(files[0], metadata={"Date": None})
    figure.savefig(files[1], dpi=120)
    pyplot.close(figure)
    return files


def _spread(percentiles: dict[str, float] | None) -> str:
    return "-" if percentiles is None else " / ".join(f"{percentiles[name]:.0f}" for name in PERCENTILES)


def best_stage(stages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The one with most streams inside the budget; where there is none, the one with fewest."""
    inside = [stage for stage in stages if not stage["missed"]]
    return max(inside, key=lambda stage: int(stage["streams"])) if inside else min(stages, key=lambda s: s["streams"])
