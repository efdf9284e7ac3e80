"""The query of `/v1/listen`: what it means for a session, and what the answers shall have in them."""

from __future__ import annotations

import re
from typing import Final, get_args

import msgspec

from streaming.protocol.dialect import RawFormat, Source
from streaming.protocol.dialects.parameters import Parameters
from streaming.protocol.errors import ErrorCode, ProtocolError
from streaming.protocol.messages import AudioFormat, Encoding, Endpointing, SampleRate, Start, Task

ENDPOINT_MS: Final = 400
"""The shortest silence that ends an utterance here. Deepgram's default of 10 ms, and what SDKs ask for (25 ms), is a
time for its own model; a sentence cut at each breath is heard worse. Of the words of tests/data, tiny.en has 3.9 %
wrong with 400 ms as with 1 s, 5.1 % with 300 ms and 6.0 % with 200 ms."""
UNENDED_MS: Final = 1000
"""The silence between two finals where `endpointing` is off."""
MAX_ENDPOINT_MS: Final = 5000
PRE_ROLL_MS: Final = 300
MAX_CHANNELS: Final = 16
_NATIVE: Final[dict[str, Encoding]] = {"linear16": "s16le", "linear32": "f32le", "mulaw": "mulaw", "alaw": "alaw"}
_CONTAINERS: Final = ("flac", "ogg-opus")
_ENCODINGS: Final = (*_NATIVE, *_CONTAINERS, "opus")
_RATES: Final = get_args(SampleRate)
_LANGUAGE: Final = re.compile(r"(?P<language>[a-z]{2,3})(-[a-z0-9]+)*", re.IGNORECASE)


class Listen(msgspec.Struct, frozen=True, kw_only=True):
    start: Start
    source: Source | None
    """Of audio that needs decoding; None: the session takes it as it comes."""
    may_be_packets: bool = False
    """`encoding=opus`: a container, or packets without one: the first message shows which."""
    interim_results: bool
    speech_final: bool
    """The end of an utterance is told."""
    utterance_end: bool
    vad_events: bool
    punctuate: bool
    languages: bool
    audio_events: bool
    keyterms: tuple[str, ...]
    utterances: bool
    paragraphs: bool


def read_query(parameters: Parameters, *, live: bool) -> Listen:
    """Raises ProtocolError (`unsupported`): it names the parameter."""
    if "callback" in parameters:
        raise ProtocolError("unsupported", "callback: results are answered on this connection only")
    audio, source, may_be_packets = _audio(parameters, live)
    endpoint_ms = _endpointing(parameters)
    utterance_end_ms = parameters.whole("utterance_end_ms", 1000, 3_600_000)
    interim_results = parameters.flag("interim_results")
    language = _language(parameters)
    return Listen(
        start=Start(
            audio=audio,
            task=Task(language=language),
            interim="stable" if live and interim_results else "off",
            endpointing=Endpointing(
                min_silence_ms=UNENDED_MS if endpoint_ms is None or not live else max(ENDPOINT_MS, endpoint_ms),
                no_speech_ms=utterance_end_ms or 0,
                pre_roll_ms=PRE_ROLL_MS,
            ),
        ),
        source=source,
        may_be_packets=may_be_packets,
        interim_results=interim_results,
        speech_final=endpoint_ms is not None,
        utterance_end=utterance_end_ms is not None,
        vad_events=parameters.flag("vad_events"),
        punctuate=parameters.flag("punctuate") or parameters.flag("smart_format"),
        languages=parameters.flag("detect_language") or (parameters.text("language") or "").lower() == "multi",
        audio_events=parameters.flag("audio_events"),
        keyterms=tuple(parameters.every("keyterm")),
        utterances=parameters.flag("utterances"),
        paragraphs=parameters.flag("paragraphs") or parameters.flag("smart_format"),
    )


def _audio(parameters: Parameters, live: bool) -> tuple[AudioFormat, Source | None, bool]:
    encoding = parameters.one_of("encoding", _ENCODINGS)
    rate = parameters.whole("sample_rate", 1000, 384_000)
    channels = parameters.whole("channels", 1, MAX_CHANNELS) or 1
    split = parameters.flag("multichannel")
    if split and channels > 2:
        raise ProtocolError(
            "unsupported", "channels: at most 2 are heard one by one; leave multichannel out to mix more"
        )
    if not live:
        # A recording says itself what it is; where it does not, the query does.
        raw = _NATIVE.get(encoding or "") if rate is not None else None
        source = Source(raw=raw, sample_rate=rate or 16_000, input_channels=channels)
        return AudioFormat(channels=2 if split else 1), source, False
    if encoding not in _NATIVE:
        # How many channels a container has stands in it; a lone one where several are said to be has silence beside it.
        heard = AudioFormat(channels=2 if split else 1)
        return heard, Source(), encoding == "opus"
    if rate is None:
        raise ProtocolError("unsupported", f"sample_rate: is needed with encoding={encoding}")
    raw = _NATIVE[encoding]
    if rate in _RATES and (channels == 1 or split):
        return AudioFormat(encoding=raw, sample_rate=rate, channels=channels), None, False  # type: ignore[arg-type]
    assert raw in get_args(RawFormat)
    source = Source(raw=raw, sample_rate=rate, input_channels=channels)
    return AudioFormat(channels=channels if split else 1), source, False


def _endpointing(parameters: Parameters) -> int | None:
    """Milliseconds; None: off."""
    text = (parameters.text("endpointing") or "true").lower()
    if text == "false":
        return None
    return 0 if text == "true" else parameters.whole("endpointing", 0, MAX_ENDPOINT_MS)


def _language(parameters: Parameters) -> str | None:
    text = parameters.text("language")
    if text is None or text.lower() == "multi" or parameters.flag("detect_language"):
        return None
    if not (match := _LANGUAGE.fullmatch(text)):
        raise ProtocolError("unsupported", "language: must be a tag such as en or en-US, or multi")
    return match["language"].lower()


_HTTP: Final[dict[ErrorCode, tuple[int, str]]] = {
    "unauthorized": (401, "INVALID_AUTH"),
    "unsupported": (400, "INVALID_QUERY_PARAMETER"),
    "bad_audio": (400, "Bad Request"),
    "bad_message": (400, "Bad Request"),
    "too_large": (413, "PAYLOAD_TOO_LARGE"),
    "idle_timeout": (408, "REQUEST_TIMEOUT"),
    "internal": (500, "INTERNAL_SERVER_ERROR"),
    # Pipecat gives up for good at any 4xx; all others try again at 503.
    "overloaded": (503, "SERVICE_UNAVAILABLE"),
    "draining": (503, "SERVICE_UNAVAILABLE"),
    "engine_unavailable": (503, "SERVICE_UNAVAILABLE"),
}


def refusal(error: ProtocolError, request_id: str) -> tuple[int, dict[str, object]]:
    """The HTTP status and body that say why a request is refused."""
    status, code = _HTTP.get(error.code, (400, "Bad Request"))
    return status, {"err_code": code, "err_msg": error.text, "request_id": request_id}
