"""`python -m training.qwen_audio --config FILE.toml [--resume]`: one training run, with a bar; ends with a model.

The output folder then has `model/` (the original layout), `log.jsonl`, `curves.svg` and `training.pt` to resume from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from inference.qwen_audio.checkpoint import CheckpointError
from inference.qwen_audio.config import ConfigError as ModelConfigError
from inference.qwen_audio.tags import TaskError
from inference.qwen_audio.tokenizer import TokenizerError
from training.qwen_audio.config import ConfigError, TrainingConfig, read_config
from training.qwen_audio.loop import EXPORTED, Trainer
from training.qwen_audio.manifest import ManifestError

ERRORS = (ConfigError, ManifestError, CheckpointError, ModelConfigError, TokenizerError, TaskError)


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 2 where the run cannot be made, with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m training.qwen_audio", description="Trains a Qwen-Audio.")
    parser.add_argument("--config", type=Path, required=True, help="TOML; see training/qwen_audio/configs")
    parser.add_argument("--resume", action="store_true", help="go on from the output's last snapshot")
    options = parser.parse_args(arguments)
    try:
        train_with_bar(read_config(options.config), options.resume)
    except ERRORS as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def train_with_bar(config: TrainingConfig, resume: bool = False, name: str = "training") -> Trainer:
    """One run, shown on the terminal. Raises one of `ERRORS`."""
    console = Console(stderr=True)
    trainer = Trainer(config)
    if trainer.lessons.left_out:
        limit = config.data.positions_per_row
        console.print(f"{trainer.lessons.left_out} rows have more than {limit} positions: left out")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        for lessons in (trainer.lessons, trainer.exam):
            if config.data.cache_encoder and lessons.rows:
                bar = progress.add_task("encoding clips", total=lessons.clips)
                lessons.prepare(partial(_advance, progress, bar))
        bar = progress.add_task(name, total=config.optimiser.steps)

        def done(step: int, loss: float) -> None:
            progress.update(bar, completed=step, description=f"{name}, loss {loss:.3f}")

        trainer.train(resume, done=done)
    console.print(f"the model is in {Path(config.output) / EXPORTED}")
    return trainer


def _advance(progress: Progress, bar: TaskID, count: int) -> None:
    progress.update(bar, advance=count)


if __name__ == "__main__":
    sys.exit(main())
