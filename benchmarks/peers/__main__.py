"""`python -m benchmarks.peers --manifest FILE.tsv [--seconds 40]`: the same live streams against other servers.

One after another on this machine: this service; WhisperLive 0.10, plain and with its batch mode; moonshine-voice 0.1.0
with its own tiny model; faster-whisper called again and again. All but moonshine have the same tiny.en weights. The
number of streams is doubled until partial lag leaves the budget.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy.clips import ManifestError, load_clip, model_input, read_manifest
from benchmarks.accuracy.words import NO_ERRORS, normalise, word_errors
from benchmarks.circumstances import circumstances, load
from benchmarks.load.script import make_scripts, start_offsets
from benchmarks.peers import in_process, whisperlive
from benchmarks.peers.timeline import Timeline, stage_figures, within
from benchmarks.peers.venvs import PeerError, python_of
from benchmarks.results_file import write_result
from inference.whisper.weights import bundled_folder

PEERS = ("whisperlive", "whisperlive-batch", "moonshine", "faster-whisper")
RAMP_S = 5.0
PATIENCE_S = 60.0
"""Beyond a stage's audio: a peer that needs longer is far outside any budget."""
OURS = "tympan"


def main() -> int:
    options = _parser().parse_args()
    console = Console()
    began = circumstances()
    try:
        clips, references = _scripts(options)
        peers = {}
        for peer in options.peers:
            console.print(f"[bold]{peer}[/]")
            peers[peer] = _climb(_stage_of(peer, options), clips, references, options, console)
        ours = _ours(options, console)
    except (ManifestError, PeerError, subprocess.CalledProcessError) as error:
        print(f"benchmarks.peers: {error}", file=sys.stderr)
        return 2
    result = {
        "ours": ours,
        "peers": peers,
        "lag_budget_ms": options.lag_budget_ms,
        "seconds": options.seconds,
        "chunk_ms": options.chunk_ms,
        "manifest": options.manifest.name,
        **began,
        "machine": began["machine"] | {"load_1min": load()},
    }
    if options.json is not None:
        write_result(options.json, result)
    console.print(table(result))
    return 0


Stage = Callable[[Sequence[NDArray[np.int16]], Sequence[float]], list[Timeline]]


def _stage_of(peer: str, options: argparse.Namespace) -> Stage:
    """Raises PeerError where it cannot be installed."""
    folder, model = options.environments, bundled_folder()
    if peer.startswith("whisperlive"):
        python = python_of("whisperlive", folder)

        def served(clips: Sequence[NDArray[np.int16]], offsets_s: Sequence[float]) -> list[Timeline]:
            with whisperlive.running_server(python, model, len(clips) + 1, peer.endswith("batch")) as url:
                return asyncio.run(whisperlive.run_stage(url, clips, offsets_s, options.chunk_ms))

        return served
    name = peer.replace("-", "_")
    python = python_of(name, folder)
    arguments = [str(model)] if peer == "faster-whisper" else []

    def inside(clips: Sequence[NDArray[np.int16]], offsets_s: Sequence[float]) -> list[Timeline]:
        patience_s = options.seconds + RAMP_S + PATIENCE_S
        return in_process.run_stage(python, name, arguments, clips, offsets_s, options.chunk_ms, patience_s)

    return inside


def _climb(
    stage: Stage,
    scripts: Sequence[NDArray[np.int16]],
    references: Sequence[str],
    options: argparse.Namespace,
    console: Console,
) -> dict[str, Any]:
    """1, 2, 4 ... streams until the budget is left; `knee` is the most that were inside."""
    stages: list[dict[str, Any]] = []
    streams, knee = 1, 0
    while streams <= options.most:
        clips = [scripts[index % len(scripts)] for index in range(streams)]
        timelines = stage(clips, start_offsets(streams, RAMP_S if streams > 1 else 0.0, options.seed))
        figures = stage_figures(timelines)
        texts = [(references[index % len(references)], timeline.text) for index, timeline in enumerate(timelines)]
        errors = sum((word_errors(normalise(wanted), normalise(said)) for wanted, said in texts), start=NO_ERRORS)
        stages.append(figures | {"wer": errors.rate})
        console.print(
            f"  {streams} streams: partial lag {_spread(figures['partial_lag_ms'])} ms, WER {errors.rate:.1f} %"
        )
        if not within(figures, options.lag_budget_ms):
            break
        knee, streams = streams, streams * 2
    return {"knee": knee, "stages": stages}


