"""What the model's side of this machine offers, as JSON: `python -m inference.engine.probe [--model NAME | --list]`.

The gateway does not import torch; `tympan doctor` and `tympan models` run this in a process of its own.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from inference.adapters.choose import WHISPER, model_type_of
from inference.adapters.families import FAMILIES
from inference.engine.device import choose_device, cpu_flags
from inference.engine.precision import fastest, time_precisions
from inference.pool.interface import EngineStartError
from inference.qwen_audio.config import MODEL_TYPE as QWEN_AUDIO
from inference.whisper.weights import BUNDLED, WeightsError, WhisperWeights, bundled_folder, load_weights

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16")
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

_KNOWN = frozenset(family.model_type for family in FAMILIES)


@dataclass(frozen=True)
class FoundModel:
    name: str
    """As `--model` takes it."""
    kind: str
    where: str
    bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--model", metavar="NAME", help="load these weights and say what they are")
    choice.add_argument("--list", action="store_true", help="say which models are at hand")
    args = parser.parse_args()
    print(json.dumps({"models": [asdict(found) for found in at_hand()]} if args.list else report(args.model)))


def report(model: str) -> dict[str, Any]:
    """The machine, and either `weights` or, where they cannot be loaded, `problem`."""
    auto = choose_device("auto")
    torch.set_num_threads(1)  # as a worker has
    timings = time_precisions(auto)
    machine = {
        "torch": torch.__version__,
        "cpu_features": [name for name in FEATURES if name in cpu_flags()],
        "cuda": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "device": str(auto),
        "precision": fastest(timings),
        "precision_us": {name: round(us) for name, us in timings.items()},
    }
    try:
        return {**machine, "weights": weights_of(model)}
    except (WeightsError, EngineStartError) as error:
        return {**machine, "problem": str(error)}


def weights_of(model: str) -> dict[str, Any]:
    """Raises WeightsError, EngineStartError."""
    if model_type_of(model) in ("", WHISPER):
        return describe(load_weights(model))
    from inference.adapters.describe import describe_checkpoint

    return describe_checkpoint(model)


def describe(weights: WhisperWeights) -> dict[str, Any]:
    distinct = {tensor.data_ptr(): tensor.numel() for tensor in weights.state.values()}  # tied ones count once
    return {
        "name": weights.name,
        "source": weights.source,
        "parameters": sum(distinct.values()),
        "languages": len(weights.vocabulary.languages) or 1,
        "family": "Whisper",
    }


def at_hand() -> list[FoundModel]:
    """The bundled model, and checkpoints in the hub's cache whose files are there; none is loaded."""
    found = []
    try:
        file = bundled_folder() / "model.bin"
        found.append(FoundModel(BUNDLED, "bundled", str(file.parent), file.stat().st_size))
    except (WeightsError, OSError):
        pass
    return found + in_hub_cache()


def in_hub_cache() -> list[FoundModel]:
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = sorted(scan_cache_dir(constants.HF_HUB_CACHE).repos, key=lambda repo: repo.repo_id)
    except (CacheNotFound, OSError):
        return []
    return [
        FoundModel(repo.repo_id, "hub cache", str(revision.snapshot_path), revision.size_on_disk)
        for repo in repos
        for revision in repo.revisions
        if repo.repo_type == "model" and _is_known(revision.snapshot_path)
    ]


def _is_known(folder: Path) -> bool:
    if not any((folder / name).exists() for name in WEIGHT_FILES):
        return False
    try:
        told = json.loads((folder / "config.json").read_text("utf-8"))
        # Qwen's models of text have the type of Qwen-Audio.
        return told.get("model_type") in _KNOWN and (told["model_type"] != QWEN_AUDIO or "audio" in told)
    except (OSError, ValueError, AttributeError):
        return False


if __name__ == "__main__":
    main()
