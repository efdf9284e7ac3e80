"""`python -m benchmarks.engine [--manifest FILE.tsv] [--streams 1 4 16]`: the engine's speed, part by part.

Streams that speak without a pause, in one process, without sockets, voice activity detection or pacing: in each block
of half a second all of them ask for an interim, and those whose clip ends for its final. The figure is how many
seconds of audio one second of the engine takes in, and what each part costs per second of audio.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.accuracy.clips import load_clip, model_input, read_manifest
from benchmarks.circumstances import circumstances
from benchmarks.engine.conversation import TalkingStream, utterances
from benchmarks.engine.stopwatch import watch_engine
from benchmarks.results_file import write_result
from inference.engine.engine import WhisperEngine, build_engine
from inference.engine.settings import EngineSettings
from inference.pool.interface import BLOCK_SAMPLES

BLOCK_S = BLOCK_SAMPLES / 16_000


def main() -> None:
    args = parse_args()
    about = circumstances()
    clips = utterances(load_samples(args.manifest, args.clips))
    rows = []
    for streams in args.streams:
        settings = EngineSettings(threads=args.threads, max_batch=max(64, streams), precision=args.precision)
        engine = build_engine(args.model, args.device, settings)
        rows.append(measure(engine, clips, streams, max(4, round(args.seconds / BLOCK_S)), args.seed))
    show(rows, Console())
    if args.json:
        write_result(
            args.json, {"circumstances": about, "threads": args.threads, "precision": engine.precision, "rows": rows}
        )


def measure(
    engine: WhisperEngine, clips: list[NDArray[np.int16]], streams: int, blocks: int, seed: int
) -> dict[str, object]:
    """Runs `blocks` blocks of audio of so many streams, after a quarter of them as warm-up."""
    random = np.random.default_rng(seed)
    talking = [TalkingStream(f"s{i}", clips, engine, int(random.integers(len(clips)))) for i in range(streams)]
    for stream in talking:  # each begins somewhere in its first clip, so that finals do not fall together
        skipped = int(random.integers(len(clips[stream.clip]) // BLOCK_SAMPLES))
        for _ in range(skipped if streams > 1 else 0):
            stream.next_job()
    watch = watch_engine(engine)
    steps: list[float] = []

    def counts() -> tuple[int, ...]:
        counters = engine.decoder.counters
        rows = engine.decoder.projection.rows
        return engine.encoder.frames_computed, counters.calls, counters.passes, counters.rows, rows

    before = counts()
    warm_up = max(2, blocks // 4)
    for block in track(range(warm_up + blocks), description=f"{streams} streams", transient=True):
        if block == warm_up:
            watch.seconds.clear()
            steps.clear()
            before = counts()
        by_name = {stream.name: stream for stream in talking}
        began = time.perf_counter()
        result = engine.step([stream.next_job() for stream in talking])
        steps.append(time.perf_counter() - began)
        assert not result.errors, result.errors
        for hypothesis in result.hypotheses:
            by_name[hypothesis.stream].take(hypothesis)
    audio_s = blocks * BLOCK_S * streams
    frames, calls, passes, rows, projected = (b - a for a, b in zip(before, counts(), strict=True))
    return {
        "streams": streams,
        "audio_s_per_s": round(audio_s / sum(steps), 2),
        "step_ms": {name: round(1e3 * float(np.percentile(steps, q)), 1) for name, q in (("p50", 50), ("p95", 95))},
        "ms_per_audio_s": {part: round(1e3 * s / audio_s, 2) for part, s in sorted(watch.seconds.items())},
        "frames_per_audio_s": round(frames / audio_s, 1),
        "decoder_calls_per_audio_s": round(calls / audio_s, 2),
        "passes_per_step": round(passes / blocks, 2),
        "decoder_rows_per_audio_s": round(rows / audio_s, 1),
        "projected_rows_per_audio_s": round(projected / audio_s, 1),
    }


def show(rows: list[dict[str, object]], console: Console) -> None:
    table = Table(title="the engine alone")
    table.add_column("")
    for row in rows:
        table.add_column(f"{row['streams']} streams", justify="right")
    for key in rows[0]:
        if key != "ms_per_audio_s" and key != "streams":
            table.add_row(key, *(_cell(row[key]) for row in rows))
    parts = sorted({part for row in rows for part in _parts(row)})
    for part in parts:
        table.add_row(f"ms per s of audio: {part}", *(f"{_parts(row).get(part, 0.0):.2f}" for row in rows))
    console.print(table)


def _parts(row: dict[str, object]) -> dict[str, float]:
    parts = row["ms_per_audio_s"]
    assert isinstance(parts, dict)
    return parts


def _cell(value: object) -> str:
    return " / ".join(str(each) for each in value.values()) if isinstance(value, dict) else str(value)


def load_samples(manifest: Path, most: int) -> list[NDArray[np.int16]]:
    """Raises ManifestError."""
    heard = [model_input(load_clip(row)) for row in read_manifest(manifest, most)]
    return [np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16) for samples in heard]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.engine", description=__doc__)
    parser.add_argument("--manifest", type=Path, default=Path("tests/data/manifest.tsv"))
    parser.add_argument("--clips", type=int, default=40, help="of the manifest, evenly spread")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=20.0, help="of audio of each stream")
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto", help="float32, bfloat16 or int8")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
