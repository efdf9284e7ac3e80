"""What a run needs to go on as if it had not stopped: one file, replaced in one go."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from training.qwen_audio.config import ConfigError, TrainingConfig

FILE = "training.pt"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    step: int
    """Steps that are done."""
    trained: Mapping[str, Tensor]
    """The trained parameters by name: the frozen ones are those of the checkpoint that training began with."""
    optimiser: dict[str, Any]
    batches: dict[str, Any]
    """The place in the stream of batches."""
    random: Mapping[str, Tensor]
    """States of torch's generators by device."""


def save_snapshot(folder: Path, snapshot: Snapshot, config: TrainingConfig) -> None:
    """Replaces the folder's snapshot; a process that is killed meanwhile leaves the old one."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{FILE}.part"
    content = {
        "version": _VERSION,
        "config": _identity(config),
        "step": snapshot.step,
        "trained": dict(snapshot.trained),
        "optimiser": snapshot.optimiser,
        "batches": json.dumps(snapshot.batches),  # numpy's generator has integers of 128 bits
        "random": dict(snapshot.random),
    }
    with part.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / FILE)


def load_snapshot(folder: Path, config: TrainingConfig) -> Snapshot:
    """
    Raises:
        ConfigError: there is none, it is broken, or it is of a run with another configuration.
    """
    file = folder / FILE
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ConfigError(f"there is nothing to resume: {file} does not exist") from None
    except Exception as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    if content.get("version") != _VERSION or content["config"] != _identity(config):
        raise ConfigError(f"{file} was written by a run with another configuration; start anew, or in another output")
    return Snapshot(
        step=content["step"],
        trained=content["trained"],
        optimiser=content["optimiser"],
        batches=json.loads(content["batches"]),
        random=content["random"],
    )


def random_states() -> dict[str, Tensor]:
    """Of torch's generators, for `Snapshot`."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda:{at}": state for at, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def restore_random(states: Mapping[str, Tensor]) -> None:
    """The reverse of `random_states`; a device that is not here is left out."""
    torch.set_rng_state(states["cpu"])
    for at in range(torch.cuda.device_count()):
        if f"cuda:{at}" in states:
            torch.cuda.set_rng_state(states[f"cuda:{at}"], at)


def _identity(config: TrainingConfig) -> str:
    """All that changes what is learnt: not where it is written, nor how often it is looked at."""
    usual = TrainingConfig(checkpoint="", output="", data=config.data, optimiser=config.optimiser)
    kept = msgspec.structs.replace(config, output="", every=usual.every, device="")
    return msgspec.json.encode(kept).decode()
