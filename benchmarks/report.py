"""Turns kept results into docs/accuracy.md and its plots.

    python -m benchmarks.report --add OUT.json --group lists --label english_prose   # keep a result, then write
    python -m benchmarks.report                                                      # write from what is kept

Kept results are the JSON of `benchmarks.accuracy` without its rows (the corpora's texts stay with the corpora), as
`benchmarks/results/GROUP/LABEL.json`. The group `lists` holds one result per corpus with the default settings; every
other group is a trade-off: the same corpus under different settings. The text between two marker lines of the document
is replaced; everything else in it is written by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy.table import lines
from benchmarks.results_file import write_result

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENT = ROOT / "docs" / "accuracy.md"
IMAGES = ROOT / "docs" / "images"
LISTS = "lists"
BEGIN = "<!-- begin: written by benchmarks -->"
END = "<!-- end -->"

Results = dict[str, dict[str, dict[str, Any]]]
"""Group → label → result."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Keeps what `--add` names, then writes the document and the plots."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description="Writes docs/accuracy.md.")
    parser.add_argument("--add", type=Path, metavar="OUT.json", help="keep this result of benchmarks.accuracy")
    parser.add_argument("--group", default=LISTS, help="'lists', or the name of a trade-off")
    parser.add_argument("--label", help="names the result in its group (default: the manifest's name)")
    options = parser.parse_args(arguments)
    if options.add is not None:
        result = json.loads(options.add.read_text(encoding="utf-8"))
        keep(RESULTS, options.group, options.label or Path(result["manifest"]).stem, result)
    results = read_results(RESULTS)
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(replace_between(text, markdown(results)), encoding="utf-8")
    if results:
        from benchmarks.plots import draw  # matplotlib takes its time

        draw(results, IMAGES)
    return 0


def keep(folder: Path, group: str, label: str, result: dict[str, Any]) -> None:
    """Writes one result without its rows; an older one of the same group and label is replaced."""
    slim = {key: value for key, value in result.items() if key != "rows"}
    slim["label"] = label
    write_result(folder / group / f"{file_name(label)}.json", slim)


def read_results(folder: Path) -> Results:
    """Every kept result: `lists` first, the shortest list first in it; all else in the order of the names."""
    results: Results = {}
    groups = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: (path.name != LISTS, path))
    for group in groups:
        kept = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(group.glob("*.json"), key=_natural)]
        if group.name == LISTS:
            kept.sort(key=lambda result: float(result["audio_s"]))
        if kept:
            results[group.name] = {result["label"]: result for result in kept}
    return results


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sorts numbers in names by their size: "260 ms" before "1000 ms"."""
    parts = re.findall(r"\d+|\D+", file.stem)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def file_name(label: str) -> str:
    """A label as part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", label).strip("-").lower()


def replace_between(text: str, body: str) -> str:
    """Puts the body between the two marker lines. Raises ValueError where they do not stand there once, in order."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after:
        raise ValueError(f"the document must hold {BEGIN!r} and then {END!r}, once")
    return f"{before}{BEGIN}\n{body}\n{END}{after}"


def markdown(results: Results) -> str:
    """All tables, ready to stand between the markers."""
    if not results:
        return "No results are kept."
    parts = [_lists(results[LISTS])] if LISTS in results else []
    parts += [_trade_off(group, kept) for group, kept in results.items() if group != LISTS]
    return "\n\n".join(parts)


def _lists(kept: dict[str, dict[str, Any]]) -> str:
    pieces = ["![Word error rates and latencies](images/accuracy.svg)"]
    for label, result in kept.items():
        pieces.append(f"### {label}\n\n{_measured_on(result)}")
        rows = ["| figure | value | bound | |", "|---|---|---|---|"]
        for line in lines(result):
            mark = {None: "", True: "met", False: "**missed**"}[line.met]
            rows.append(f"| {line.name} | {line.value} | {line.bound} | {mark} |")
        pieces.append("\n".join(rows))
    return "\n\n".join(pieces)


def _trade_off(group: str, kept: dict[str, dict[str, Any]]) -> str:
    first = next(iter(kept.values()))
    rows = [
        "| | WER, % | offline, % | UPWR | stable words | corrected | frames per frame | decoder calls per s "
        "| first interim p50, ms | partial lag p95, ms | TTFS p95, ms |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for label, result in kept.items():
        offline = result["wer_offline"]
        cells = [
            label,
            f"{result['wer_streaming']:.2f}",
            "" if offline is None else f"{offline:.2f}",
            f"{result['upwr']:.3f}",
            f"{result['stable_words']}",
            f"{result['final_corrections']:.2%}",
            f"{result['frames_per_frame']:.2f}",
            f"{result['decoder_calls_per_s']}",
            *(_one(result[name], key) for name, key in TRADE_OFF_LATENCIES),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    head = f"### Trade-off: {group}\n\n{_measured_on(first)}\n\n![{group}](images/{file_name(group)}.svg)"
    return head + "\n\n" + "\n".join(rows)


TRADE_OFF_LATENCIES = (("first_interim_ms", "p50"), ("partial_lag_ms", "p95"), ("ttfs_ms", "p95"))


def _one(percentiles: dict[str, float] | None, key: str) -> str:
    return "" if percentiles is None else f"{percentiles[key]:.0f}"


def _measured_on(result: dict[str, Any]) -> str:
    machine, versions, settings = result["machine"], result["versions"], result["settings"]
    return (
        f"`{result['manifest']}`, {result['clips']} clips, {result['audio_s'] / 60:.1f} min. "
        f"{result['date'][:10]}, commit {result['commit']}; {machine['processor']}, {machine['cores']} cores "
        f"({', '.join(machine['features']) or 'no vector features noted'}), load {machine['load_1min']} at the end; "
        f"Python {versions['python']}, torch {versions['torch']}; model {settings['model']}, interim policy "
        f"{settings['interim']}, {settings['chunk_ms']} ms chunks, endpoint after "
        f"{result['endpoint_silence_ms']} ms of silence."
    )


if __name__ == "__main__":
    sys.exit(main())
