"""From a checkpoint to its family's engine; the family's module, and transformers with it, is imported only then."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from inference.adapters.loading import find_checkpoint, find_place
from inference.pool.core import StepEngine
from inference.pool.interface import EngineStartError

ENGINES: dict[str, tuple[str, str]] = {
    "nemotron_asr_streaming": ("inference.adapters.nemotron", "NemotronEngine"),
    "qwen2_audio": ("inference.adapters.qwen2_audio", "Qwen2AudioEngine"),
    "qwen3_asr": ("inference.adapters.qwen3_asr", "Qwen3AsrEngine"),
    "voxtral_realtime": ("inference.adapters.voxtral", "VoxtralEngine"),
}
"""model_type -> module and class."""


def build_adapter(model: str, device: str, threads: int | None = None, precision: str = "auto") -> StepEngine:
    """An `inference.pool.core.EngineBuilder` for the families that run by transformers' code.

    Args:
        model: a folder or a hub name; `model_type` in its config.json says which family it is.
        device: auto, cpu, cuda or cuda:N.
        threads: CPU threads of a step; None leaves a core to the gateway.
        precision: auto, float32 or bfloat16.

    Raises:
        EngineStartError: what is asked for is not to be had; one sentence with the remedy.
    """
    checkpoint = find_checkpoint(model)
    if checkpoint.model_type not in ENGINES:
        raise EngineStartError(
            f"{model} holds a {checkpoint.model_type or 'nameless'!r} model; the adapters run "
            f"{', '.join(sorted(ENGINES))}: choose one of these, `tympan models` says more."
        )
    place = find_place(device, threads, precision)
    module, name = ENGINES[checkpoint.model_type]
    try:
        engine_class: Any = getattr(import_module(module), name)
        engine: StepEngine = engine_class(checkpoint, place)
    except EngineStartError:
        raise
    except ImportError as error:
        raise EngineStartError(
            f"{model} needs a transformers that has {checkpoint.model_type} ({error}): install 5.23 or newer."
        ) from error
    except Exception as error:
        raise EngineStartError(
            f"{model} could not be made an engine ({type(error).__name__}: {error}): get the whole checkpoint again."
        ) from error
    return engine
