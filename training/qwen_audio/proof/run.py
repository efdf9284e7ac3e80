"""The proof's runs: one decoder for four tasks, with tags and without them, same data, steps and seeds."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from rich.progress import Progress

from benchmarks.accuracy.clips import Row as Listed
from benchmarks.accuracy.clips import load_clip
from benchmarks.accuracy.offline import OfflineReference
from benchmarks.circumstances import circumstances, load
from training.qwen_audio.__main__ import train_with_bar
from training.qwen_audio.audio import span_of
from training.qwen_audio.config import Augment, Data, Every, Optimiser, TrainingConfig
from training.qwen_audio.corpus import build
from training.qwen_audio.journal import read_log
from training.qwen_audio.loop import EXPORTED
from training.qwen_audio.manifest import Row, split_of
from training.qwen_audio.proof.ask import Asker
from training.qwen_audio.proof.figures import TASKS, form_matrix, task_figures, trained_pairs, word_error_rates
from training.qwen_audio.proof.start import make_start

TAGGED, UNTAGGED = "with tags", "without tags"
_ENCODER = ("transformer.audio.conv*", "transformer.audio.blocks.*", "transformer.audio.ln_post.*")


def prove(data: Path, work: Path, steps: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Trains and measures, and returns the result that the page is made of.

    Args:
        data: the folder with MANIFEST.tsv.
        work: for the corpus, the encoder's states, checkpoints and models; what is there is used or replaced.
    """
    started = time.monotonic()
    where = circumstances()
    rows = build(data, work / "corpus")
    test = split_of(rows, "test")
    rows_of = {row.audio: row for row in test}
    answers: dict[str, list[dict[str, Any]]] = {TAGGED: [], UNTAGGED: []}
    logs: dict[str, Any] = {}
    parameters = 0
    for seed in seeds:
        start = work / f"start-{seed}"
        make_start(start, [row.target for row in split_of(rows, "train")], seed)
        for name in (TAGGED, UNTAGGED):
            config = configuration(work, start, name, steps, seed)
            trainer = train_with_bar(config, name=f"{name}, seed {seed}")
            parameters = sum(each.numel() for each in trainer.model.parameters() if each.requires_grad)
            logs[f"{name}, seed {seed}"] = read_log(Path(config.output))
            answers[name].append(measure(Path(config.output) / EXPORTED, name == TAGGED, test, sorted(rows_of)))
    heard = [row for row in test if row.group == "transcription" and row.target]
    result = {
        **where,
        "steps": steps,
        "seeds": list(seeds),
        "threads": torch.get_num_threads(),
        "autocast": _precision(),
        "trained_parameters": parameters,
        "train_minutes": _minutes(split_of(rows, "train")),
        "test_minutes": _minutes(test),
        "trained_pairs": trained_pairs(rows),
        "runs": answers,
        "tiny_en": word_error_rates(heard, reference(heard)),
        "logs": logs,
    }
    result["machine"]["load_1min"] = load()
    result["minutes"] = round((time.monotonic() - started) / 60, 1)
    return result


def configuration(work: Path, start: Path, name: str, steps: int, seed: int) -> TrainingConfig:
    """Of one run: the encoder is frozen up to its projection; the decoder is trained."""
    return TrainingConfig(
        checkpoint=str(start),
        output=str(work / f"{name.replace(' ', '-')}-{seed}"),
        data=Data(
            manifest=str(work / "corpus" / "manifest.jsonl"),
            tags=name == TAGGED,
            temperature=3.0,
            positions_per_batch=1536,
            positions_per_row=span_of(30.0) + 128,
            cache_encoder=True,
        ),
        frozen=_ENCODER,
        augment=Augment(time_masks=2, time_mask_s=0.4, token_noise=0.1),
        optimiser=Optimiser(
            steps=steps,
            learning_rate=1e-3,
            warmup_steps=steps // 10,
            floor=0.05,
            weight_decay=0.1,
            autocast=_precision(),
        ),
        every=Every(log=20, validate=max(1, steps // 8), checkpoint=0),
        seed=seed,
    )


def measure(model: Path, tags: bool, test: Sequence[Row], clips: Sequence[str]) -> dict[str, Any]:
    """Every test clip is asked every task; the figures of each task are those of its own rows."""
    with Progress() as progress:
        bar = progress.add_task("asking about test clips", total=len(clips))
        tasks = [task for task, _ in TASKS.values()]
        found = Asker(model, tags).ask(clips, tasks, lambda count: progress.update(bar, advance=count))
    return {"figures": task_figures(test, found), "forms": form_matrix(test, found)}


def reference(rows: Sequence[Row]) -> dict[str, str]:
    """By audio, what tiny.en's own decoder makes of the clips: transformers, full windows, greedy."""
    clips = [load_clip(Listed(Path(row.audio).name, Path(row.audio), row.target)) for row in rows]
    with Progress() as progress:
        bar = progress.add_task("tiny.en", total=len(clips))
        texts = OfflineReference("tiny.en").transcribe(clips, lambda count: progress.update(bar, advance=count))
    return {row.audio: text for row, text in zip(rows, texts, strict=True)}


def set_threads(count: int | None) -> None:
    """As many threads as cores, unless told otherwise."""
    torch.set_num_threads(count or len(os.sched_getaffinity(0)))


def _precision() -> Literal["no", "bf16"]:
    """bfloat16 where the processor multiplies it; elsewhere it is emulated, several times slower than float32."""
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "no"


def _minutes(rows: Sequence[Row]) -> float:
    """Of distinct clips."""
    return round(sum({row.audio: row.seconds for row in rows}.values()) / 60, 1)
