"""The messages of `/v1/listen` that both of its forms have parts of, and how words become them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from streaming.protocol.dialects.spelling import bare_words
from streaming.protocol.messages import Event, ModelInfo, Word
from streaming.protocol.words import plain_text

MODELS: Final = uuid.UUID("5f0f3f5e-6d5e-5c53-9c3b-6a6a3d9f7d10")
"""The name space of model ids, which have to be UUIDs."""


class WordShape(msgspec.Struct, kw_only=True):
    word: str
    start: float
    end: float
    confidence: float
    punctuated_word: str | UnsetType = UNSET
    language: str | UnsetType = UNSET


class Alternative(msgspec.Struct, kw_only=True):
    transcript: str
    confidence: float
    words: list[WordShape]
    languages: list[str] | UnsetType = UNSET


class AudioEvent(msgspec.Struct, kw_only=True):
    label: str
    start: float
    end: float | None
    score: float | None
    phase: str
    source: str


class ModelShape(msgspec.Struct, kw_only=True):
    name: str
    version: str
    arch: str


def alternative(words: Sequence[Word], *, punctuate: bool, language: str | None) -> Alternative:
    """
    Args:
        punctuate: as the model writes; else words in lower case without punctuation.
        language: where languages are asked for.
    """
    bare = bare_words(words)
    shapes = [
        WordShape(
            word=spelt.text,
            start=seconds(spelt.word.start_ms),
            end=seconds(spelt.word.end_ms),
            confidence=spelt.word.confidence,
            punctuated_word=spelt.word.text if punctuate else UNSET,
            language=language or UNSET,
        )
        for spelt in bare
    ]
    confidence = sum(shape.confidence for shape in shapes) / len(shapes) if shapes else 0.0
    return Alternative(
        transcript=plain_text(words if punctuate else bare),
        confidence=round(confidence, 4),
        words=shapes,
        languages=[language] if language else UNSET,
    )


def audio_event(event: Event) -> AudioEvent:
    return AudioEvent(
        label=event.label,
        start=seconds(event.start_ms),
        end=None if event.end_ms is None else seconds(event.end_ms),
        score=event.score,
        phase=event.phase,
        source=event.source,
    )


def model_shape(model: ModelInfo) -> ModelShape:
    return ModelShape(name=model.name, version=model.dtype, arch="tympan")


def model_uuid(model: ModelInfo) -> str:
    return str(uuid.uuid5(MODELS, model.name))


def seconds(ms: int) -> float:
    return ms / 1000


def timestamp(unix_s: float) -> str:
    """Such as 2024-08-29T22:37:55.202Z."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
