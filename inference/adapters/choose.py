"""Which family a model is of, and its engine. Torch and a family's code are imported only where they are needed."""

from __future__ import annotations

import json
from pathlib import Path

from inference.adapters.families import FAMILIES
from inference.pool.core import StepEngine
from inference.pool.interface import EngineStartError
from inference.qwen_audio.config import MODEL_TYPE as QWEN_AUDIO

WHISPER = "whisper"


def model_type_of(model: str) -> str:
    """What a checkpoint's config.json says of itself; empty where there is none, or where it says nothing.

    A name with one slash that is no folder is one of the hub, from which config.json is loaded; the hub is asked for
    no other.
    """
    folder = Path(model).expanduser()
    file: Path | None = folder / "config.json"
    if not folder.is_dir():
        file = _config_of_hub(model) if model.count("/") == 1 and not model.startswith((".", "/", "~")) else None
    if file is None:
        return ""
    try:
        return str(json.loads(file.read_text("utf-8")).get("model_type", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def build_engine(
    model: str, device: str, threads: int | None = None, precision: str = "auto", tagger: str = "builtin"
) -> StepEngine:
    """An `inference.pool.core.EngineBuilder` for the models of all families. The tagger is of Whispers: it hears what
    their encoder's passes hold.

    What does not say of which family it is is taken for a Whisper: its loader knows more forms, and says what is wrong
    with a name.

    Raises:
        EngineStartError: what is asked for is not to be had; one sentence with the remedy.
    """
    model_type = model_type_of(model)
    known = {family.model_type for family in FAMILIES}
    if model_type == QWEN_AUDIO:
        from inference.qwen_audio.build import build_qwen_audio

        return build_qwen_audio(model, device, threads, precision)
    if model_type in {family.model_type for family in FAMILIES if family.code == "transformers"}:
        from inference.adapters.build import build_adapter

        return build_adapter(model, device, threads, precision)
    if model_type not in ("", WHISPER):
        raise EngineStartError(
            f"{model} holds a {model_type!r} model; Tympan runs {', '.join(sorted(known))}: "
            "choose one of these, `tympan models` says more."
        )
    from inference.engine import engine as whisper
    from inference.engine.settings import EngineSettings

    return whisper.build_engine(model, device, EngineSettings(threads=threads, precision=precision, tagger=tagger))


def _config_of_hub(name: str) -> Path | None:
    """None where it cannot be had: the loader will say so."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, "config.json"))
    except Exception:  # noqa: BLE001 (the hub's library has many)
        return None
