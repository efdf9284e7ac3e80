"""`python -m benchmarks.gateway [--sessions 500] [--seconds 15]`: what a session costs in the gateway.

Sessions that send 100 ms of audio per message in real time, to the service with a scripted engine. Measured from the
process' own CPU time: sessions that send silence and ones that speak, each without and with voice activity detection;
and the memory that a connected session takes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.accuracy.clips import load_clip, model_input, read_manifest
from benchmarks.accuracy.service import RunningService, running_service
from benchmarks.circumstances import circumstances, load
from benchmarks.gateway.clients import RATE, connect_all, leave, talk
from benchmarks.load.resources import usage
from benchmarks.results_file import write_result

SERVICE = ("benchmarks.gateway.service", "--detector")
SETTLE_S = 3.0
CASES = (("none", "silence"), ("cascade", "silence"), ("none", "speech"), ("cascade", "speech"))


def main() -> int:
    options = _parser().parse_args()
    began = circumstances()
    spoken = _speech(options.manifest)
    rows = []
    for detector, what in track(CASES, description="cases", transient=True):
        samples = spoken if what == "speech" else np.zeros(RATE, np.int16)
        with running_service([*SERVICE, detector]) as service:
            row = asyncio.run(_measure(service, samples, options))
        rows.append({"detector": detector, "audio": what, **row})
    result = {
        "sessions": options.sessions,
        "chunk_ms": options.chunk_ms,
        "seconds": options.seconds,
        "cases": rows,
        **began,
        "machine": began["machine"] | {"load_1min": load()},
    }
    if options.json is not None:
        write_result(options.json, result)
    Console().print(_table(result))
    return 0


async def _measure(service: RunningService, samples: NDArray[np.int16], options: argparse.Namespace) -> dict[str, Any]:
    assert service.pid is not None
    sockets = await connect_all(service.stream_url, 1)  # what is loaded once is not a session's
    await talk(sockets, samples, 0, 1.0, options.chunk_ms)
    await leave(sockets)
    before = usage(service.pid)
    sockets = await connect_all(service.stream_url, options.sessions)
    await talk(sockets, samples, 0, SETTLE_S, options.chunk_ms)
    first, began = usage(service.pid), time.perf_counter()
    at = round(SETTLE_S * 1000 / options.chunk_ms) * RATE * options.chunk_ms // 1000
    crowd = await talk(sockets, samples, at, options.seconds, options.chunk_ms)
    wall_s, last = time.perf_counter() - began, usage(service.pid)
    assert before is not None
    assert first is not None
    assert last is not None
    await leave(sockets)
    cpu_s = last.cpu_s - first.cpu_s
    return {
        "messages": crowd.messages,
        "broken": crowd.broken,
        "us_per_message": round(1e6 * cpu_s / max(1, crowd.messages), 1),
        "cpu_share": round(cpu_s / wall_s, 3),
        "kb_per_session": round((last.memory_bytes - before.memory_bytes) / 1000 / options.sessions, 1),
        "latest_send_ms": round(1000 * crowd.latest_s),
    }


def _speech(manifest: Path) -> NDArray[np.int16]:
    clips = [model_input(load_clip(row)) for row in read_manifest(manifest)]
    spoken: NDArray[np.int16] = np.clip(np.rint(np.concatenate(clips) * 32768.0), -32768, 32767).astype(np.int16)
    return spoken


def _table(result: dict[str, Any]) -> Table:
    machine = result["machine"]
    title = f"{result['sessions']} sessions, {result['chunk_ms']} ms a message, {machine['processor']}"
    drawn = Table(title=title)
    for heading in ("detector", "audio"):
        drawn.add_column(heading)
    for heading in ("µs of CPU a message", "share of a core", "KB a session", "latest send, ms", "broken"):
        drawn.add_column(heading, justify="right")
    for row in result["cases"]:
        figures = ("us_per_message", "cpu_share", "kb_per_session", "latest_send_ms", "broken")
        drawn.add_row(row["detector"], row["audio"], *(str(row[name]) for name in figures))
    return drawn


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--chunk-ms", type=int, default=100)
    parser.add_argument("--manifest", type=Path, default=Path("tests/data/manifest.tsv"), help="what is said")
    parser.add_argument("--json", type=Path, metavar="OUT")
    return parser


if __name__ == "__main__":
    sys.exit(main())
