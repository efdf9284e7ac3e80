"""`GET /v1/realtime`: OpenAI's realtime transcription, GA and beta.

With server VAD every utterance is an item: its events come in the order speech_started, delta*, speech_stopped,
committed, item added, delta*, completed. Deltas are words that are stable: the session binds its finals to them
(`append_only`), so that the deltas of an item add up to its transcript. With manual turns a commit takes together all
utterances since the one before, and is answered when the last of them has its final.

`commit` and `clear` cut the audio: each becomes `finalize` and a marker, and what an utterance that it ended belongs
to is told by its place on the clock, since the session may be ahead of what the client was told.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from streaming.protocol.dialect import Close, Handshake, Outcome, Payload, Reply, Source
from streaming.protocol.dialects.openai.errors import error_object
from streaming.protocol.dialects.openai.events import Events, Item
from streaming.protocol.dialects.openai.session import (
    BadField,
    RealtimeSession,
    changed_beta,
    changed_ga,
    shown_beta,
    shown_ga,
)
from streaming.protocol.dialects.samples import SampleClock
from streaming.protocol.dialects.utterances import Utterance, Utterances
from streaming.protocol.errors import CLOSE_NORMAL, ProtocolError
from streaming.protocol.messages import (
    Configure,
    Error,
    Finalize,
    Gap,
    Marker,
    MarkerEcho,
    ServerMessage,
    Speech,
    Start,
    Transcript,
)
from streaming.protocol.words import plain_text

BETA_HEADER: Final = "realtime=v1"
BETA_SUBPROTOCOL: Final = "openai-beta.realtime-v1"
MAX_EVENT_ID: Final = 512
MAX_LOOSE: Final = 2000
"""Utterances of one manual turn."""
_UNSUPPORTED: Final = ("response.", "conversation.", "output_audio_buffer.")


class _Event(msgspec.Struct):
    type: str
    event_id: str | None = None


class _Append(msgspec.Struct):
    audio: bytes


class _Update(msgspec.Struct):
    session: dict[str, Any]


_event_decoder: Final = msgspec.json.Decoder(_Event)
_append_decoder: Final = msgspec.json.Decoder(_Append)
_update_decoder: Final = msgspec.json.Decoder(_Update)


@dataclass(slots=True)
class _Cut:
    """A commit or clear."""

    kind: Literal["commit", "clear"]
    at_ms: int
    from_ms: int
    """Of the cut before it."""
    item: Item | None
    """Of a manual turn."""
    waits_for: set[int] = field(default_factory=set)
    """Utterances before it that have no final."""
    decoded: bool = False
    """Its marker is back: no more utterances come."""
    texts: list[str] = field(default_factory=list)
    lost: bool = False
    language: str | None = None


class OpenAIRealtime:
    start: Start | None = None
    source: Source | None = None

    def __init__(self, handshake: Handshake) -> None:
        beta = BETA_HEADER in handshake.headers.get("openai-beta", "") or BETA_SUBPROTOCOL in handshake.subprotocols
        self._name = handshake.id.replace("-", "")[:24]
        self._events = Events(self._name, beta=beta)
        self._unix_s = handshake.unix_s
        self._max_message_bytes = handshake.max_message_bytes
        self._idle_timeout_s = handshake.idle_timeout_s
        self._last_heard = handshake.now
        self._session = RealtimeSession()
        self._clock: SampleClock | None = None
        """None: the session has not begun."""
        self._utterances = Utterances()
        self._items: dict[int, Item] = {}
        """Of utterances that are turns of their own."""
        self._loose: dict[int, Utterance] = {}
        """Of manual turns: utterances that ended and no commit has taken yet, and their finals."""
        self._loose_texts: dict[int, str] = {}
        self._cuts: deque[_Cut] = deque()
        self._cut_of: dict[int, _Cut] = {}
        self._last_cut_ms = 0
        self._markers = 0

    # -- from the client --------------------------------------------------------------------------------------------

    def opened(self, now: float) -> list[Outcome]:
        return [self._reply("transcription_session.created" if self._events.beta else "session.created", self._shown())]

    @property
    def deadline(self) -> float | None:
        return self._last_heard + self._idle_timeout_s

    def timeout(self, now: float) -> list[Outcome]:
        raise ProtocolError("idle_timeout", f"no message for {self._idle_timeout_s:g} s")

    def receive(self, payload: Payload, now: float) -> list[Outcome]:
        if len(payload) > self._max_message_bytes:
            raise ProtocolError("too_large", f"a message may have at most {self._max_message_bytes} bytes")
        self._last_heard = now
        try:
            event = _event_decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return [self._error("invalid_event", "The message is no JSON object, or its 'type' field is missing.")]
        event_id = (event.event_id or "")[:MAX_EVENT_ID] or None
        try:
            return self._outcomes(event.type, payload)
        except BadField as bad:
            message = f"Invalid value for '{bad.param}': {bad.message}."
            return [self._error("invalid_value", message, bad.param, event_id)]
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return [
                self._error("invalid_value", f"'{event.type[:64]}' lacks a field, or one is wrong.", None, event_id)
            ]

    def _outcomes(self, kind: str, payload: Payload) -> list[Outcome]:
        match kind:
            case "input_audio_buffer.append":
                return self._append(_append_decoder.decode(payload).audio)
            case "input_audio_buffer.commit":
                return self._cut("commit")
            case "input_audio_buffer.clear":
                return [*self._cut("clear"), self._reply("input_audio_buffer.cleared", {})]
            case "session.update" | "transcription_session.update":
                return self._update(kind, _update_decoder.decode(payload).session)
        if kind.startswith(_UNSUPPORTED):
            raise BadField("type", "this server transcribes, and does nothing else")
        raise BadField("type", "there is no such event")

    def _append(self, audio: bytes) -> list[Outcome]:
        begun = self._begin()
        assert self._clock is not None
        return [*begun, *self._clock.take(audio)]

    def _begin(self) -> list[Outcome]:
        """The session begins with its first audio: up to there its format may change."""
        if self._clock is not None:
            return []
        session = self._session
        self._clock = SampleClock(session.audio)
        interim: Literal["off", "append_only"] = "off" if session.manual else "append_only"
        return [Start(audio=session.audio, task=session.task, interim=interim, endpointing=session.endpointing)]

    def _update(self, kind: str, update: dict[str, Any]) -> list[Outcome]:
        self._events.beta = self._events.beta or kind == "transcription_session.update"
        session = (changed_ga if kind == "session.update" else changed_beta)(self._session, update)
        outcomes: list[Outcome] = []
        if self._clock is not None:
            if session.audio != self._session.audio:
                raise BadField("session.audio.input.format", "cannot change once audio was sent")
            interim: Literal["off", "append_only"] = "off" if session.manual else "append_only"
            outcomes = [Configure(task=session.task, interim=interim, endpointing=session.endpointing)]
        self._session = session
        return [*outcomes, self._reply(kind.replace(".update", ".updated"), self._shown())]

    def _cut(self, kind: Literal["commit", "clear"]) -> list[Outcome]:
        manual = self._session.manual
        if self._clock is None and not (manual and kind == "commit"):
            return []
        begun = self._begin()
        assert self._clock is not None
        at_ms = -(-self._clock.position * 1000 // self._session.rate)
        item = self._events.new_item() if manual and kind == "commit" else None
        cut = _Cut(kind, at_ms, self._last_cut_ms, item)
        self._last_cut_ms = at_ms
        self._cuts.append(cut)
        self._markers += 1
        said = self._events.committed(item) if item else []
        for utterance in [one for one in self._loose.values() if (one.ended_ms or 0) <= at_ms]:
            self._give(cut, utterance)
        return [*begun, *map(Reply, said), Finalize(), Marker(id=f"cut {self._markers}")]

    # -- from the session -------------------------------------------------------------------------------------------

    def say(self, message: ServerMessage) -> list[Payload]:
        match message:
            case Transcript():
                return self._transcript(message)
            case Speech():
                return self._speech(message)
            case MarkerEcho():
                next(cut for cut in self._cuts if not cut.decoded).decoded = True
                return self._settled()
            case Gap(reason="lost"):
                return self._lost(message)
            case Error(fatal=True, code=code, message=text):
                kind = "server_error" if message.retryable or code == "internal" else "invalid_request_error"
                return [self._events.event("error", {"error": error_object(kind, code, text) | {"event_id": None}})]
        return []

    def goodbye(self, code: int, reason: str) -> Close:
        if reason == "idle_timeout":
            return Close(CLOSE_NORMAL, reason)
        return Close(1008 if code >= 4000 else code, reason)

    def _speech(self, message: Speech) -> list[Payload]:
        utterance = self._utterances.speech(message)
        if message.state == "started":
            if self._session.manual:
                return []
            item = self._items[utterance.id] = self._events.new_item()
            body = {"audio_start_ms": message.at_ms, "item_id": item.id}
            return [self._events.event("input_audio_buffer.speech_started", body)]
        cut = next((cut for cut in self._cuts if message.at_ms <= cut.at_ms), None)
        turn = self._items.get(utterance.id)
        if turn is None:
            if cut is not None:
                self._give(cut, utterance)
            elif len(self._loose) >= MAX_LOOSE:
                raise ProtocolError("too_large", f"more than {MAX_LOOSE} utterances without a commit")
            else:
                self._loose[utterance.id] = utterance
            return []
        if cut is not None and cut.kind == "clear" and message.rule == "finalize":
            del self._items[utterance.id]
            self._cut_of[utterance.id] = cut
            return []
        body = {"audio_end_ms": message.at_ms, "item_id": turn.id}
        return [self._events.event("input_audio_buffer.speech_stopped", body), *self._events.committed(turn)]

    def _transcript(self, message: Transcript) -> list[Payload]:
        utterance = self._utterances.transcript(message)
        text = plain_text(utterance.words)
        item = self._items.get(utterance.id)
        if item is None:
            return self._part(utterance, text) if message.final else []
        said = self._events.delta(item, text)
        if message.final:
            del self._items[utterance.id]
            seconds = max(0, (utterance.ended_ms or 0) - utterance.onset_ms) / 1000
            said += self._events.completed(item, text, seconds, utterance.language)
        return said

    def _lost(self, gap: Gap) -> list[Payload]:
        utterance = self._utterances.lost(gap)
        if utterance is None:
            return []
        item = self._items.pop(utterance.id, None)
        if item is not None:
            return [self._events.failed(item)]
        if (cut := self._cut_of.get(utterance.id)) is not None:
            cut.lost = True
        return self._part(utterance, "")

    # -- manual turns -----------------------------------------------------------------------------------------------

    def _give(self, cut: _Cut, utterance: Utterance) -> None:
        """An utterance that ended belongs to what a cut ends."""
        self._loose.pop(utterance.id, None)
        if utterance.id in self._loose_texts:
            self._add(cut, utterance, self._loose_texts.pop(utterance.id))
            return
        cut.waits_for.add(utterance.id)
        self._cut_of[utterance.id] = cut

    def _part(self, utterance: Utterance, text: str) -> list[Payload]:
        """The final of an utterance that is not a turn of its own."""
        cut = self._cut_of.pop(utterance.id, None)
        if cut is None:
            if utterance.id in self._loose:
                self._loose_texts[utterance.id] = text
            return []
        cut.waits_for.discard(utterance.id)
        self._add(cut, utterance, text)
        return self._settled()

    def _add(self, cut: _Cut, utterance: Utterance, text: str) -> None:
        if text:
            cut.texts.append(text)
        cut.language = utterance.language or cut.language

    def _settled(self) -> list[Payload]:
        said: list[Payload] = []
        while self._cuts and self._cuts[0].decoded and not self._cuts[0].waits_for:
            cut = self._cuts.popleft()
            if cut.item is None:
                continue
            if cut.lost and not cut.texts:
                said.append(self._events.failed(cut.item))
                continue
            text = " ".join(cut.texts)
            said += self._events.delta(cut.item, text)
            said += self._events.completed(cut.item, text, (cut.at_ms - cut.from_ms) / 1000, cut.language)
        return said

    # -- what is shown ----------------------------------------------------------------------------------------------

    def _shown(self) -> dict[str, object]:
        shown = shown_beta if self._events.beta else shown_ga
        return {"session": shown(self._session, f"sess_{self._name}", self._unix_s)}

    def _error(self, code: str, message: str, param: str | None = None, event_id: str | None = None) -> Reply:
        error = error_object("invalid_request_error", code, message, param) | {"event_id": event_id}
        return self._reply("error", {"error": error})

    def _reply(self, kind: str, body: dict[str, object]) -> Reply:
        return Reply(self._events.event(kind, body))
