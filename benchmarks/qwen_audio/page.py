"""docs/qwen-audio.md: tables of the kept results."""

from __future__ import annotations

from typing import Any

from benchmarks.page import ROOT, Page
from benchmarks.performance.tables import measured_on, rows

Result = dict[str, Any]


def costs(result: Result) -> str:
    """What N tasks cost, and the encoder's work, of one clip length."""
    parts = [_what_was_run(result), _tasks(result), _encoding(result)]
    return "\n\n".join(part for part in parts if part)


def _what_was_run(result: Result) -> str:
    sizes = result["parameters"]
    threads = f"{result['threads']} thread, " if result["threads"] == 1 else ""
    return (
        f"`python -m benchmarks.qwen_audio --device {'cpu' if result['threads'] else 'cuda'} "
        f"--clip-s {result['clip_s']:g}`: {threads}{result['dtype']}, {sizes['all'] / 1e6:.0f} M parameters "
        f"({sizes['audio'] / 1e6:.0f} M in the encoder), medians of {result['repeats']}. {measured_on(result)}"
    )


def _tasks(result: Result) -> str:
    if "tasks" not in result:
        return ""
    table = [
        [
            str(row["tasks"]),
            str(row["answer_tokens"]),
            *(f"{row['seconds'][way]:.2f}" for way in ("separate", "batched", "shared")),
            f"{row['shared_is_cheaper_by']:.2f} ({row['of_the_tasks']:.2f} N)",
        ]
        for row in result["tasks"]
    ]
    header = ["tasks (N)", "tokens of an answer", "separate, s", "in a batch, s", "one prefix, s", "times cheaper"]
    return f"N tasks on one clip, the encoder's work included:\n\n{rows(header, table)}"


def _encoding(result: Result) -> str:
    if "encoding" not in result:
        return ""
    table = [
        [row["policy"], f"{row['frames_per_audio_s']:g}", f"{row['encoded_times']:g}", f"{row['ms_per_audio_s']:.0f}"]
        for row in result["encoding"]
    ]
    header = ["encoding", "frames per second of audio", "each frame is encoded", "ms per second of audio"]
    return (
        f"A live clip that is encoded every {result['every_s']:g} s (50 frames are a second of audio):\n\n"
        f"{rows(header, table)}"
    )


PAGE = Page(
    document=ROOT / "docs" / "qwen-audio.md",
    results=ROOT / "benchmarks" / "qwen_audio" / "results",
    kinds={
        "cpu-10s": ("A clip of 10 s on a processor", costs),
        "cpu-30s": ("A clip of 30 s on a processor", costs),
        "gpu-7b": ("The published size on a GPU", costs),
    },
    plots={},
)
