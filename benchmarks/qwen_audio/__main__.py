"""`python -m benchmarks.qwen_audio [--device cuda] [--json OUT] [--keep NAME]`: what sharing and increments save.

- tasks: N tasks on one clip as separate requests, in a batch, and forked from one audio prefix;
- encoding: encoder work per second of audio while a clip is spoken, by policy;
- capacity: tokens a second by batch and as shares of the device's measured ceilings, memory per second of audio, and
  how many live sessions get an answer within a second. By default on a GPU only, in the 7 B geometry.

`--keep` puts the result into docs/qwen-audio.md. The weights are random: speed does not depend on them. Seconds are
medians of repeats on a warm process.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.circumstances import circumstances, load
from benchmarks.qwen_audio.capacity import (
    ceilings,
    longest_rounds,
    measure_decoding,
    measure_memory,
    measure_sessions,
)
from benchmarks.qwen_audio.encoding import measure_encoding
from benchmarks.qwen_audio.geometry import GEOMETRIES, parameters, random_model
from benchmarks.qwen_audio.page import PAGE
from benchmarks.qwen_audio.tasks import measure_tasks
from benchmarks.results_file import write_result
from inference.engine.device import DeviceError, choose_device

PARTS = ("tasks", "encoding", "capacity")


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        device = choose_device(options.device)
    except DeviceError as error:
        print(f"benchmarks.qwen_audio: {error}", file=sys.stderr)
        return 2
    on_cpu = device.type == "cpu"
    if on_cpu:
        torch.set_num_threads(options.threads)
    geometry = options.geometry or ("mid" if on_cpu else "7b")
    parts = options.parts or (PARTS[:2] if on_cpu else PARTS)
    dtype = torch.float32 if on_cpu else torch.bfloat16
    began = circumstances()
    model = random_model(GEOMETRIES[geometry], device, dtype)
    result: dict[str, Any] = {
        **began,
        "device": began["machine"]["processor"] if on_cpu else torch.cuda.get_device_name(device),
        "dtype": str(dtype).removeprefix("torch."),
        "threads": options.threads if on_cpu else None,
        "geometry": geometry,
        "parameters": {"all": parameters(model), "audio": parameters(model.audio)},
        "clip_s": options.clip_s,
        "repeats": options.repeats,
    }
    if "tasks" in parts:
        result["tasks"] = measure_tasks(model, options.clip_s, options.tasks, options.answers, options.repeats)
    if "encoding" in parts:
        result["every_s"] = options.every_s
        result["encoding"] = measure_encoding(model, options.clip_s, options.every_s, options.repeats)
    if "capacity" in parts:
        limits = ceilings(device, dtype)
        rounds = min(options.rounds, longest_rounds())
        result["ceilings"] = limits
        result["memory"] = measure_memory(model)
        result["decoding"] = measure_decoding(model, options.batches, options.clip_s, options.steps, limits)
        result["sessions"] = measure_sessions(model, options.sessions, max(options.answers), rounds)
    result["machine"] = began["machine"] | {"load_1min_after": load()}
    if options.json is not None:
        write_result(options.json, result)
    if options.keep is not None:
        PAGE.keep(options.keep, result)
        PAGE.write()
    show(result, Console())
    return 0


def show(result: dict[str, Any], console: Console) -> None:
    """One table for each part that was measured."""
    for part in (*PARTS[:2], "decoding", "sessions"):
        rows = result.get(part)
        if not rows:
            continue
        table = Table(title=f"{part}: {result['geometry']}, {result['dtype']}, {result['device']}")
        shown = [key for key in rows[0] if not key.endswith("_range")]
        for key in shown:
            table.add_column(key.replace("_", " "), justify="right")
        for row in rows:
            table.add_row(*(_cell(row[key]) for key in shown))
        console.print(table)
    if "memory" in result:
        console.print(result["memory"])


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name} {each}" for name, each in value.items())
    return str(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.qwen_audio", description=__doc__.split("\n\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--geometry", choices=sorted(GEOMETRIES), help="mid on a CPU, 7b on a GPU")
    parser.add_argument("--parts", nargs="+", choices=PARTS)
    parser.add_argument("--clip-s", type=float, default=10.0, help="of the clip, at most 30")
    parser.add_argument("--tasks", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--answers", type=int, nargs="+", default=[1, 8], help="tokens of an answer")
    parser.add_argument("--every-s", type=float, default=1.0, help="seconds between encodings of a live clip")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--steps", type=int, default=20, help="tokens decoded in each batch")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 4, 8, 16, 32, 64])
    parser.add_argument("--rounds", type=int, default=20, help="seconds of audio of each live session")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", choices=list(PAGE.kinds), help="as which result of docs/qwen-audio.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
