"""A run as a table for the terminal, and as a timeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.chaos.figures import BOUNDS
from benchmarks.cluster.options import bounds_table

COLOURS = ("#c53030", "#dd6b20", "#d69e2e", "#2b6cb0", "#63b3ed", "#553c9a", "#b83280", "#9f7aea", "#718096")
ROWS: tuple[tuple[str, str], ...] = (
    ("samples_unaccounted", "acknowledged samples unaccounted for"),
    ("finals_lost", "finals lost"),
    ("finals_duplicated", "finals given twice to the application"),
    ("finals_repeated_on_wire", "finals that came twice over the wire"),
    ("finals_contradicted_on_wire", "of these, with other words"),
    ("finals_torn", "finals whose words are not their text"),
    ("stable_changed", "interims that took a stable word back"),
    ("speech_amiss", "`speech` messages given twice, or not at all"),
    ("markers_amiss", "markers that did not come back once, in order, at their place"),
    ("transcripts_differ", "streams with other words than undisturbed"),
    ("wer_delta", "WER, beside undisturbed, points"),
    ("gaps", "gaps, all of them reported"),
    ("errors_raised", "errors raised to the application"),
    ("faults_not_settled", "faults after which a session did not go on in 30 s"),
    ("outages", "connections lost and resumed"),
)
TIMES: tuple[tuple[str, str], ...] = (
    ("resume_s", "from the fault's end to the first message, sessions that were hit, s (p50 / p95)"),
    ("resume_s_with_unnoticed", "the same, 0 for those that noticed nothing, s (p50 / p95)"),
    ("outage_s", "without a connection, s (p50 / p95)"),
)


def rows(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(figure, value, bound), in the order of the tables."""
    found = [("faults", str(result["fault_count"]), "")]
    found += [(f"of these: {kind}", str(count), "") for kind, count in sorted(result["faults"].items())]
    for name, text in ROWS:
        found.append((text, f"{result[name]}", f"{BOUNDS[name]:g}" if name in BOUNDS else ""))
    for name, text in TIMES:
        spread = result[name]
        found.append((text, "-" if spread is None else f"{spread['p50']:.2f} / {spread['p95']:.2f}", ""))
    return found


def table(result: dict[str, Any]) -> Table:
    machine = result["machine"]
    title = f"{result['streams']} streams, {result['minutes']:g} min, {machine['processor']}, {machine['cores']} cores"
    return bounds_table(title, rows(result))


def draw(result: dict[str, Any], folder: Path, name: str = "chaos") -> list[Path]:
    """Faults by kind over time, and below them each stream's outages, as SVG and PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "tympan"
    kinds = sorted(result["faults"])
    streams = result["outages_by_stream"]
    figure, (above, below) = pyplot.subplots(
        2, 1, figsize=(11, 5.6), sharex=True, layout="constrained", height_ratios=[len(kinds), max(4, len(streams))]
    )
    for fault in result["timeline"]:
        row, colour = kinds.index(fault["kind"]), COLOURS[kinds.index(fault["kind"]) % len(COLOURS)]
        lasts_s = max(fault["ended_s"] - fault["began_s"], 0.4)
        above.broken_barh([(fault["began_s"], lasts_s)], (row - 0.35, 0.7), color=colour)
        below.axvline(fault["began_s"], color=colour, linewidth=0.5, alpha=0.6)
    above.set_yticks(range(len(kinds)), kinds)
    above.invert_yaxis()
    above.set_title("faults, from when they began to when what they hit was back", fontsize="medium")
    for index, outages in enumerate(streams):
        below.broken_barh(
            [(lost, max(back - lost, 0.15)) for lost, back in outages], (index - 0.35, 0.7), color="#1a202c"
        )
    below.set_ylim(len(streams) - 0.4, -0.6)
    below.set_ylabel("stream")
    below.set_xlabel("seconds")
    below.set_title("sessions without a connection", fontsize="medium")
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.svg", folder / f"{name}.png"]
    figure.savefig(files[0], metadata={"Date": None})
    figure.savefig(files[1], dpi=120)
    pyplot.close(figure)
    return files
