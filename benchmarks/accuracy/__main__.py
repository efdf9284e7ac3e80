"""`python -m benchmarks.accuracy --manifest FILE.tsv --json OUT`: see docs/accuracy.md for what the figures mean.

Order of calls: read the manifest; decode offline (cached); start the service; one warm-up clip; every clip in lock
step, several at once; some clips one by one in real time; if asked, every clip again in other ways; write the JSON,
print the table.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.accuracy.clips import Clip, ManifestError, load_clip, read_manifest, spread
from benchmarks.accuracy.exchange import Exchange
from benchmarks.accuracy.figures import ClipResult, figures, row
from benchmarks.accuracy.invariance import VARIANTS, compare
from benchmarks.accuracy.service import (
    TUNED_SERVICE,
    TYMPAN_SERVE,
    RunningService,
    ServiceError,
    running_service,
)
from benchmarks.accuracy.stream import Pace, StreamError, StreamSettings, stream_clip
from benchmarks.accuracy.table import table
from benchmarks.circumstances import circumstances, load
from benchmarks.results_file import write_result
from streaming.protocol.messages import Endpointing, InterimPolicy

Advance = Callable[[int], None]
SERVICE_SETTING = re.compile("TYMPAN_(ENGINE|SESSION)_")
"""Settings that the service takes from the environment and that may change a figure."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 after one sentence on stderr."""
    options = _parser().parse_args(arguments)
    try:
        result = measure(options)
    except (ManifestError, ServiceError, StreamError) as error:
        print(f"benchmarks.accuracy: {error}", file=sys.stderr)
        return 2
    if options.json is not None:
        write_result(options.json, result)
    terminal = Console()
    Console(width=terminal.width if terminal.is_terminal else 120).print(table(result))
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the whole measurement and returns what is written as JSON."""
    began = circumstances()
    rows = read_manifest(options.manifest, options.limit)
    clips = [load_clip(one) for one in rows]
    with ExitStack() as stack:
        progress = stack.enter_context(progress_bars())
        offline = _decode_offline(options.model, clips, progress) if options.offline else [None] * len(clips)
        given = nullcontext(RunningService(options.server)) if options.server else None
        service = stack.enter_context(given or running_service(*_service_command(options)))
        settings = StreamSettings(
            url=service.stream_url,
            interim=options.interim,
            endpointing=options.endpointing,
            chunk_ms=options.chunk_ms,
            step_ms=options.step_ms,
        )
        asyncio.run(stream_clip(clips[0], settings, "lock_step"))  # warm-up
        began_s = time.perf_counter()
        streamed = _stream(clips, settings, "lock_step", options.streams, progress, "streaming")
        wall_s = time.perf_counter() - began_s
        by_length = sorted(clips, key=lambda clip: clip.seconds)
        chosen = spread(by_length, options.paced) if options.paced else []
        paced = _stream(chosen, settings, "real_time", 1, progress, "in real time")
        invariance = None
        if options.check_invariance is not None:
            again = spread(list(zip(clips, streamed, strict=True)), options.check_invariance or len(clips))
            invariance = _check_invariance(again, settings, progress)
    results = [ClipResult.of(*one) for one in zip(clips, streamed, offline, strict=True)]
    found = figures(results, paced)
    return found | {
        "audio_s_per_s": round(found["audio_s"] / wall_s, 2),
        "endpoint_silence_ms": options.endpointing.min_silence_ms,
        "invariance": invariance,
        "manifest": options.manifest.name,
        "settings": {
            "model": options.model,
            "device": options.device,
            "interim": options.interim,
            "endpointing": msgspec.to_builtins(options.endpointing),
            "chunk_ms": options.chunk_ms,
            "step_ms": options.step_ms,
            "streams": options.streams,
            "paced_clips": [clip.row.path for clip in chosen],
            "serve_args": options.serve_args,
            "engine": options.engine,
            "environment": {key: value for key, value in sorted(os.environ.items()) if SERVICE_SETTING.match(key)},
        },
        **began,
        "machine": began["machine"] | {"load_1min": load()},
        "rows": [row(result) for result in results],
    }


def _service_command(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    module = [*TUNED_SERVICE, options.engine] if options.engine else [*TYMPAN_SERVE]
    return module, ["--model", options.model, "--device", options.device, *shlex.split(options.serve_args)]


def _decode_offline(model: str, clips: Sequence[Clip], progress: Progress) -> list[str | None]:
    from benchmarks.accuracy.offline import OfflineReference  # loads torch
    from inference.whisper.weights import WeightsError

    bar = progress.add_task("offline reference", total=len(clips))
    try:
        return list(OfflineReference(model).transcribe(clips, lambda more: progress.advance(bar, more)))
    except WeightsError as error:
        raise ManifestError(str(error)) from error


def _check_invariance(
    baseline: Sequence[tuple[Clip, Exchange]], settings: StreamSettings, progress: Progress
) -> dict[str, Any]:
    clips, before = [clip for clip, _ in baseline], [exchange for _, exchange in baseline]
    found: dict[str, Any] = {}
    for variant in VARIANTS:
        cut = replace(settings, chunk_ms=variant.chunk_ms)
        again = _stream(clips, cut, variant.pace, variant.streams, progress, variant.name)
        found[variant.name] = compare(before, again)
    return found


def _stream(
    clips: Sequence[Clip], settings: StreamSettings, pace: Pace, streams: int, progress: Progress, label: str
) -> list[Exchange]:
    bar = progress.add_task(label, total=len(clips))
    return asyncio.run(_stream_all(clips, settings, pace, streams, lambda more: progress.advance(bar, more)))


async def _stream_all(
    clips: Sequence[Clip], settings: StreamSettings, pace: Pace, streams: int, advance: Advance
) -> list[Exchange]:
    """All clips in order of their results, at most `streams` at once."""
    free = asyncio.Semaphore(streams)

    async def one(clip: Clip) -> Exchange:
        async with free:
            exchange = await stream_clip(clip, settings, pace)
            advance(1)
            return exchange

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(clip)) for clip in clips]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # the first clip that failed stopped the others
    return [task.result() for task in tasks]


def progress_bars() -> Progress:
    return Progress(
        TextColumn("{task.description:>28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def endpointing(text: str) -> Endpointing:
    """Reads "min_silence_ms=800,pad_ms=400": the fields of `start`'s endpointing, checked as the service checks them.

    Raises:
        argparse.ArgumentTypeError: no such field, or a value out of range.
    """
    pairs = {name: value for name, _, value in (pair.partition("=") for pair in text.split(",")) if name}
    try:
        return msgspec.convert(pairs, Endpointing, strict=False)
    except msgspec.ValidationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description="Streams a corpus through the whole service and compares it with offline decoding.",
    )
    parser.add_argument("--manifest", type=Path, required=True, help="TSV with the columns path and transcript")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the result to this file as well")
    parser.add_argument("--limit", type=int, help="only so many clips, spread evenly over the manifest")
    parser.add_argument("--paced", type=int, default=10, help="clips in real time, one by one (default 10)")
    parser.add_argument("--streams", type=int, default=4, help="clips streamed at once (default 4)")
    parser.add_argument("--chunk-ms", type=int, default=20, help="audio per message (default 20)")
    parser.add_argument("--step-ms", type=int, default=500, help="audio between two markers in lock step")
    parser.add_argument("--no-offline", dest="offline", action="store_false", help="leave out the offline reference")
    parser.add_argument(
        "--check-invariance",
        type=int,
        nargs="?",
        const=0,
        metavar="N",
        help="send the clips, or N of them spread evenly, in five other ways too",
    )
    parser.add_argument("--interim", choices=get_args(InterimPolicy), default="stable", help="interim policy")
    parser.add_argument("--endpointing", type=endpointing, default=Endpointing(), help="such as min_silence_ms=500")
    parser.add_argument("--model", default="tiny.en", help="as for tympan serve")
    parser.add_argument("--device", default="auto", help="as for tympan serve")
    parser.add_argument("--serve-args", default="", help="more arguments for tympan serve, in one string")
    parser.add_argument("--engine", default="", metavar="JSON", help="for trade-offs: see benchmarks.tuned_service")
    parser.add_argument("--server", help="measure this running service (http://host:port) instead of starting one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