def _ours(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """The same through `benchmarks.load`, which searches the knee more finely."""
    console.print(f"[bold]{OURS}[/]")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "load.json"
        command = [
            *(sys.executable, "-m", "benchmarks.load", "--manifest", str(options.manifest)),
            *("--seconds", str(options.seconds), "--streams", "4", "--find-knee", "--ramp", str(RAMP_S)),
            *("--lag-budget-ms", str(options.lag_budget_ms), "--chunk-ms", str(options.chunk_ms)),
            *("--seed", str(options.seed), "--json", str(out), "--serve-args", options.serve_args),
        ]
        if options.limit:
            command += ["--limit", str(options.limit)]
        subprocess.run(command, check=True)
        found: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return {"knee": found["knee"], "stages": found["stages"]}


def table(result: dict[str, Any]) -> Table:
    """One row for each server and number of streams; ratios of knees last."""
    machine = result["machine"]
    where = f"{machine['processor']}, {machine['cores']} cores"
    drawn = Table(title=f"partial lag by live streams, {result['manifest']}, {where}")
    for heading in ("server", "streams", "partial lag, ms (p50 / p95 / p99)", "WER, %", "knee", "ours / its"):
        drawn.add_column(heading, justify="right" if heading != "server" else "left")
    ours = result["ours"]["knee"]
    for name, found in [(OURS, result["ours"]), *result["peers"].items()]:
        ratio = "" if name == OURS else f"{ours / found['knee']:.0f}" if found["knee"] else f"> {ours}"
        for stage in sorted(found["stages"], key=lambda stage: int(stage["streams"])):
            wer = "-" if stage["wer"] is None else f"{stage['wer']:.1f}"
            drawn.add_row(name, str(stage["streams"]), _spread(stage["partial_lag_ms"]), wer, "", "")
        drawn.add_row(name, "", "", "", str(found["knee"]), ratio, end_section=True)
    return drawn


def _scripts(options: argparse.Namespace) -> tuple[list[NDArray[np.int16]], list[str]]:
    """The scripts that `benchmarks.load` would have its clients say."""
    rows = read_manifest(options.manifest, options.limit)
    made = make_scripts([load_clip(row) for row in rows], min(8, options.most), options.seconds, 1.0, options.seed)
    spoken = [np.clip(np.rint(model_input(clip) * 32768.0), -32768, 32767).astype(np.int16) for clip in made]
    return spoken, [clip.row.transcript for clip in made]


def _spread(percentiles: dict[str, float] | None) -> str:
    if percentiles is None:
        return "-"
    return " / ".join(f"{percentiles[name]:.0f}" for name in ("p50", "p95", "p99"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="TSV with the columns path and transcript")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--seconds", type=float, default=40, help="audio of each stream")
    parser.add_argument("--most", type=int, default=64, help="streams at which a peer's climb ends")
    parser.add_argument("--lag-budget-ms", type=float, default=1500, help="bound of partial lag, p95")
    parser.add_argument("--chunk-ms", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, help="only so many clips, spread evenly over the manifest")
    parser.add_argument("--serve-args", default="", help="more arguments for tympan serve, in one string")
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "tympan" / "peers")
    parser.add_argument("--json", type=Path, metavar="OUT")
    return parser


if __name__ == "__main__":
    sys.exit(main())
