"""FreeSWITCH: `/freeswitch`, by mod_audio_fork (drachtio) or mod_audio_stream.

Both send L16 in binary messages and, before it, a text that whoever started them chose; neither says on the wire at
which rate and of how many channels. That stands in the query or in the text as JSON: `rate` (8000), `channels` (1) or
`mix_type` (mono, mixed, stereo), `uuid`, and the options of a call. Results go back as `transcription`, which
mod_audio_fork makes an event `mod_audio_fork::transcription`, and mod_audio_stream `mod_audio_stream::json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from streaming.protocol.credentials import QUERY_NAMES
from streaming.protocol.dialect import CallInfo, Close, Encoded, Handshake, Outcome, Payload, Source
from streaming.protocol.dialects.parameters import Parameters
from streaming.protocol.dialects.payloads import json_text
from streaming.protocol.dialects.samples import SampleClock, format_of
from streaming.protocol.dialects.telephony import MAX_ID_CHARS, call_start, kept_parameters, key_signal
from streaming.protocol.dialects.utterances import Utterance, Utterances
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import (
    Error,
    Gap,
    ServerMessage,
    Signal,
    Speech,
    Start,
    Transcript,
)
from streaming.protocol.words import plain_text

RATE: Final = 8000
CHANNELS: Final = {"mono": 1, "mixed": 1, "stereo": 2}
LABELS: Final = ("caller", "callee")
NAMES: Final = ("uuid", "call_id", "callId", "call_sid", "callSid")
"""Of the call's id, in the text and the query."""

_decoder: Final = msgspec.json.Decoder(dict[str, Any])


