"""`POST /v1/audio/transcriptions` and `/translations`: what is asked, and the answers as JSON and as events."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from streaming.protocol.dialects.openai.languages import language_name
from streaming.protocol.dialects.parameters import Parameters
from streaming.protocol.dialects.payloads import json_text
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Start, Task, TaskName, Transcript, Word
from streaming.protocol.words import plain_text

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]
FORMATS: Final[tuple[ResponseFormat, ...]] = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES: Final = ("word", "segment")
_LANGUAGE: Final = re.compile(r"(?P<language>[a-z]{2,3})(-[a-z0-9]+)*", re.IGNORECASE)
_LEAST_CONFIDENCE: Final = 1e-6


class FileRequest(msgspec.Struct, frozen=True, kw_only=True):
    start: Start
    """But for its channels."""
    response_format: ResponseFormat
    stream: bool
    words: bool
    segments: bool


def read_fields(fields: Iterable[tuple[str, str]], task: Literal["transcribe", "translate"]) -> FileRequest:
    """Names of lists come with and without brackets. Raises ProtocolError (`unsupported`): it names the field."""
    parameters = Parameters((name.removesuffix("[]"), value) for name, value in fields)
    chosen = parameters.one_of("response_format", FORMATS) or "json"
    granularities = parameters.every("timestamp_granularities") or ["segment"]
    if not set(granularities) <= set(GRANULARITIES):
        raise ProtocolError("unsupported", f"timestamp_granularities: must be some of {', '.join(GRANULARITIES)}")
    stream = parameters.flag("stream")
    if stream and chosen not in ("json", "text"):
        raise ProtocolError("unsupported", "stream: needs response_format json or text")
    return FileRequest(
        start=Start(task=_task(parameters, task), interim="off", events=False),
        response_format=chosen,  # type: ignore[arg-type]
        stream=stream,
        words="word" in granularities,
        segments="segment" in granularities,
    )


def _task(parameters: Parameters, name: TaskName) -> Task:
    text = parameters.text("language")
    if text is None:
        return Task(name=name)
    if not (match := _LANGUAGE.fullmatch(text)):
        raise ProtocolError("unsupported", "language: must be a tag such as en or en-US")
    return Task(name=name, language=match["language"].lower())


def whole_text(finals: Iterable[Transcript]) -> str:
    texts = (plain_text(final.words) for final in finals)
    return " ".join(text for text in texts if text)


def brief(finals: Sequence[Transcript], audio_s: float) -> dict[str, object]:
    """`json`"""
    return {"text": whole_text(finals), "usage": _usage(audio_s)}


def verbose(finals: Sequence[Transcript], audio_s: float, request: FileRequest) -> dict[str, object]:
    """`verbose_json`: each utterance is a segment. Whisper's figures are told where there is something like them."""
    spoken = [final for final in finals if final.words]
    task = request.start.task
    assert isinstance(task, Task)
    language = next((final.language for final in spoken if final.language), task.language)
    body: dict[str, object] = {
        "task": task.name,
        "language": language_name(language),
        "duration": audio_s,
        "text": whole_text(spoken),
        "usage": _usage(audio_s),
    }
    if request.segments:
        body["segments"] = [_segment(place, final.words) for place, final in enumerate(spoken)]
    if request.words:
        body["words"] = [_word(word) for final in spoken for word in final.words]
    return body


def delta_event(final: Transcript, first: bool) -> dict[str, object]:
    """The deltas add up to the text."""
    return {"type": "transcript.text.delta", "delta": ("" if first else " ") + plain_text(final.words)}


def done_event(finals: Sequence[Transcript], audio_s: float) -> dict[str, object]:
    return {"type": "transcript.text.done", "text": whole_text(finals), "usage": _usage(audio_s)}


def event_stream_data(body: dict[str, object]) -> str:
    return f"data: {json_text(body)}\n\n"


def _segment(place: int, words: Sequence[Word]) -> dict[str, object]:
    text = " " + plain_text(words)
    logs = [math.log(max(word.confidence, _LEAST_CONFIDENCE)) for word in words]
    data = text.encode()
    return {
        "id": place,
        "seek": words[0].start_ms // 10,
        "start": words[0].start_ms / 1000,
        "end": words[-1].end_ms / 1000,
        "text": text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(sum(logs) / len(logs), 4),
        "compression_ratio": round(len(data) / len(zlib.compress(data)), 4),
        "no_speech_prob": 0.0,
    }


def _word(word: Word) -> dict[str, object]:
    return {"word": word.text, "start": word.start_ms / 1000, "end": word.end_ms / 1000}


def _usage(audio_s: float) -> dict[str, object]:
    return {"type": "duration", "seconds": math.ceil(audio_s)}
