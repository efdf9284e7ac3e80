"""Wyoming, by TCP, as Home Assistant speaks it: events of a line of JSON, more JSON, and bytes. One event is one
message here.

One connection is one session, from the first `audio-start` or `audio-chunk` to `audio-stop`; then come the whole
`transcript` and the end. What is final before goes ahead in `transcript-chunk`s, which put together are the transcript.
Events that are not known are dropped, as Wyoming asks of every peer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from streaming.protocol.dialect import Close, Encoded, Handshake, Outcome, Payload, RawFormat, Reply, Source
from streaming.protocol.dialects.idle import LeftWhenIdle
from streaming.protocol.dialects.samples import SampleClock, format_of
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import (
    AudioFormat,
    Error,
    ServerMessage,
    Speech,
    Start,
    Stop,
    Summary,
    Task,
    Transcript,
)

VERSION: Final = "1.10.2"
"""Of the wyoming package, whose events these are."""
MAX_TEXT: Final = 1 << 20
"""Characters of a transcript: days of speech."""
PROJECT: Final = {"name": "Tympan", "url": ""}
_WIDTHS: Final[Mapping[int, RawFormat]] = {2: "s16le", 4: "s32le"}


class _Header(msgspec.Struct):
    type: str
    data: dict[str, Any] | None = None
    data_length: int | None = None
    payload_length: int | None = None


class _Format(msgspec.Struct, frozen=True):
    rate: int
    width: int
    channels: int


class _Transcribe(msgspec.Struct):
    language: str | None = None


_header: Final = msgspec.json.Decoder(_Header)
_Kind = TypeVar("_Kind")


def event(kind: str, data: Mapping[str, object] | None = None) -> bytes:
    """As bytes of the wire."""
    body = msgspec.json.encode(data) if data else b""
    header = {"type": kind, "version": VERSION} | ({"data_length": len(body)} if body else {})
    return msgspec.json.encode(header) + b"\n" + body


def rest_bytes(header: bytes, limit: int) -> int:
    """How many bytes follow the line of a header; 0 where it is damaged or they are more than `limit`, which `receive`
    then says."""
    try:
        lengths = _lengths(_header.decode(header))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return 0
    return sum(lengths) if min(lengths) >= 0 and sum(lengths) <= limit else 0


class Wyoming(LeftWhenIdle):
    start: Start | None = None

    def __init__(self, handshake: Handshake, model: str, languages: Sequence[str]) -> None:
        """`languages`: ISO 639-1, that the model knows."""
        super().__init__(handshake)
        self.source: Source | None = None
        self._model = model
        self._languages = languages
        self._max_message_bytes = handshake.max_message_bytes
        self._language: str | None = None
        """That was asked for."""
        self._format: _Format | None = None
        """None: the session has not begun."""
        self._clock = SampleClock(AudioFormat())
        self._text = ""
        self._heard_language: str | None = None
        self._streaming = False

    def opened(self, now: float) -> list[Outcome]:
        return []

    # -- from the client --------------------------------------------------------------------------------------------

    def receive(self, payload: Payload, now: float) -> list[Outcome]:
        """One whole event."""
        if self._closing:
            return []
        self._last_heard = now
        kind, data, content = self._parsed(payload)
        match kind:
            case "describe":
                return [Reply(event("info", self._info()))]
            case "ping":
                return [Reply(event("pong", {"text": data.get("text")}))]
            case "transcribe":
                self._transcribe(data)
            case "audio-start":
                return self._begin(data)
            case "audio-chunk":
                return self._audio(data, content)
            case "audio-stop":
                begun = self._begin({"rate": 16_000, "width": 2, "channels": 1}) if self._format is None else []
                self._closing = True
                return [*begun, Stop()]
        return []

    def _parsed(self, payload: Payload) -> tuple[str, dict[str, Any], bytes]:
        if isinstance(payload, str):
            raise ProtocolError("bad_message", "not an event")
        line, _, rest = payload.partition(b"\n")
        try:
            header = _header.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise ProtocolError("bad_message", "an event begins with a line of JSON that has a type") from None
        data_bytes, content_bytes = _lengths(header)
        if data_bytes < 0 or content_bytes < 0:
            raise ProtocolError("bad_message", "data_length and payload_length: must be 0 or more")
        if data_bytes + content_bytes > self._max_message_bytes:
            raise ProtocolError("too_large", f"an event may have at most {self._max_message_bytes} bytes")
        if len(rest) != data_bytes + content_bytes:
            raise ProtocolError("bad_message", "data_length and payload_length are not what follows")
        data = dict(header.data or {})
        if data_bytes:
            data |= _converted(rest[:data_bytes], dict[str, Any], "data")
        return header.type, data, rest[data_bytes:]

    def _transcribe(self, data: dict[str, Any]) -> None:
        language = _converted(data, _Transcribe, "transcribe").language
        if self._format is None:
            self._language = language.partition("-")[0].lower() if language else None

    def _begin(self, data: dict[str, Any]) -> list[Outcome]:
        asked = _converted(data, _Format, "audio")
        if asked == self._format:
            return []
        if self._format is not None:
            raise ProtocolError("bad_audio", "rate, width and channels cannot change once audio was sent")
        if asked.width not in _WIDTHS or not 1 <= asked.channels <= 32 or not 1000 <= asked.rate <= 384_000:
            raise ProtocolError("unsupported", "width: 2 or 4; channels: 1 to 32; rate: 1000 to 384000")
        if asked.width == 2 and asked.channels == 1:
            audio, self.source = format_of("s16le", asked.rate)
        else:
            audio = AudioFormat()
            self.source = Source(raw=_WIDTHS[asked.width], sample_rate=asked.rate, input_channels=asked.channels)
        try:
            task = msgspec.convert({"name": "transcribe", "language": self._language}, Task)
        except msgspec.ValidationError:
            raise ProtocolError("unsupported", f"language: {self._language!r} is not ISO 639-1") from None
        self._format, self._clock = asked, SampleClock(audio)
        return [Start(audio=audio, task=task, events=False)]

    def _audio(self, data: dict[str, Any], content: bytes) -> list[Outcome]:
        begun = self._begin(data)
        if self.source is None:
            return [*begun, *self._clock.take(content)]
        return [*begun, Encoded(content)] if content else begun

    # -- from the session -------------------------------------------------------------------------------------------

    def say(self, message: ServerMessage) -> list[Payload]:
        match message:
            case Speech():
                return [event(f"voice-{_ENDS[message.state]}", {"timestamp": message.at_ms})]
            case Transcript(final=True, text=str(text)) if text:
                self._heard_language = message.language or self._heard_language
                return self._chunk(text)
            case Summary():
                ends = [event("transcript-stop")] if self._streaming else []
                return [*ends, event("transcript", {"text": self._text, **self._spoken()})]
            case Error(fatal=True):
                return [event("error", {"text": message.message, "code": message.code})]
        return []

    def _chunk(self, text: str) -> list[Payload]:
        begins = [] if self._streaming else [event("transcript-start", self._spoken())]
        piece = f" {text}" if self._streaming else text
        self._streaming = True
        self._text += piece
        if len(self._text) > MAX_TEXT:
            raise ProtocolError("too_large", f"a transcript has at most {MAX_TEXT} characters; end it by audio-stop")
        return [*begins, event("transcript-chunk", {"text": piece})]

    def _spoken(self) -> dict[str, str]:
        return {"language": self._heard_language} if self._heard_language else {}

    def goodbye(self, code: int, reason: str) -> Close:
        return Close(code, reason)

    def _info(self) -> dict[str, object]:
        known = {"attribution": PROJECT, "installed": True, "version": None}
        model = {"name": self._model, "description": self._model, "languages": list(self._languages), **known}
        program = {
            "name": "tympan",
            "description": "Tympan, live captions",
            "models": [model],
            "supports_transcript_streaming": True,
            "requires_external_vad": True,
            **known,
        }
        others: dict[str, object] = dict.fromkeys(("tts", "handle", "intent", "wake", "mic", "snd"), ())
        return {"asr": [program], **others, "satellite": None}


_ENDS: Final = {"started": "started", "ended": "stopped"}


def _lengths(header: _Header) -> tuple[int, int]:
    return header.data_length or 0, header.payload_length or 0


def _converted(value: bytes | dict[str, Any], kind: type[_Kind], what: str) -> _Kind:
    try:
        return msgspec.json.decode(value, type=kind) if isinstance(value, bytes) else msgspec.convert(value, kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolError("bad_message", f"{what}: {error}") from None