class FreeSwitch:
    start: Start | None = None

    def __init__(self, handshake: Handshake) -> None:
        """Raises ProtocolError (`unsupported`): a parameter of the query is wrong."""
        query = Parameters(handshake.query)
        self._told = {
            name: text for name, _ in handshake.query if name not in QUERY_NAMES and (text := query.text(name))
        }
        _format(self._told)
        self.call: CallInfo | None = None
        self.source: Source | None = None
        self._id = handshake.id
        self._max_message_bytes = handshake.max_message_bytes
        self._start_timeout_s = handshake.start_timeout_s
        self._idle_timeout_s = handshake.idle_timeout_s
        self._last_heard = handshake.now
        self._clock: SampleClock | None = None
        """None: nothing has come."""
        self._rate = RATE
        self._frame_bytes = 2
        self._heard_bytes = 0
        self._interim = False
        self._labels: tuple[str, ...] = ()
        self._utterances = Utterances()

    # -- from the client --------------------------------------------------------------------------------------------

    def opened(self, now: float) -> list[Outcome]:
        return []

    @property
    def deadline(self) -> float | None:
        return self._last_heard + (self._start_timeout_s if self._clock is None else self._idle_timeout_s)

    def timeout(self, now: float) -> list[Outcome]:
        if self._clock is None:
            raise ProtocolError("start_timeout", f"no message within {self._start_timeout_s:g} s")
        raise ProtocolError("idle_timeout", f"no message for {self._idle_timeout_s:g} s")

    def receive(self, payload: Payload, now: float) -> list[Outcome]:
        if len(payload) > self._max_message_bytes:
            raise ProtocolError("too_large", f"a message may have at most {self._max_message_bytes} bytes")
        self._last_heard = now
        if self._clock is None:
            begun = self._begin({} if isinstance(payload, bytes) else _read(payload))
            return [*begun, *self._audio(payload)] if isinstance(payload, bytes) else begun
        if isinstance(payload, bytes):
            return self._audio(payload)
        key = self._key(_read(payload))
        return [key] if key is not None else []

    def _begin(self, text: Mapping[str, Any]) -> list[Outcome]:
        """The query says more than the text, which may be meant for somebody else."""
        told = _texts(text) | self._told
        self._rate, channels = _format(told)
        audio, self.source = format_of("s16le", self._rate, channels)
        start = call_start(audio, told, labels=LABELS if channels == 2 else ())
        self._frame_bytes = 2 * channels
        self._interim = told.get("interim", "").lower() in ("true", "1", "yes")
        self._labels = tuple(start.audio.labels or ())
        self._clock = SampleClock(audio)
        call = next((told[name] for name in NAMES if told.get(name)), self._id)
        self.call = CallInfo(protocol="freeswitch", id=call[:MAX_ID_CHARS], parameters=told)
        return [start]

    def _audio(self, data: bytes) -> list[Outcome]:
        assert self._clock is not None
        self._heard_bytes += len(data)
        if self.source is None:
            return [*self._clock.take(data)]
        return [Encoded(data)] if data else []

    def _key(self, text: Mapping[str, Any]) -> Signal | None:
        """By `uuid_audio_fork UUID send_text {"dtmf":"5"}`, from whoever knows of keys; other texts are ignored."""
        digit, channel = text.get("dtmf"), text.get("channel", 0)
        if not isinstance(digit, str) or not isinstance(channel, int) or not 0 <= channel < self._frame_bytes // 2:
            return None
        return key_signal(digit, int(channel), self._heard_bytes // self._frame_bytes * 1000 // self._rate)

    # -- from the session -------------------------------------------------------------------------------------------

    def say(self, message: ServerMessage) -> list[Payload]:
        match message:
            case Speech():
                self._utterances.speech(message)
            case Gap():
                self._utterances.lost(message)
            case Transcript():
                utterance = self._utterances.transcript(message)
                if utterance.words and (message.final or self._interim):
                    return [json_text({"type": "transcription", "data": self._data(utterance, final=message.final)})]
            case Error(fatal=True, code=code, message=text):
                return [json_text({"type": "error", "data": {"code": code, "message": text}})]
        return []

    def goodbye(self, code: int, reason: str) -> Close:
        return Close(1008 if code >= 4000 else code, reason)

    def _data(self, utterance: Utterance, *, final: bool) -> dict[str, object]:
        words = utterance.words
        named = utterance.channel < len(self._labels)
        return {
            "call": self.call.id if self.call else "",
            "utterance": utterance.id,
            "channel": utterance.channel,
            "label": self._labels[utterance.channel] if named else None,
            "is_final": final,
            "transcript": plain_text(words),
            "confidence": round(sum(word.confidence for word in words) / len(words), 4),
            "language": utterance.language,
            "start_ms": words[0].start_ms,
            "end_ms": words[-1].end_ms,
            "words": [
                {"word": one.text, "start_ms": one.start_ms, "end_ms": one.end_ms, "confidence": one.confidence}
                for one in words
            ],
        }


def _read(payload: str) -> dict[str, Any]:
    """Of a text that is no JSON object: nothing."""
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}


def _texts(told: Mapping[str, Any]) -> dict[str, str]:
    """Numbers and truths as texts, as a query has them."""
    written = {
        name: str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else value
        for name, value in told.items()
        if name not in QUERY_NAMES
    }
    return kept_parameters(written)


def _format(told: Mapping[str, str]) -> tuple[int, int]:
    """The rate in Hz, and how many channels. Raises ProtocolError (`unsupported`)."""
    text = told.get("rate") or told.get("sample_rate") or told.get("sampleRate") or str(RATE)
    short = text.lower().removesuffix("k")
    digits = f"{short}000" if short != text.lower() else short
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 6 and 1000 <= int(digits) <= 384_000):
        raise ProtocolError("unsupported", "rate: must be from 1000 to 384000, or 8k, 16k ...")
    mix = told.get("mix_type") or told.get("mixType")
    if mix is not None and mix not in CHANNELS:
        raise ProtocolError("unsupported", f"mix_type: must be one of {', '.join(CHANNELS)}")
    channels = told.get("channels") or str(CHANNELS[mix] if mix else 1)
    if channels not in ("1", "2"):
        raise ProtocolError("unsupported", "channels: must be 1 or 2")
    return int(digits), int(channels)
