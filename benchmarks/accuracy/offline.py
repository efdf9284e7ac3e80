"""The reference: whole clips over full 30 s windows, the same weights, transformers' own Whisper, fp32, greedy.

Clips up to 30 s are decoded in batches without timestamps; longer ones by transformers' sequential long-form decoding
(windows that advance by the timestamps). Tokens that the checkpoint's generation settings suppress are suppressed, as
in every offline Whisper. No voice activity detection, no fallback, no prompt. Hypotheses are kept in the user's cache
folder under the hash of each clip's audio, so that lists which share clips share the work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import platformdirs
import torch
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.utils import logging

from benchmarks.accuracy.clips import MODEL_RATE, Clip, fingerprint, model_input
from inference.whisper.weights import BUNDLED, WhisperWeights, bundled_folder, load_weights

WINDOW_S = 30
BATCH = 8
MAX_TOKENS = 224  # half the decoder's positions, as in Whisper's own decoding
MAX_INITIAL_TIMESTAMP = 50  # 1 s in steps of 20 ms, as in every checkpoint's generation settings
CACHE_VERSION = 1


class OfflineReference:
    """Decodes clips offline; loads the model at the first clip that the cache lacks."""

    def __init__(self, model: str, cache_folder: Path | None = None) -> None:
        self._model_name = model
        folder = cache_folder or Path(platformdirs.user_cache_dir("tympan")) / "benchmarks"
        name = re.sub(r"[^\w.-]+", "-", model)
        self._cache_file = folder / f"offline-{name}-v{CACHE_VERSION}.json"
        self._texts = _read(self._cache_file)
        self._decoder: _Decoder | None = None

    def transcribe(self, clips: Sequence[Clip], done: Callable[[int], None]) -> list[str]:
        """The hypothesis of each clip, in order; `done` hears how many more clips are decoded.

        Raises:
            WeightsError: the model's weights cannot be loaded.
        """
        keys = [fingerprint(clip) for clip in clips]
        todo = {key: clip for key, clip in zip(keys, clips, strict=True) if key not in self._texts}
        done(len(clips) - len(todo))
        for batch in _batches(sorted(todo.items(), key=lambda item: item[1].seconds)):
            self._decoder = self._decoder or _Decoder(load_weights(self._model_name))
            texts = self._decoder.decode([clip for _, clip in batch])
            self._texts |= {key: text for (key, _), text in zip(batch, texts, strict=True)}
            _write(self._cache_file, self._texts)
            done(len(batch))
        return [self._texts[key] for key in keys]


class _Decoder:
    def __init__(self, weights: WhisperWeights) -> None:
        self._weights = weights
        self._features: Any = WhisperFeatureExtractor(feature_size=weights.config.mel_bins)
        self._model = _transformers_model(weights)
        logging.set_verbosity_error()  # a progress bar is on the terminal

    def decode(self, clips: Sequence[Clip]) -> list[str]:
        """All clips up to WINDOW_S, or a single longer one."""
        long = clips[0].seconds > WINDOW_S
        features = self._features(
            [model_input(clip) for clip in clips],
            sampling_rate=MODEL_RATE,
            return_tensors="pt",
            return_attention_mask=True,
            **({"truncation": False, "padding": "longest"} if long else {}),
        )
        with torch.inference_mode():
            tokens = self._model.generate(
                features.input_features,
                attention_mask=features.attention_mask,
                return_timestamps=long,
                condition_on_prev_tokens=False,
                do_sample=False,
                num_beams=1,
                **({"language": "en", "task": "transcribe"} if self._weights.vocabulary.languages else {}),
            )
        return [self._text(row) for row in tokens.tolist()]

    def _text(self, tokens: list[int]) -> str:
        special = self._weights.vocabulary
        first_special = min(special.start_of_transcript, special.end_of_text)
        return self._weights.tokenizer.decode([token for token in tokens if token < first_special]).strip()


def _transformers_model(weights: WhisperWeights) -> Any:
    shape, words = weights.config, weights.vocabulary
    config = WhisperConfig(
        vocab_size=shape.vocab_size,
        d_model=shape.d_model,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        encoder_attention_heads=shape.heads,
        decoder_attention_heads=shape.heads,
        encoder_ffn_dim=weights.state["model.encoder.layers.0.fc1.weight"].shape[0],
        decoder_ffn_dim=weights.state["model.decoder.layers.0.fc1.weight"].shape[0],
        num_mel_bins=shape.mel_bins,
        max_source_positions=shape.audio_positions,
        max_target_positions=shape.text_positions,
        decoder_start_token_id=words.start_of_transcript,
        eos_token_id=words.end_of_text,
        pad_token_id=words.end_of_text,
        bos_token_id=words.end_of_text,
    )
    model = WhisperForConditionalGeneration(config)
    model.load_state_dict(weights.state)
    # transformers asks a model whose settings list languages which one it hears, so an English-only one lists none
    multilingual = {
        "lang_to_id": {f"<|{code}|>": token for code, token in words.languages.items()},
        "task_to_id": {"transcribe": words.transcribe, "translate": words.translate},
    }
    model.generation_config = GenerationConfig(
        decoder_start_token_id=words.start_of_transcript,
        eos_token_id=words.end_of_text,
        pad_token_id=words.end_of_text,
        bos_token_id=words.end_of_text,
        suppress_tokens=_suppressed(weights),
        begin_suppress_tokens=list(words.suppress_first),
        no_timestamps_token_id=words.no_timestamps,
        prev_sot_token_id=words.start_of_previous,
        max_initial_timestamp_index=MAX_INITIAL_TIMESTAMP,
        max_length=MAX_TOKENS,
        return_timestamps=False,
        is_multilingual=bool(words.languages),
        **(multilingual if words.languages else {}),
    )
    return model.eval()


def _suppressed(weights: WhisperWeights) -> list[int]:
    """The tokens that the checkpoint's own generation settings never decode: symbols, annotations, special tokens."""
    if weights.name == BUNDLED:
        return [int(token) for token in json.loads((bundled_folder() / "config.json").read_text())["suppress_ids"]]
    return list(GenerationConfig.from_pretrained(weights.source).suppress_tokens or ())


def _batches(items: Sequence[tuple[str, Clip]]) -> list[list[tuple[str, Clip]]]:
    """Up to BATCH clips of at most WINDOW_S each, longer clips alone."""
    short = [item for item in items if item[1].seconds <= WINDOW_S]
    batches = [list(short[at : at + BATCH]) for at in range(0, len(short), BATCH)]
    return batches + [[item] for item in items if item[1].seconds > WINDOW_S]


def _read(cache_file: Path) -> dict[str, str]:
    try:
        held = json.loads(cache_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _write(cache_file: Path, texts: dict[str, str]) -> None:
    cache_file.parent.mkdir(parents=True, exist_ok=True)
    part = cache_file.with_suffix(".part")
    part.write_text(json.dumps(texts, ensure_ascii=False, indent=0), encoding="utf-8")
    part.replace(cache_file)
