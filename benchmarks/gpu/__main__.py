"""`python -m benchmarks.gpu [--geometry tiny large-v3-turbo large-v3] [--device cuda]`: the engine's step on a device.

For each model size (random weights: speed does not depend on them) and number of streams: how long the half second of
all of them takes in one batch, encoder and decoder apart, and which share that is of the device's measured memory
bandwidth and matrix rate. The streams that fit are the most whose step takes less than the half second it is about.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.circumstances import circumstances, load
from benchmarks.gpu.ceilings import bytes_per_s, flops_per_s
from benchmarks.gpu.geometry import GEOMETRIES, parameters, random_weights
from benchmarks.gpu.step import Streams, bytes_of_step, flops_of_step
from benchmarks.results_file import write_result
from inference.engine.device import DeviceError, choose_device
from inference.engine.precision import choose_precision, torch_dtype
from inference.whisper.model import build_model

BLOCK_S = 0.5
WARM_UP = 2


def main() -> int:
    options = _parser().parse_args()
    try:
        device = choose_device(options.device)
    except DeviceError as error:
        print(f"benchmarks.gpu: {error}", file=sys.stderr)
        return 2
    dtype = torch_dtype(choose_precision("auto", device))
    if device.type == "cpu":
        torch.set_num_threads(options.threads)
    began = circumstances()
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else began["machine"]["processor"],
        "dtype": str(dtype).removeprefix("torch."),
        "ceilings": {"bytes_per_s": bytes_per_s(device), "flops_per_s": flops_per_s(device, dtype)},
        "geometries": {name: _measure(name, device, dtype, options) for name in options.geometry},
        **began,
        "machine": began["machine"] | {"load_1min": load()},
    }
    if options.json is not None:
        write_result(options.json, result)
    Console().print(table(result))
    return 0


def _measure(name: str, device: torch.device, dtype: torch.dtype, options: argparse.Namespace) -> dict[str, Any]:
    weights = random_weights(name)
    model = build_model(weights, device, dtype)
    rows = []
    for count in track(options.streams, description=name, transient=True):
        try:
            streams = Streams(model, weights, count)
            times = [streams.step() for _ in range(WARM_UP + options.steps)][WARM_UP:]
        except torch.OutOfMemoryError:
            rows.append({"streams": count, "problem": "out of memory"})
            break
        step_s = statistics.median(each.step_s for each in times)
        rows.append(
            {
                "streams": count,
                "step_ms": 1e3 * step_s,
                "encode_ms": 1e3 * statistics.median(each.encode_s for each in times),
                "decode_ms": 1e3 * statistics.median(each.decode_s for each in times),
                "flops_per_s": flops_of_step(weights, count, times[-1].rows) / step_s,
                "bytes_per_s": bytes_of_step(weights, model) / step_s,
            }
        )
        if step_s > 2 * BLOCK_S:
            break
    inside = [row["streams"] for row in rows if "step_ms" in row and row["step_ms"] <= 1e3 * BLOCK_S]
    return {"parameters": parameters(weights), "rows": rows, "streams_inside": max(inside, default=0)}


def table(result: dict[str, Any]) -> Table:
    """One row for each number of streams."""
    ceilings = result["ceilings"]
    title = (
        f"half a second of all streams in one batch, {result['device']}, {result['dtype']}: "
        f"{ceilings['bytes_per_s'] / 1e9:.0f} GB/s, {ceilings['flops_per_s'] / 1e12:.2f} TFLOP/s at most"
    )
    drawn = Table(title=title)
    for heading in ("model", "streams", "step, ms", "encoder, ms", "decoder, ms", "of the FLOP/s", "of the GB/s"):
        drawn.add_column(heading, justify="left" if heading == "model" else "right")
    for name, found in result["geometries"].items():
        for row in found["rows"]:
            if "problem" in row:
                drawn.add_row(name, str(row["streams"]), row["problem"])
                continue
            drawn.add_row(
                name,
                str(row["streams"]),
                *(f"{row[key]:.1f}" for key in ("step_ms", "encode_ms", "decode_ms")),
                *(f"{row[key] / ceilings[key]:.0%}" for key in ("flops_per_s", "bytes_per_s")),
            )
        drawn.add_row(name, f"inside: {found['streams_inside']}", end_section=True)
    return drawn


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--geometry", nargs="+", choices=tuple(GEOMETRIES), default=tuple(GEOMETRIES))
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32, 64, 128, 256, 400, 512])
    parser.add_argument("--steps", type=int, default=8, help="steps of which the median is taken")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    parser.add_argument("--threads", type=int, default=1, help="on a CPU")
    parser.add_argument("--json", type=Path, metavar="OUT")
    return parser


if __name__ == "__main__":
    sys.exit(main())
