"""AssemblyAI's streaming, version 3: `/v3/ws`. Each utterance is a turn.

While a turn goes on its `transcript` has the words that are stable, and `words` those that may change as well. At its
end it comes in lower case without punctuation, and with `format_turns` once more as the model writes it.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from streaming.protocol.dialect import Close, Encoded, Handshake, Outcome, Payload, Reply, Source
from streaming.protocol.dialects.idle import LeftWhenIdle
from streaming.protocol.dialects.parameters import Parameters
from streaming.protocol.dialects.payloads import json_text
from streaming.protocol.dialects.samples import SampleClock, format_of
from streaming.protocol.dialects.spelling import bare_words
from streaming.protocol.dialects.utterances import Utterance, Utterances
from streaming.protocol.errors import CLOSE_NORMAL, ProtocolError
from streaming.protocol.messages import (
    AudioFormat,
    Configure,
    Encoding,
    Endpointing,
    Error,
    Finalize,
    Gap,
    ServerMessage,
    Speech,
    Start,
    Stop,
    Summary,
    Task,
    Transcript,
)
from streaming.protocol.words import plain_text

TURN_SILENCE_MS: Final = 400
"""The shortest pause that ends a turn."""
EXPIRES_S: Final = 3 * 3600
_RAW: Final[dict[str, Encoding]] = {"pcm_s16le": "s16le", "pcm_mulaw": "mulaw"}
_CONTAINERS: Final = ("ogg_opus", "aac")
_ENCODINGS: Final = (*_RAW, *_CONTAINERS, "opus")
_SILENCES: Final = ("min_turn_silence", "min_end_of_turn_silence_when_confident")
_CLOSES: Final[dict[str, tuple[int, str]]] = {
    "idle_timeout": (4031, "Session idle for too long"),
    "bad_message": (4101, "Endpoint received a message with an invalid schema"),
    "unsupported": (4101, "Endpoint received a message with an invalid value"),
    "overloaded": (4008, "Too many sessions"),
}


class _Message(msgspec.Struct):
    type: Literal["ForceEndpoint", "KeepAlive", "UpdateConfiguration", "Terminate"]
    min_turn_silence: int | None = None
    min_end_of_turn_silence_when_confident: int | None = None


_decoder: Final = msgspec.json.Decoder(_Message)


class AssemblyAI(LeftWhenIdle):
    def __init__(self, handshake: Handshake) -> None:
        """Raises ProtocolError (`unsupported`): a parameter has a wrong value."""
        super().__init__(handshake)
        parameters = Parameters(handshake.query)
        audio, self.source = _audio(parameters)
        self._formatted = parameters.flag("format_turns")
        asked = [ms for name in _SILENCES if (ms := parameters.whole(name, 0, 60_000)) is not None]
        self._endpointing = _endpointing(max(asked, default=TURN_SILENCE_MS))
        language = (parameters.text("language_code") or parameters.text("language") or "").lower()
        task = Task() if language in ("", "multi") else Task(language=_language(language))
        self.start: Start | None = Start(audio=audio, task=task, endpointing=self._endpointing, events=False)
        self._id = handshake.id
        self._unix_s = handshake.unix_s
        self._max_message_bytes = handshake.max_message_bytes
        self._began = handshake.now
        self._clock = SampleClock(audio)
        self._utterances = Utterances()
        self._turns: dict[int, int] = {}
        """Utterances that are not over, to the order of their turns."""
        self._last_turn = -1

    # -- from the client --------------------------------------------------------------------------------------------

    def opened(self, now: float) -> list[Outcome]:
        return [Reply(json_text({"type": "Begin", "id": self._id, "expires_at": int(self._unix_s) + EXPIRES_S}))]

    def receive(self, payload: Payload, now: float) -> list[Outcome]:
        if self._closing:
            return []
        if len(payload) > self._max_message_bytes:
            raise ProtocolError("too_large", f"a message may have at most {self._max_message_bytes} bytes")
        self._last_heard = now
        if isinstance(payload, bytes):
            if not payload:
                return []
            return [Encoded(payload)] if self.source is not None else [*self._clock.take(payload)]
        try:
            message = _decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            known = "ForceEndpoint, KeepAlive, UpdateConfiguration, Terminate"
            raise ProtocolError("bad_message", f"not one of {known}") from None
        match message.type:
            case "ForceEndpoint":
                return [Finalize()]
            case "Terminate":
                self._closing = True
                return [Stop()]
            case "UpdateConfiguration":
                asked = [ms for name in _SILENCES if (ms := getattr(message, name)) is not None]
                if asked:
                    self._endpointing = _endpointing(max(asked))
                    return [Configure(endpointing=self._endpointing)]
        return []

    # -- from the session -------------------------------------------------------------------------------------------

    def say(self, message: ServerMessage) -> list[Payload]:
        match message:
            case Speech(state="started"):
                self._utterances.speech(message)
                self._last_turn += 1
                self._turns[message.utterance] = self._last_turn
                return [json_text({"type": "SpeechStarted", "timestamp": message.at_ms})]
            case Speech():
                self._utterances.speech(message)
            case Transcript():
                utterance = self._utterances.transcript(message)
                return self._end(utterance) if message.final else self._partial(utterance)
            case Gap():
                lost = self._utterances.lost(message)
                return self._end(lost) if lost else []
            case Summary(audio_ms=audio_ms):
                session_s = round(self._last_heard - self._began)
                seconds = {"audio_duration_seconds": round(audio_ms / 1000), "session_duration_seconds": session_s}
                return [json_text({"type": "Termination", **seconds})]
            case Error(fatal=True, code=code, message=text):
                return [json_text({"type": "Error", "error_code": _CLOSES.get(code, (3005, ""))[0], "error": text})]
        return []

    def goodbye(self, code: int, reason: str) -> Close:
        if self._closing:
            return Close(CLOSE_NORMAL)
        if reason in _CLOSES:
            return Close(*_CLOSES[reason])
        return Close(3005 if code >= 4000 else code, reason)

    def _partial(self, utterance: Utterance) -> list[Payload]:
        return [self._turn(utterance, end=False, formatted=False)] if utterance.words else []

    def _end(self, utterance: Utterance) -> list[Payload]:
        said = [self._turn(utterance, end=True, formatted=False)]
        if self._formatted:
            said.append(self._turn(utterance, end=True, formatted=True))
        self._turns.pop(utterance.id, None)
        return said

    def _turn(self, utterance: Utterance, *, end: bool, formatted: bool) -> Payload:
        bare = bare_words(utterance.words)
        stable = [one for one in bare if end or one.word.state != "tentative"]
        text = plain_text(utterance.words if formatted else stable)
        words = [
            {
                "text": one.word.text if formatted else one.text,
                "start": one.word.start_ms,
                "end": one.word.end_ms,
                "confidence": one.word.confidence,
                "word_is_final": end or one.word.state != "tentative",
            }
            for one in bare
        ]
        body: dict[str, object] = {
            "type": "Turn",
            "turn_order": self._turns.get(utterance.id, self._last_turn),
            "turn_is_formatted": formatted,
            "end_of_turn": end,
            "transcript": text,
            "end_of_turn_confidence": 1.0 if end else 0.0,
            "words": words,
            "utterance": text if end else "",
        }
        if utterance.language is not None:
            body["language_code"] = utterance.language
        return json_text(body)


def _audio(parameters: Parameters) -> tuple[AudioFormat, Source | None]:
    encoding = parameters.one_of("encoding", _ENCODINGS) or "pcm_s16le"
    rate = parameters.whole("sample_rate", 1000, 384_000) or 16_000
    if encoding not in _RAW:
        return AudioFormat(), Source(packets=encoding == "opus")
    return format_of(_RAW[encoding], rate)


def _endpointing(silence_ms: int) -> Endpointing:
    return Endpointing(min_silence_ms=min(5000, max(TURN_SILENCE_MS, silence_ms)))


def _language(text: str) -> str:
    language = text.partition("-")[0]
    if not (language.isascii() and language.isalpha() and 2 <= len(language) <= 3):
        raise ProtocolError("unsupported", "language: must be a tag such as en or en-US")
    return language
