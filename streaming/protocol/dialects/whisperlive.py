"""WhisperLive: `/`, options as the first text, then float samples up and segments down.

What its client was seen to need: it keeps segments of a backend named `faster_whisper` only; it reads nothing after
END_OF_AUDIO, and drops a segment that begins before the one before it ended; it takes what was said last without
`completed` for one more segment, unless the same text was completed. So a sentence ends where the client falls silent
as well (IDLE_S without audio), times never go back, and a final is said twice: open, then completed.
"""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from streaming.protocol.dialect import Close, Handshake, Outcome, Payload, Source
from streaming.protocol.dialects.payloads import json_text
from streaming.protocol.dialects.samples import SampleClock
from streaming.protocol.dialects.utterances import Utterance, Utterances
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import (
    AudioFormat,
    Encoding,
    Error,
    Finalize,
    Language,
    Ready,
    ServerMessage,
    Speech,
    Start,
    Stop,
    Summary,
    Task,
    Transcript,
    Word,
)
from streaming.protocol.words import plain_text

END_OF_AUDIO: Final = b"END_OF_AUDIO"
BACKEND: Final = "faster_whisper"
IDLE_S: Final = 1.5
WAIT_MINUTES: Final = 1.0
_ENCODINGS: Final[dict[str, Encoding]] = {"float32": "f32le", "int16": "s16le"}


class Options(msgspec.Struct):
    """What is not here is ignored."""

    uid: Annotated[str, Meta(max_length=128)]
    language: Language | None = None
    task: Literal["transcribe", "translate"] = "transcribe"
    send_last_n_segments: Annotated[int, Meta(ge=1, le=100)] = 10
    word_timestamps: bool = False
    audio_format: Literal["float32", "int16"] = "float32"


_options: Final = msgspec.json.Decoder(Options)


class WhisperLive:
    start: Start | None = None
    source: Source | None = None

    def __init__(self, handshake: Handshake) -> None:
        self._max_message_bytes = handshake.max_message_bytes
        self._idle_timeout_s = handshake.idle_timeout_s
        self._last_heard = handshake.now
        self._options: Options | None = None
        """None: they have not come."""
        self._clock = SampleClock(AudioFormat())
        self._utterances = Utterances()
        self._completed: deque[dict[str, object]] = deque()
        self._until_ms = 0
        """Where the newest completed segment ended."""
        self._language_told = False
        self._finalized = True
        self._closing = False

    def opened(self, now: float) -> list[Outcome]:
        return []

    # -- from the client --------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        if self._closing:
            return None
        return self._last_heard + (self._idle_timeout_s if self._finalized else IDLE_S)

    def timeout(self, now: float) -> list[Outcome]:
        if now < self._last_heard + self._idle_timeout_s:
            self._finalized = True
            return [Finalize()]
        raise ProtocolError("idle_timeout", f"no message for {self._idle_timeout_s:g} s")

    def receive(self, payload: Payload, now: float) -> list[Outcome]:
        if self._closing:
            return []
        if len(payload) > self._max_message_bytes:
            raise ProtocolError("too_large", f"a message may have at most {self._max_message_bytes} bytes")
        self._last_heard = now
        if self._options is None:
            return [self._begin(payload)]
        if payload == END_OF_AUDIO or isinstance(payload, str):
            self._closing = payload == END_OF_AUDIO
            return [Stop()] if self._closing else []
        self._finalized = False
        return [*self._clock.take(payload)]

    def _begin(self, payload: Payload) -> Start:
        try:
            self._options = _options.decode(payload)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise ProtocolError("bad_message", "the first message must be the options, with a uid") from None
        audio = AudioFormat(encoding=_ENCODINGS[self._options.audio_format])
        self._clock = SampleClock(audio)
        task = Task(name=self._options.task, language=self._options.language)
        return Start(audio=audio, task=task, events=False)

    # -- from the session -------------------------------------------------------------------------------------------

    def say(self, message: ServerMessage) -> list[Payload]:
        match message:
            case Ready():
                return [self._message(message="SERVER_READY", backend=BACKEND)]
            case Speech():
                self._utterances.speech(message)
            case Transcript():
                utterance = self._utterances.transcript(message)
                return self._tell_language(utterance) + self._segments(utterance, completed=message.final)
            case Summary() if not self._closing:
                return [self._message(message="DISCONNECT")]
            case Error(fatal=True, code="overloaded"):
                return [self._message(status="WAIT", message=WAIT_MINUTES)]
            case Error(fatal=True, message=text):
                return [self._message(status="ERROR", message=text)]
        return []

    def goodbye(self, code: int, reason: str) -> Close:
        return Close(1008 if code >= 4000 else code, reason)

    def _tell_language(self, utterance: Utterance) -> list[Payload]:
        assert self._options is not None
        if self._language_told or self._options.language is not None or utterance.language is None:
            return []
        self._language_told = True
        return [self._message(language=utterance.language, language_prob=1.0)]

    def _segments(self, utterance: Utterance, *, completed: bool) -> list[Payload]:
        assert self._options is not None
        if not utterance.words:
            return []
        start_ms = max(self._until_ms, utterance.words[0].start_ms)
        end_ms = max(start_ms, utterance.words[-1].end_ms)
        segment = self._segment(utterance.words, start_ms, end_ms)
        said = [self._message(segments=[*self._completed, segment])]
        if completed:
            self._until_ms = end_ms
            self._completed.append({**segment, "completed": True})
            while len(self._completed) > self._options.send_last_n_segments:
                self._completed.popleft()
            said.append(self._message(segments=[*self._completed]))
        return said

    def _segment(self, words: list[Word], start_ms: int, end_ms: int) -> dict[str, object]:
        assert self._options is not None
        segment: dict[str, object] = {
            "start": f"{start_ms / 1000:.3f}",
            "end": f"{end_ms / 1000:.3f}",
            "text": " " + plain_text(words),
            "completed": False,
        }
        if self._options.word_timestamps:
            segment["words"] = [
                {
                    "word": f" {word.text}",
                    "start": word.start_ms / 1000,
                    "end": word.end_ms / 1000,
                    "probability": word.confidence,
                }
                for word in words
            ]
        return segment

    def _message(self, **fields: Any) -> Payload:
        uid = self._options.uid if self._options else ""
        return json_text({"uid": uid, **fields})
