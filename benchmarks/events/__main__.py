"""`python -m benchmarks.events --data FOLDER [--json OUT] [--mixtures N] [--seed N]`: writes docs/events.md's tables.

Everything goes through whole sessions of a service in this process, as `tympan events` does. The recordings of the
mixtures taught the head that ships; figures of heads that never heard them come from its training.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from benchmarks.accuracy.__main__ import progress_bars
from benchmarks.circumstances import circumstances
from benchmarks.events.measure import Told, cpu_in_real_time, event_scores, hear_all
from benchmarks.events.mixtures import mixtures
from benchmarks.events.page import PAGE, RESULT, render
from benchmarks.results_file import write_result
from training.events.sources import CorpusError, Source, load, sources

LISTS: Final = ("english_prose.tsv", "english_telephone.tsv", "english_all.tsv")
COST_ROUNDS: Final = 3
COST_STREAMS: Final = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0; 2 after one sentence on stderr."""
    options = _parser().parse_args(arguments)
    if options.data is not None:
        try:
            write_result(options.json, measure(options))
        except CorpusError as error:
            print(f"benchmarks.events: {error}", file=sys.stderr)
            return 2
    PAGE.write_text(render(PAGE.read_text("utf-8"), json.loads(options.json.read_text("utf-8"))), "utf-8")
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The result, ready for JSON."""
    began = circumstances()
    every = sources(options.data)
    base = options.data / "data" if (options.data / "data").is_dir() else options.data
    with progress_bars() as progress:
        if options.only_cost:
            return {**json.loads(options.json.read_text("utf-8")), "cost": _cost(base / LISTS[0], base, progress)}
        return {
            **began,
            "seed": options.seed,
            "mixtures": _mixtures(every, options.mixtures, options.seed, progress),
            "invented": _invented(every, progress),
            "kept": {name: _kept(base / name, base, options.clips, progress) for name in LISTS},
            "cost": _cost(base / LISTS[0], base, progress),
        }


def _mixtures(every: list[Source], count: int, seed: int, progress: Progress) -> list[dict[str, Any]]:
    rows = []
    for line in (False, True):
        for snr_db in (20.0, 10.0, 0.0):
            made = mixtures(every, count, snr_db, line, seed)
            told, _ = hear_all("builtin", [each.pcm for each in made], progress, f"mixtures at {snr_db:g} dB")
            rows.append({"line": line, "snr_db": snr_db, "events": 3 * count, **event_scores(made, told)})
    return rows


def _invented(every: list[Source], progress: Progress) -> dict[str, Any]:
    """Words by the minute where nobody speaks, with and without the gate."""
    silent = [each for each in every if each.role != "speech" and each.exact]
    clips = [_as_int16(load(each.file) * 0.5) for each in silent]
    minutes = sum(map(len, clips)) / 16_000 / 60
    result: dict[str, Any] = {"minutes": round(minutes, 1)}
    for name in ("off", "builtin"):
        told, _ = hear_all(name, clips, progress, f"non-speech, tagger {name}")
        words = [word for each in told for word in each.words]
        result[name] = {"words": len(words), "per_minute": round(len(words) / minutes, 2)}
        result[name]["thanks_for_watching"] = sum("watching" in word.lower() for word in words)
        result[name]["by_role"] = _by_role(silent, clips, told)
    return result


def _by_role(silent: Sequence[Source], clips: Sequence[NDArray[np.int16]], told: Sequence[Told]) -> dict[str, float]:
    found: dict[str, float] = {}
    for role in sorted({each.role for each in silent}):
        mine = [index for index, each in enumerate(silent) if each.role == role]
        minutes = sum(len(clips[index]) for index in mine) / 16_000 / 60
        found[role] = round(sum(len(told[index].words) for index in mine) / minutes, 2)
    return found


def _kept(manifest: Path, base: Path, most: int, progress: Progress) -> dict[str, int]:
    """Words of speech with the gate and without, of every n-th clip of a list."""
    with manifest.open(encoding="utf-8") as lines:
        rows = [row for row in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if row and row[0] != "path"]
    chosen = rows[:: max(1, len(rows) // most)]
    clips = [_as_int16(load(base / row[0]) * 0.7) for row in chosen]
    counts = {"clips": len(clips)}
    silenced = 0
    without, _ = hear_all("off", clips, progress, f"{manifest.stem}, tagger off")
    with_gate, _ = hear_all("builtin", clips, progress, f"{manifest.stem}, tagger builtin")
    for one, other in zip(without, with_gate, strict=True):
        silenced += bool(one.words) and not other.words
    counts["words_without"] = sum(len(each.words) for each in without)
    counts["words_with"] = sum(len(each.words) for each in with_gate)
    counts["clips_silenced"] = silenced
    return counts


def _cost(manifest: Path, base: Path, progress: Progress) -> dict[str, Any]:
    """CPU time of captions with the tagger over captions alone, in turns; four streams of prose in real time."""
    with manifest.open(encoding="utf-8") as lines:
        rows = [row for row in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if row and row[0] != "path"]
    clips = [_as_int16(load(base / row[0]) * 0.7) for row in rows[::2]]
    streams = [np.concatenate(clips[index::COST_STREAMS]) for index in range(COST_STREAMS)]
    ratios = []
    for _ in range(COST_ROUNDS):
        alone = cpu_in_real_time("off", streams, progress, "captions alone")
        both = cpu_in_real_time("builtin", streams, progress, "with the tagger")
        ratios.append(round(both / alone, 3))
    audio_s = sum(map(len, streams)) / 16_000
    return {"ratios": ratios, "median": statistics.median(ratios), "audio_s": round(audio_s, 1)}


def _as_int16(samples: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.int16]:
    return (samples * 32767).astype(np.int16)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events", description=__doc__)
    default = os.environ.get("TYMPAN_DATA")
    parser.add_argument("--data", type=Path, default=default, help="folder of recordings; without: only the page")
    parser.add_argument("--json", type=Path, default=RESULT)
    parser.add_argument("--mixtures", type=int, default=20, help="of 30 s, for each condition")
    parser.add_argument("--clips", type=int, default=60, help="of each list of speech")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only-cost", action="store_true", help="anew, into the result that is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
