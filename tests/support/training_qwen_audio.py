"""A tiny Qwen-Audio to train, and clips of tones that are told apart by their pitch."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file

from inference.pool.tasks import Task
from inference.qwen_audio.config import AudioConfig, QwenAudioConfig
from inference.qwen_audio.model import QwenAudio
from inference.qwen_audio.tokenizer import QwenTokenizer, load_tokenizer
from tests.support.qwen_audio import write_tiktoken
from training.qwen_audio.config import Data, Every, Optimiser, TrainingConfig
from training.qwen_audio.manifest import Row, write_manifest

EVENTS = Task(name="sound_events")
CAPTION = Task(name="caption", style="plain")
SECONDS = 0.4
RATE = 16_000


def write_checkpoint(folder: Path, seed: int = 0) -> QwenTokenizer:
    """A random model of two small layers on each side, in the original layout."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tiktoken(folder)
    tokenizer = load_tokenizer(folder)
    audio = AudioConfig(
        n_mels=80,
        n_ctx=1500,
        n_state=32,
        n_head=2,
        n_layer=2,
        output_dim=32,
        audio_start_id=tokenizer.specials.audio_start,
    )
    config = QwenAudioConfig(
        vocab_size=tokenizer.vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        kv_channels=16,
        intermediate_size=128,
        audio=audio,
    )
    torch.manual_seed(seed)
    save_file(QwenAudio(config).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(asdict(config)), encoding="utf-8")
    return tokenizer


def write_tones(folder: Path, count: int) -> list[Path]:
    """Clips of one tone each, an octave and a half apart in all."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(count):
        times = np.arange(int(SECONDS * RATE)) / RATE
        files.append(folder / f"{number}.flac")
        soundfile.write(files[-1], 0.3 * np.sin(2 * np.pi * 300 * 1.5**number * times), RATE)
    return files


def row(audio: Path | str, target: str, task: Task = EVENTS, split: str = "train", group: str = "events") -> Row:
    """A row of a manifest."""
    return Row(audio=str(audio), task=task, target=target, split=split, group=group, seconds=SECONDS)  # type: ignore[arg-type]


def write_run(folder: Path, rows: list[Row], steps: int = 6, **changed: object) -> TrainingConfig:
    """A checkpoint, a manifest, and the configuration of a run on them; `changed` are fields of it."""
    write_checkpoint(folder / "start")
    write_manifest(folder / "manifest.jsonl", rows)
    fields: dict[str, object] = {
        "data": Data(manifest=str(folder / "manifest.jsonl"), positions_per_batch=128, positions_per_row=128),
        "optimiser": Optimiser(steps=steps, learning_rate=3e-3, warmup_steps=min(2, steps)),
        "every": Every(log=1, validate=0, checkpoint=0),
        **changed,
    }
    return TrainingConfig(checkpoint=str(folder / "start"), output=str(folder / "out"), **fields)  # type: ignore[arg-type]
