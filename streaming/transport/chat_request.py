"""The body of a chat request: OpenAI's fields, as a question about a session. Pure."""

from __future__ import annotations

import base64
import binascii
import io
import wave
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from streaming.audio.resampler import StreamingResampler
from streaming.protocol.messages import Ask, ChatMessage
from streaming.session.questions import MAX_TEXT_CHARS, Clip

_BYTES_PER_SAMPLE = 2


class BadRequest(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class _Text(msgspec.Struct, tag_field="type", tag="text"):
    text: str


class _AudioData(msgspec.Struct):
    data: str
    format: Literal["wav"] = "wav"


class _Audio(msgspec.Struct, tag_field="type", tag="input_audio"):
    input_audio: _AudioData


class _Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Text | _Audio]


class _Request(msgspec.Struct):
    """What OpenAI has beside these is ignored."""

    messages: Annotated[list[_Message], Meta(min_length=1, max_length=64)]
    stream: bool = False
    max_tokens: Annotated[int, Meta(ge=1, le=1024)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1, le=1024)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**32)] | None = None
    last_s: Annotated[float, Meta(gt=0, le=3600)] | None = None
    """Our own: of the newest audio; None: the session as far as it is kept."""


_decoder = msgspec.json.Decoder(_Request)


@dataclass(frozen=True, slots=True)
class Wanted:
    ask: Ask
    clips: tuple[Clip, ...]
    """The asker's own."""
    stream: bool


def read_request(body: bytes) -> Wanted:
    """Raises BadRequest."""
    try:
        request = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadRequest(400, "bad_request", f"not a chat request: {error}") from None
    texts = [_text(message) for message in request.messages]
    if sum(map(len, texts)) > MAX_TEXT_CHARS:
        raise BadRequest(413, "too_large", f"the messages may have at most {MAX_TEXT_CHARS} characters together")
    messages = [
        ChatMessage(role="system" if message.role == "developer" else message.role, content=text)
        for message, text in zip(request.messages, texts, strict=True)
    ]
    clips = tuple(_clip(part.input_audio.data) for message in request.messages for part in _parts(message))
    ask = Ask(
        id="",
        messages=messages,
        last_s=request.last_s,
        max_tokens=request.max_completion_tokens or request.max_tokens or 256,
        temperature=request.temperature or 0.0,
        top_p=1.0 if request.top_p is None else request.top_p,
        seed=request.seed or 0,
    )
    return Wanted(ask, clips, request.stream)


def _text(message: _Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if isinstance(part, _Text))


def _parts(message: _Message) -> list[_Audio]:
    """Its clips. Raises BadRequest where another than the user brings some."""
    if isinstance(message.content, str):
        return []
    parts = [part for part in message.content if isinstance(part, _Audio)]
    if parts and message.role != "user":
        raise BadRequest(400, "bad_request", "only messages of the user may have audio")
    return parts


def _clip(data: str) -> Clip:
    """A WAV file in base64 as mono at 16 kHz. Raises BadRequest."""
    try:
        with wave.open(io.BytesIO(base64.b64decode(data, validate=True))) as file:
            rate, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
            pcm = file.readframes(file.getnframes())
        if width != _BYTES_PER_SAMPLE:
            raise BadRequest(400, "bad_audio", f"input_audio: 16 bits a sample are needed, not {8 * width}")
        samples = np.frombuffer(pcm[: len(pcm) // (width * channels) * width * channels], "<i2")
        mono = samples.reshape(-1, channels).astype(np.float32).mean(axis=1) / 32768.0
        resampler = StreamingResampler(rate)
        heard = np.concatenate([resampler.feed(mono.astype(np.float32)), resampler.flush()])
    except (binascii.Error, wave.Error, EOFError, ValueError) as error:
        raise BadRequest(
            400, "bad_audio", f"input_audio: a WAV file of 16-bit PCM in base64 is needed ({error})"
        ) from None
    if not len(heard):
        raise BadRequest(400, "bad_audio", "input_audio: the clip is empty")
    return Clip(heard.astype("<i2").tobytes(), own=True)
