"""Where a checkpoint lies, what it is, and how its model gets onto a device."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inference.engine.device import DeviceError, choose_device, choose_threads
from inference.pool.interface import EngineStartError

_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.tiktoken"]
_PICKLED_FILES = ["*.bin"]
"""Weights of a repository that has no others."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    name: str
    """As it was asked for."""
    folder: Path
    config: dict[str, Any]
    """What config.json says."""

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type", ""))

    def read(self, file: str) -> dict[str, Any]:
        """A JSON file beside config.json; empty where there is none. Raises EngineStartError."""
        return _read_json(self.folder / file) if (self.folder / file).is_file() else {}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model runs, and how it multiplies."""

    device: torch.device
    dtype: torch.dtype

    @property
    def precision(self) -> str:
        return str(self.dtype).removeprefix("torch.")


def find_checkpoint(name: str) -> Checkpoint:
    """A local folder, or a name of the Hugging Face hub, whose files are then loaded once.

    Raises:
        EngineStartError: there is none, or its config.json cannot be read; with the remedy.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if name.count("/") != 1 or name.startswith((".", "/", "~")):
            raise EngineStartError(
                f"There is no model {name!r}: say a folder with a checkpoint in transformers' layout (config.json, "
                "model.safetensors and its tokenizer), or a hub name such as owner/name."
            )
        folder = _from_hub(name)
    if not (folder / "config.json").is_file():
        raise EngineStartError(f"{name} has no config.json: get the whole checkpoint, not only its weights.")
    return Checkpoint(name, folder, _read_json(folder / "config.json"))


def find_place(device: str, threads: int | None, precision: str) -> Place:
    """`precision`: auto, float32 or bfloat16; auto is bfloat16 on CUDA where it is supported, else float32.

    Raises:
        EngineStartError: there is no such device, or the families do not run in this precision.
    """
    try:
        where = choose_device(device)
    except DeviceError as error:
        raise EngineStartError(str(error)) from error
    if where.type == "cpu":
        torch.set_num_threads(choose_threads(threads))
    if precision == "auto":
        precision = "bfloat16" if where.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    if precision not in ("float32", "bfloat16"):
        raise EngineStartError(f"This model does not run in {precision!r}: say auto, float32 or bfloat16.")
    return Place(where, torch.bfloat16 if precision == "bfloat16" else torch.float32)


def load_model(model_class: Any, checkpoint: Checkpoint, place: Place) -> Any:
    """The model of a transformers class, ready to infer. Raises EngineStartError if its weights are not all there."""
    try:
        model, report = model_class.from_pretrained(
            checkpoint.folder, dtype=place.dtype, output_loading_info=True, local_files_only=True
        )
    except Exception as error:
        raise EngineStartError(
            f"The weights of {checkpoint.name} could not be loaded ({_brief(error)}): get its model.safetensors again."
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise EngineStartError(f"{checkpoint.name} has no {missing[0]}: get its model.safetensors again.")
    return model.to(place.device).eval()


def _from_hub(name: str) -> Path:
    """Raises EngineStartError."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=_HUB_FILES))
        if not any(folder.glob("*.safetensors")):
            snapshot_download(name, allow_patterns=_PICKLED_FILES)
        return folder
    except Exception as error:
        raise EngineStartError(
            f"{name} could not be had from the hub ({_brief(error)}): check the name and the network, or give a folder."
        ) from error


def _read_json(file: Path) -> dict[str, Any]:
    """Raises EngineStartError."""
    try:
        told = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise EngineStartError(f"{file} cannot be read ({_brief(error)}): get the checkpoint again.") from error
    if not isinstance(told, dict):
        raise EngineStartError(f"{file} is not a JSON object: get the checkpoint again.")
    return told


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
