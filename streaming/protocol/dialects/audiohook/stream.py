"""The dialect: transactions as JSON, audio as binary messages between them, transcripts as events.

Each side numbers its messages and names the newest that it has of the other one; a wrong number ends the session. Of
what the client paused or discarded there is no audio, but it counts for its position: the clock goes on, with a gap.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from streaming.protocol.dialect import CallInfo, Close, Handshake, Outcome, Payload, Reply
from streaming.protocol.dialects.audiohook.entities import seconds, transcript
from streaming.protocol.dialects.payloads import json_text
from streaming.protocol.dialects.samples import SampleClock
from streaming.protocol.dialects.telephony import bridge, call_start, check_ahead, kept_parameters, language
from streaming.protocol.dialects.utterances import Utterance, Utterances
from streaming.protocol.errors import CLOSE_NORMAL, ProtocolError
from streaming.protocol.messages import (
    AudioFormat,
    Configure,
    Error,
    Gap,
    GoAway,
    ServerMessage,
    Speech,
    Start,
    Stop,
    Summary,
    Task,
    Transcript,
)

RATE: Final = 8000
NOBODY: Final = "00000000-0000-0000-0000-000000000000"
CLOSED_WITHIN_S: Final = 8.0
"""The client waits 10 s for `closed`; finals that come later are for others."""


class _Media(msgspec.Struct):
    format: str = ""
    channels: list[str] = []
    rate: int = 0
    type: str = "audio"


class _Participant(msgspec.Struct):
    id: str = ""
    ani: str = ""
    aniName: str = ""  # noqa: N815 - as on the wire
    dnis: str = ""


class _Open(msgspec.Struct):
    conversationId: str  # noqa: N815
    organizationId: str = ""  # noqa: N815
    participant: _Participant = msgspec.field(default_factory=_Participant)
    media: list[_Media] = []
    language: str | None = None
    supportedLanguages: bool = False  # noqa: N815
    customConfig: dict[str, Any] | None = None  # noqa: N815


class _Skip(msgspec.Struct):
    start: str
    discarded: str


class _Update(msgspec.Struct):
    language: str


class _Message(msgspec.Struct):
    type: str
    id: str
    seq: int
    serverseq: int
    parameters: msgspec.Raw = msgspec.Raw(b"{}")
    version: str = "2"


_decoder: Final = msgspec.json.Decoder(_Message)
_open: Final = msgspec.json.Decoder(_Open)
_skip: Final = msgspec.json.Decoder(_Skip)
_update: Final = msgspec.json.Decoder(_Update)


class AudioHook:
    start: Start | None = None
    source = None

    def __init__(self, handshake: Handshake) -> None:
        self.call: CallInfo | None = None
        self._handshake = handshake
        self._max_message_bytes = handshake.max_message_bytes
        self._began = self._last_heard = handshake.now
        self._id = handshake.headers.get("audiohook-session-id", "")
        self._uuid = _uuid(handshake.id)
        self._seq = 0
        self._client_seq = 0
        self._opened = self._closing = self._closed = False
        self._audio: AudioFormat | None = None
        """None: not open, or only a probe."""
        self._clock: SampleClock | None = None
        self._language = ""
        self._closed_by: float | None = None
        self._utterances = Utterances()
        self._shown: set[int] = set()
        """Utterances of which something was said."""

    # -- from the client --------------------------------------------------------------------------------------------

    def opened(self, now: float) -> list[Outcome]:
        return []

    @property
    def deadline(self) -> float | None:
        if self._closing:
            return None if self._closed else self._closed_by
        handshake = self._handshake
        return self._last_heard + (handshake.idle_timeout_s if self._opened else handshake.start_timeout_s)

    def timeout(self, now: float) -> list[Outcome]:
        if self._closing:
            return [Reply(self._say_closed())]
        if not self._opened:
            raise ProtocolError("start_timeout", f"no `open` within {self._handshake.start_timeout_s:g} s")
        raise ProtocolError("idle_timeout", f"no message for {self._handshake.idle_timeout_s:g} s")

    def receive(self, payload: Payload, now: float) -> list[Outcome]:
        if len(payload) > self._max_message_bytes:
            raise ProtocolError("too_large", f"a message may have at most {self._max_message_bytes} bytes")
        if isinstance(payload, bytes):
            self._last_heard = now
            if not self._opened:
                raise ProtocolError("start_expected", "audio before `open`")
            return [] if self._clock is None or self._closing else [*self._clock.take(payload)]
        message = self._numbered(payload)
        self._last_heard = now
        match message.type:
            case "open" if not self._opened:
                return self._open(_parameters(_open, message))
            case "ping":
                return [Reply(self._message("pong", {}))]
            case "close" if not self._closing:
                return self._close(now)
            case "resumed" | "discarded" if self._audio is not None and not self._closing:
                return self._skipped(_parameters(_skip, message), now)
            case "update" if self._opened and not self._closing:
                return self._updated(_parameters(_update, message))
            case "open" | "close" | "paused" | "resumed" | "discarded" | "update" | "error":
                return []
        raise ProtocolError("bad_message", "not a message of AudioHook's client")

    def _numbered(self, payload: str) -> _Message:
        try:
            message = _decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise ProtocolError("bad_message", "not a message of AudioHook's client") from None
        if message.seq != self._client_seq + 1 or message.serverseq > self._seq:
            raise ProtocolError("bad_message", "seq and serverseq must be the next one and one that was sent")
        self._id = self._id or message.id
        if message.id != self._id:
            raise ProtocolError("bad_message", "id: not this session's")
        self._client_seq = message.seq
        return message

    def _open(self, asked: _Open) -> list[Outcome]:
        organization = self._handshake.headers.get("audiohook-organization-id", asked.organizationId)
        if organization != asked.organizationId:
            raise ProtocolError("unauthorized", "organizationId: not the one that the request named")
        self._opened = True
        media = _chosen(asked.media)
        parameters: dict[str, object] = {"media": [media] if media else [], "startPaused": False}
        if asked.supportedLanguages:
            parameters["supportedLanguages"] = []
        if asked.conversationId == NOBODY:
            return [Reply(self._message("opened", parameters))]
        if media is None:
            raise ProtocolError("unsupported", "media: PCMU at 8000 Hz is not among what is offered")
        told = kept_parameters(asked.customConfig or {})
        if asked.language:
            told["language"] = asked.language
        labels = tuple(media["channels"])
        self._audio = AudioFormat(encoding="mulaw", sample_rate=RATE, channels=len(labels))
        start = call_start(self._audio, told, labels=labels)
        self._clock = SampleClock(self._audio)
        self._language = told.get("language", "")
        who = asked.participant
        line = {"participant": who.id, "ani": who.ani, "ani_name": who.aniName, "dnis": who.dnis}
        told |= {name: text for name, text in kept_parameters(line).items() if text}
        self.call = CallInfo(
            protocol="audiohook", id=asked.conversationId[:128], stream=self._id[:128], parameters=told
        )
        return [start, Reply(self._message("opened", parameters))]

    def _close(self, now: float) -> list[Outcome]:
        self._closing = True
        if self._audio is None:
            return [Reply(self._say_closed()), Close(CLOSE_NORMAL)]
        self._closed_by = now + CLOSED_WITHIN_S
        return [Stop()]

    def _skipped(self, skip: _Skip, now: float) -> list[Outcome]:
        """Audio that does not come counts."""
        assert self._audio is not None
        assert self._clock is not None
        until = round((seconds(skip.start) + seconds(skip.discarded)) * RATE)
        before = self._clock.position
        if until <= before:
            return []
        check_ahead(until, before, now - self._began, RATE)
        self._clock.position = until
        return [*bridge(self._audio, before, until)]

    def _updated(self, update: _Update) -> list[Outcome]:
        self._language = update.language
        task = Configure(task=Task(language=language(update.language)))
        updated = Reply(self._message("updated", {}))
        return [updated, task] if self._audio is not None else [updated]

    # -- from the session -------------------------------------------------------------------------------------------

    def say(self, message: ServerMessage) -> list[Payload]:
        match message:
            case Speech():
                self._utterances.speech(message)
            case Transcript():
                utterance = self._utterances.transcript(message)
                return self._transcript(utterance, final=message.final)
            case Gap():
                lost = self._utterances.lost(message)
                return self._transcript(lost, final=True) if lost is not None else []
            case GoAway():
                return [self._message("reconnect", {"info": "the server is shutting down"})]
            case Summary():
                if self._closing:
                    return [] if self._closed else [self._say_closed()]
                return [self._message("disconnect", {"reason": "completed"})]
            case Error(fatal=True, code=code, message=text):
                reason = "unauthorized" if code == "unauthorized" else "error"
                return [self._message("disconnect", {"reason": reason, "info": text})]
        return []

    def goodbye(self, code: int, reason: str) -> Close:
        if self._closing:
            return Close(CLOSE_NORMAL)
        return Close(1008 if code >= 4000 else code, reason)

    def _transcript(self, utterance: Utterance, *, final: bool) -> list[Payload]:
        shown = utterance.id in self._shown
        if self._closed or not (utterance.words or (final and shown)):
            return []
        if final:
            self._shown.discard(utterance.id)
        else:
            self._shown.add(utterance.id)
        entity = transcript(self._uuid, utterance, final=final, languages=self._languages(utterance))
        return [self._message("event", {"entities": [entity]})]

    def _languages(self, utterance: Utterance) -> list[str]:
        """As the client names it, where that is what was found."""
        found = utterance.language
        if found is None or self._language.lower().startswith(found):
            return [self._language] if self._language else []
        return [found]

    def _say_closed(self) -> Payload:
        self._closed = True
        return self._message("closed", {})

    def _message(self, kind: str, parameters: Mapping[str, object]) -> Payload:
        self._seq += 1
        envelope = {"version": "2", "id": self._id, "type": kind, "seq": self._seq, "clientseq": self._client_seq}
        return json_text({**envelope, "parameters": parameters})


def _parameters(decoder: msgspec.json.Decoder[Any], message: _Message) -> Any:
    try:
        return decoder.decode(message.parameters)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProtocolError("bad_message", f"{message.type}: wrong or missing parameters") from None


def _chosen(offered: list[_Media]) -> dict[str, Any] | None:
    """Both sides apart where that is offered."""
    usable = [one for one in offered if (one.type, one.format, one.rate) == ("audio", "PCMU", RATE)]
    fitting = sorted((one for one in usable if len(one.channels) in (1, 2)), key=lambda one: -len(one.channels))
    if not fitting:
        return None
    return {"type": "audio", "format": "PCMU", "channels": fitting[0].channels, "rate": RATE}


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, text)
