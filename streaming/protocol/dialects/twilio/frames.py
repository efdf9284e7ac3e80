"""Messages of media streams as one set of records: Twilio's and SignalWire's in camel case, Telnyx' in snake case."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final, get_args

import msgspec

from streaming.protocol.dialects.telephony import MAX_ID_CHARS, kept_parameters
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import AudioFormat, Encoding, SampleRate

ENCODINGS: Final[dict[str, Encoding]] = {
    "audio/x-mulaw": "mulaw",
    "audio/mulaw": "mulaw",
    "mulaw": "mulaw",
    "pcmu": "mulaw",
    "audio/x-alaw": "alaw",
    "audio/alaw": "alaw",
    "alaw": "alaw",
    "pcma": "alaw",
    "audio/x-l16": "s16le",
    "audio/l16": "s16le",
    "l16": "s16le",
}
MAX_MS: Final = 2**40


class Started(msgspec.Struct, frozen=True):
    call: str
    stream: str
    tracks: tuple[str, ...]
    """Empty: they were not named."""
    audio: AudioFormat
    """Of each track."""
    parameters: dict[str, str]


class Media(msgspec.Struct, frozen=True):
    track: str
    chunk: int | None
    timestamp_ms: int | None
    data: bytes


class Dtmf(msgspec.Struct, frozen=True):
    track: str
    digit: str


class Mark(msgspec.Struct, frozen=True):
    name: str


class Stopped(msgspec.Struct, frozen=True):
    pass


Frame = Started | Media | Dtmf | Mark | Stopped


class _Format(msgspec.Struct):
    encoding: str = "audio/x-mulaw"
    sampleRate: int | str | None = None  # noqa: N815 - as on the wire
    sample_rate: int | str | None = None
    channels: int | str | None = None


class _Start(msgspec.Struct):
    callSid: str | None = None  # noqa: N815
    call_sid: str | None = None
    call_control_id: str | None = None
    streamSid: str | None = None  # noqa: N815
    tracks: list[str] = []
    mediaFormat: _Format | None = None  # noqa: N815
    media_format: _Format | None = None
    customParameters: dict[str, Any] | None = None  # noqa: N815
    custom_parameters: dict[str, Any] | None = None


class _Media(msgspec.Struct):
    payload: str
    track: str = "inbound"
    chunk: int | str | None = None
    timestamp: int | str | None = None


class _Dtmf(msgspec.Struct):
    digit: str
    track: str = "inbound"


class _Mark(msgspec.Struct):
    name: str = ""


class _Message(msgspec.Struct):
    event: str
    streamSid: str | None = None  # noqa: N815
    stream_id: str | None = None
    start: _Start | None = None
    media: _Media | None = None
    dtmf: _Dtmf | None = None
    mark: _Mark | None = None


_decoder: Final = msgspec.json.Decoder(_Message)


def read(payload: str) -> Frame | None:
    """One message; None: one of no interest. Raises ProtocolError (`bad_message`, `unsupported`)."""
    try:
        message = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProtocolError("bad_message", "not a message of a media stream") from None
    match message.event:
        case "start" if message.start is not None:
            return _started(message.start, message.streamSid or message.stream_id or message.start.streamSid or "")
        case "media" if message.media is not None:
            media = message.media
            chunk, timestamp = _whole("chunk", media.chunk), _whole("timestamp", media.timestamp)
            return Media(_track(media.track), chunk, timestamp, _decoded(media.payload))
        case "dtmf" if message.dtmf is not None:
            return Dtmf(_track(message.dtmf.track), message.dtmf.digit)
        case "mark" if message.mark is not None:
            return Mark(message.mark.name[:MAX_ID_CHARS])
        case "stop":
            return Stopped()
        case "start" | "media" | "dtmf" | "mark":
            raise ProtocolError("bad_message", f"`{message.event}` without its content")
    return None


def _started(start: _Start, stream: str) -> Started:
    call = start.callSid or start.call_sid or start.call_control_id or ""
    tracks = tuple(dict.fromkeys(map(_track, start.tracks)))
    if len(tracks) > 2:
        raise ProtocolError("unsupported", "start.tracks: at most 2")
    return Started(
        call[:MAX_ID_CHARS],
        stream[:MAX_ID_CHARS],
        tracks,
        _audio(start.mediaFormat or start.media_format or _Format()),
        kept_parameters(start.customParameters or start.custom_parameters or {}),
    )


def _audio(told: _Format) -> AudioFormat:
    encoding = ENCODINGS.get(told.encoding.lower())
    if encoding is None:
        raise ProtocolError("unsupported", "mediaFormat.encoding: must be \u00b5-law, A-law or L16")
    rate = _whole("mediaFormat.sampleRate", told.sampleRate if told.sampleRate is not None else told.sample_rate)
    if rate is not None and rate not in get_args(SampleRate):
        known = ", ".join(map(str, get_args(SampleRate)))
        raise ProtocolError("unsupported", f"mediaFormat.sampleRate: must be one of {known}")
    if _whole("mediaFormat.channels", told.channels) not in (None, 1):
        raise ProtocolError("unsupported", "mediaFormat.channels: a track has 1")
    return AudioFormat(encoding=encoding, sample_rate=rate or 8000)  # type: ignore[arg-type]


def _track(name: str) -> str:
    return name.removesuffix("_track")[:MAX_ID_CHARS]


def _whole(name: str, value: int | str | None) -> int | None:
    """Numbers are texts here, mostly."""
    if value is None or value == "":
        return None
    digits = str(value)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 13 and int(digits) <= MAX_MS):
        raise ProtocolError("bad_message", f"{name}: not a number from 0 to {MAX_MS}")
    return int(digits)


def _decoded(payload: str) -> bytes:
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("bad_message", "media.payload: not base64") from None
