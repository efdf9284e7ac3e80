"""`python -m benchmarks.adapters [--model FOLDER ...]`: what an adapter encodes and what it takes, for what is new.

One stream hears an utterance and is asked for an interim every half second and a final at its end. `encoded / heard`
is the audio that went through the encoder, in seconds for each second heard: it depends on the family's rule alone,
not on the weights. `Qwen2-Audio, 30 s` compares its encoder's time for the window it takes with the time for the
audio's own length, by the same layers. Without `--model`, tiny checkpoints with random weights are made, and the
encoder of Qwen2-Audio in a middle size; the seconds are then no published model's.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.circumstances import circumstances
from benchmarks.results_file import write_result
from inference.adapters.build import ENGINES, build_adapter
from inference.pool.core import StepEngine
from inference.pool.interface import BLOCK_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE, Job, StreamSpec
from tests.support.adapter_checkpoints import melody, write_checkpoint

_LENGTHS_S = (1.0, 2.0, 5.0, 10.0, 30.0)
_MIDDLE_SIZE: dict[str, Any] = {
    "d_model": 512,
    "encoder_layers": 6,
    "encoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
}


def main() -> None:
    args = parse_args()
    about = circumstances()
    torch.set_num_threads(args.threads)
    with TemporaryDirectory() as folder:
        models = [str(write_checkpoint(family, Path(folder) / family)) for family in ENGINES]
        engines = [build_adapter(model, args.device, args.threads) for model in args.model or models]
        rows = [utterance(engine, seconds) for engine in engines for seconds in args.seconds]
    window = whole_window(args.repeats)
    show(rows, window, Console())
    if args.json:
        write_result(
            args.json, {"circumstances": about, "threads": args.threads, "utterances": rows, "whole_window": window}
        )


def utterance(engine: StepEngine, seconds: float) -> dict[str, Any]:
    """An utterance of so many seconds: interims every half second, then its final."""
    pcm = (melody(seconds) * 32_767).astype("<i2").tobytes()
    samples = len(pcm) // 2
    engine.open("s", StreamSpec(language="en"))
    engine.append("s", 0, 0, pcm)
    ends = [*range(BLOCK_SAMPLES, samples, BLOCK_SAMPLES), samples]
    stats = [
        engine.step([Job("s", 0, number, "final" if end == samples else "interim", 0, end)]).stats
        for number, end in enumerate(ends)
    ]
    engine.close("s")
    encoded_s = sum(each.encoder_frames for each in stats) * FRAME_SAMPLES / SAMPLE_RATE
    return {
        "model": Path(engine.info.model).name,
        "seconds": seconds,
        "encoded_per_heard": round(encoded_s / seconds, 2),
        "decoder_passes_per_s": round(sum(each.decoder_passes for each in stats) / seconds, 1),
        "last_interim_ms": round(1000 * stats[-2].seconds, 1),
        "final_ms": round(1000 * stats[-1].seconds, 1),
    }


@torch.inference_mode()
def whole_window(repeats: int) -> list[dict[str, float]]:
    """Of Qwen2-Audio's encoder: time for 30 s over the time for the audio's own length."""
    from transformers.models.qwen2_audio.configuration_qwen2_audio import Qwen2AudioEncoderConfig
    from transformers.models.qwen2_audio.modeling_qwen2_audio import Qwen2AudioEncoder

    def encoder(seconds: float) -> Callable[[], Any]:
        config = Qwen2AudioEncoderConfig(**_MIDDLE_SIZE, max_source_positions=round(50 * seconds))
        tower = Qwen2AudioEncoder(config).eval()
        mel = torch.randn(1, config.num_mel_bins, 2 * config.max_source_positions)
        return lambda: tower(mel)

    whole = median_s(encoder(_LENGTHS_S[-1]), repeats)
    own = {seconds: median_s(encoder(seconds), repeats) for seconds in _LENGTHS_S}
    return [
        {"seconds": seconds, "own_ms": round(1000 * took, 1), "ratio": round(whole / took, 1)}
        for seconds, took in own.items()
    ]


def median_s(run: Callable[[], Any], repeats: int) -> float:
    run()
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def show(rows: list[dict[str, Any]], window: list[dict[str, float]], console: Console) -> None:
    table = Table(title="an utterance with interims every half second")
    for key in rows[0]:
        table.add_column(key.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)
    table = Table(title="Qwen2-Audio's encoder: 30 s instead of the audio's own length")
    for key in window[0]:
        table.add_column(key.replace("_", " "), justify="right")
    for each in window:
        table.add_row(*(str(value) for value in each.values()))
    console.print(table)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.adapters", description=__doc__)
    parser.add_argument("--model", nargs="+", help="folders with checkpoints; without it, tiny random ones are made")
    parser.add_argument("--seconds", type=float, nargs="+", default=[5.0, 10.0, 20.0], help="of the utterance")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5, help="of each encoder run; the median is taken")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
