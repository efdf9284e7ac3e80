"""`POST /v1/listen`: the answer to a recording."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from msgspec import UNSET

from streaming.protocol.dialects.deepgram.request import Listen
from streaming.protocol.dialects.deepgram.shapes import (
    MODELS,
    Alternative,
    alternative,
    audio_event,
    model_shape,
    model_uuid,
    seconds,
    timestamp,
)
from streaming.protocol.messages import Event, ModelInfo, Transcript, Word
from streaming.protocol.words import plain_text

_SENTENCE_END: Final = (".", "?", "!", "\u2026", "\u3002", "\uff01", "\uff1f")
"""With … 。 and the full-width ! and ?."""


def answer(
    listen: Listen,
    finals: Sequence[Transcript],
    events: Sequence[Event],
    *,
    request_id: str,
    sha256: str,
    unix_s: float,
    audio_ms: int,
    channels: int,
    model: ModelInfo,
) -> dict[str, object]:
    """
    Args:
        finals: of all channels, in the order in which they came.
        sha256: of the body, in hex.
    """
    spoken = [final for final in finals if final.words]
    results: dict[str, object] = {
        "channels": [_channel(listen, channel, spoken, events) for channel in range(channels)]
    }
    if listen.utterances:
        results["utterances"] = [_utterance(listen, final, request_id) for final in spoken]
    return {
        "metadata": {
            "transaction_key": "deprecated",
            "request_id": request_id,
            "sha256": sha256,
            "created": timestamp(unix_s),
            "duration": seconds(audio_ms),
            "channels": channels,
            "models": [model_uuid(model)],
            "model_info": {model_uuid(model): model_shape(model)},
        },
        "results": results,
    }


def _channel(listen: Listen, channel: int, spoken: Sequence[Transcript], events: Sequence[Event]) -> dict[str, object]:
    own = [final for final in spoken if final.channel == channel]
    words = [word for final in own for word in final.words]
    language = next((final.language for final in own if final.language), None)
    heard = _alternative(listen, words, None)
    body: dict[str, object] = {"alternatives": [heard]}
    if listen.paragraphs:
        body["alternatives"] = [_with_paragraphs(heard, own)]
    if listen.languages and language is not None:
        body |= {"detected_language": language, "language_confidence": 1.0}
    if listen.audio_events:
        body["audio_events"] = [audio_event(event) for event in events if event.channel == channel]
    return body


def _utterance(listen: Listen, final: Transcript, request_id: str) -> dict[str, object]:
    heard = _alternative(listen, final.words, None)
    return {
        "start": seconds(final.words[0].start_ms),
        "end": seconds(final.words[-1].end_ms),
        "confidence": heard.confidence,
        "channel": final.channel,
        "transcript": heard.transcript,
        "words": heard.words,
        "id": str(uuid.uuid5(MODELS, f"{request_id}/{final.utterance}")),
    }


def _alternative(listen: Listen, words: Sequence[Word], language: str | None) -> Alternative:
    return alternative(words, punctuate=listen.punctuate, language=language)


def _with_paragraphs(heard: Alternative, finals: Sequence[Transcript]) -> dict[str, object]:
    """Each utterance is a paragraph."""
    paragraphs = [
        {
            "sentences": [
                {"text": plain_text(words), "start": seconds(words[0].start_ms), "end": seconds(words[-1].end_ms)}
                for words in _sentences(final.words)
            ],
            "num_words": len(final.words),
            "start": seconds(final.words[0].start_ms),
            "end": seconds(final.words[-1].end_ms),
        }
        for final in finals
    ]
    text = "\n\n".join(plain_text(final.words) for final in finals)
    fields = {name: value for name in heard.__struct_fields__ if (value := getattr(heard, name)) is not UNSET}
    return {**fields, "paragraphs": {"transcript": f"\n{text}", "paragraphs": paragraphs}}


def _sentences(words: Sequence[Word]) -> list[list[Word]]:
    sentences: list[list[Word]] = [[]]
    for word in words:
        sentences[-1].append(word)
        if word.text.endswith(_SENTENCE_END):
            sentences.append([])
    return [sentence for sentence in sentences if sentence]
