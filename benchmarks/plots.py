"""The plots of docs/accuracy.md, as SVG and PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

from benchmarks.accuracy.table import FRAMES_PER_FRAME, LAG_P95_MS, TTFS_P95_MS, WER_SLACK
from benchmarks.report import LISTS, Results, file_name

matplotlib.use("Agg")

from matplotlib import pyplot

BLUE, GREY, RED = "#2b6cb0", "#a0aec0", "#c53030"
LATENCIES = (
    ("first_interim_ms", "first interim", None),
    ("partial_lag_ms", "partial lag", LAG_P95_MS),
    ("ttfs_ms", "TTFS", TTFS_P95_MS),
)


def draw(results: Results, folder: Path) -> None:
    """Writes `accuracy` for the lists and one plot per trade-off."""
    folder.mkdir(parents=True, exist_ok=True)
    matplotlib.rcParams["svg.hashsalt"] = "tympan"  # the same results draw the same file
    for group, kept in results.items():
        figure = _lists(kept) if group == LISTS else _trade_off(group, kept)
        name = "accuracy" if group == LISTS else file_name(group)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.png", dpi=120)
        pyplot.close(figure)


def _lists(kept: dict[str, dict[str, Any]]) -> Any:
    figure, (errors, latencies) = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    places = range(len(kept))
    offline = [result["wer_offline"] or 0.0 for result in kept.values()]
    errors.bar([at - 0.2 for at in places], offline, 0.38, color=GREY, label="offline, full windows")
    streaming = [result["wer_streaming"] for result in kept.values()]
    errors.bar([at + 0.2 for at in places], streaming, 0.38, color=BLUE, label="streaming, finals")
    for at, reference in enumerate(offline):
        errors.hlines(reference + WER_SLACK, at, at + 0.4, colors=RED, label="bound" if at == 0 else None)
    errors.set_xticks(list(places), list(kept))
    errors.set_ylabel("word error rate, %")
    errors.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    for at, (key, _, bound) in enumerate(LATENCIES):
        for index, result in enumerate(kept.values()):
            if (found := result[key]) is not None:
                place = at + (index - (len(kept) - 1) / 2) * 0.22
                latencies.vlines(place, found["p50"], found["p99"], colors=BLUE, linewidth=1)
                latencies.plot([place] * 3, [found[p] for p in ("p50", "p95", "p99")], "_", color=BLUE, markersize=12)
        if bound is not None:
            latencies.hlines(bound, at - 0.4, at + 0.4, colors=RED, linestyles="dashed")
    latencies.set_xticks(range(len(LATENCIES)), [name for _, name, _ in LATENCIES])
    latencies.set_ylabel("ms")
    latencies.set_title("p50, p95, p99 of each list; dashed: bound of p95", fontsize="medium")
    latencies.set_ylim(bottom=0)
    return figure


def _trade_off(group: str, kept: dict[str, dict[str, Any]]) -> Any:
    figure, (accuracy, steadiness) = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for label, result in kept.items():
        cost = result["frames_per_frame"]
        for axes, value in ((accuracy, result["wer_streaming"]), (steadiness, result["upwr"])):
            axes.plot(cost, value, "o", color=BLUE)
            axes.annotate(label, (cost, value), textcoords="offset points", xytext=(5, 5), fontsize=8)
    for axes, name in ((accuracy, "word error rate of the finals, %"), (steadiness, "UPWR")):
        axes.axvline(FRAMES_PER_FRAME, color=RED, linestyle="dashed", linewidth=1)
        axes.set_xlabel("encoder frames computed per frame of audio (dashed: bound)")
        axes.set_ylabel(name)
        axes.margins(0.2)
    figure.suptitle(group)
    return figure
