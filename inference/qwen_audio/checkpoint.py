"""Loads a Qwen-Audio checkpoint in its original layout: one safetensors file, or shards of either kind with an index.

The model is made on the meta device and given the tensors of one shard after another, so that memory peaks at the
model and one shard. Nothing in a checkpoint is executed: pickled shards are read with `weights_only`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from inference.qwen_audio.config import load_config
from inference.qwen_audio.model import QwenAudio

SAFETENSORS = "model.safetensors"
PICKLED = "pytorch_model.bin"
_INDEXES = (f"{SAFETENSORS}.index.json", f"{PICKLED}.index.json")
_LISTED = 8  # names in a message


class CheckpointError(Exception):
    """A checkpoint is missing, broken, or not this model's. `missing`, `unexpected` and `misshapen` name tensors."""

    def __init__(
        self,
        message: str,
        missing: tuple[str, ...] = (),
        unexpected: tuple[str, ...] = (),
        misshapen: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.missing, self.unexpected, self.misshapen = missing, unexpected, misshapen


def load_model(folder: Path, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> QwenAudio:
    """The model of a folder with config.json and weights, ready to infer; every tensor of it is used, none is made up.

    Raises:
        ConfigError: the configuration is missing or wrong.
        CheckpointError: the weights are missing or broken, or there are too few, too many or others than the
            configuration promises.
    """
    config = load_config(folder)
    with torch.device("meta"):
        model = QwenAudio(config)
    loader = _Loader(model, dtype, torch.device(device))
    for name, shard in read_shards(folder):
        loader.take(name, shard)
    loader.finish(folder)
    return model.eval().requires_grad_(False)


def read_shards(folder: Path) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """(file name, its tensors on the CPU) of each weight file of a folder. Raises CheckpointError."""
    for name in shard_names(folder):
        yield name, _read(folder / name)


def shard_names(folder: Path) -> list[str]:
    """The weight files, those of an index in the order of their names. Raises CheckpointError."""
    for index in _INDEXES:
        if (folder / index).is_file():
            return _indexed(folder / index)
    for name in (SAFETENSORS, PICKLED):
        if (folder / name).is_file():
            return [name]
    raise CheckpointError(f"{folder} has neither {SAFETENSORS} nor {PICKLED}, nor an index of shards")


def _indexed(index: Path) -> list[str]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"the index {index} is broken: {error!r}") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(f"the index {index} names a file outside its folder: {name!r}")
    return sorted(names)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, EOFError, TypeError) as error:
        raise CheckpointError(f"the weight file {path} cannot be read: {error}") from error
    except Exception as error:  # of pickle's own class, for what weights_only refuses
        raise CheckpointError(f"the weight file {path} is refused: {error}") from error
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"the weight file {path} does not hold tensors by name")
    return dict(loaded)


class _Loader:
    """Puts tensors in the place of the meta device's, and keeps count of them."""

    def __init__(self, model: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        self._model = model
        self._dtype, self._device = dtype, device
        self._wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        self._seen: set[str] = set()
        self._unexpected: list[str] = []
        self._misshapen: list[str] = []
        self._twice: list[str] = []

    def take(self, file: str, tensors: Mapping[str, Tensor]) -> None:
        placed = {}
        for name, tensor in tensors.items():
            if name not in self._wanted:
                self._unexpected.append(f"{name} in {file}")
            elif name in self._seen:
                self._twice.append(f"{name} in {file}")
            elif tuple(tensor.shape) != self._wanted[name]:
                self._misshapen.append(f"{name} {tuple(tensor.shape)}, not {self._wanted[name]}")
            else:
                owned = tensor.to(device=self._device, dtype=self._dtype, copy=tensor.device == self._device)
                placed[name] = owned.contiguous()
            self._seen.add(name)
        self._model.load_state_dict(placed, strict=False, assign=True)

    def finish(self, folder: Path) -> None:
        missing = tuple(sorted(self._wanted.keys() - self._seen))
        problems = [
            _listing("missing", missing),
            _listing("not this model's", self._unexpected),
            _listing("of another shape", self._misshapen),
            _listing("there twice", self._twice),
        ]
        if any(problems):
            message = f"the checkpoint in {folder} does not fit its configuration; " + "; ".join(filter(None, problems))
            raise CheckpointError(message, missing, tuple(self._unexpected), tuple(self._misshapen))


def _listing(what: str, names: list[str] | tuple[str, ...]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} {what}: {', '.join(names[:_LISTED])}{more}"
