"""The server's messages as frozen dataclasses, and what the client says itself.

Fields and messages that this version does not know are tolerated.
`sample` fields count samples per channel at the declared rate; `_ms` fields are milliseconds on the same clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from tympan_client.errors import TympanError

WordState = Literal["tentative", "stable", "final"]
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    seq: int = -1
    """1, 2, 3 ... in the session; -1 outside its event log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    name: str
    device: str
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(ServerEvent):
    """The session is open."""

    session: str
    model: ModelInfo
    max_message_bytes: int
    protocol: int = 1
    resume_token: str | None = field(default=None, repr=False)
    resumed: bool = False
    next_sample: int = 0
    commands: int = 0
    interim: str = "stable"
    audio: Mapping[str, Any] = field(default_factory=dict)
    tasks: tuple[Mapping[str, Any], ...] = ()
    """The captions', then those that are answered by `Analysis`."""
    endpointing: Mapping[str, Any] = field(default_factory=dict)
    redact: tuple[str, ...] = ()
    """Kinds of numbers that are hidden, those of the server's settings among them."""
    call: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack(ServerEvent):
    """Audio before `sample` is safe with the server, and the first `commands` markers and other commands are."""

    sample: int
    commands: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech(ServerEvent):
    channel: int
    state: Literal["started", "ended"]
    utterance: int
    at_ms: int
    rule: str | None = None
    """With `ended`: silence, max_length, finalize, stop or gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    id: int
    text: str
    start_ms: int
    end_ms: int
    confidence: float
    state: WordState
    glued: bool = False
    """True: no space stands before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptUpdate(ServerEvent):
    """Words of the utterance from index `from_word` on are replaced by `words`; `Transcript` keeps the books."""

    utterance: int
    channel: int
    revision: int
    from_word: int
    words: tuple[Word, ...]
    final: bool = False
    text: str | None = None
    """The whole utterance; with finals."""
    corrected: int = 0
    decoded_until_ms: int = 0
    lag_ms: int = 0
    """Newest received audio minus newest decoded audio."""
    language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundEvent(ServerEvent):
    """Something heard that is not a word: a sound, a tone, a long silence."""

    label: str
    channel: int
    start_ms: int
    end_ms: int | None = None
    score: float | None = None
    phase: str = "instant"
    source: str = "tagger"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent(ServerEvent):
    """Something about the call, where `call` asked for it."""

    kind: str
    """dead_air, talk_over, hold, interruption or keyword."""
    start_ms: int
    phase: str = "instant"
    """start, end or instant."""
    channel: int | None = None
    end_ms: int | None = None
    keyword: str | None = None
    utterance: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSummary(ServerEvent):
    """The whole call, before `Summary`."""

    call: Mapping[str, Any]
    """As docs/calls.md has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedWord:
    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis(ServerEvent):
    """The answer to one of the session's further tasks about one utterance."""

    utterance: int
    channel: int
    task: str
    index: int
    """The task's place among the further ones, from 0."""
    start_ms: int
    end_ms: int
    text: str = ""
    labels: tuple[str, ...] = ()
    """Of classifications, most certain first."""
    words: tuple[TimedWord, ...] = ()
    """Only where the model wrote times itself."""
    fields: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True
    """False: the answer was cut off, or is not of the task's form."""
    error: str | None = None
    """Why there is no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkerReached(ServerEvent):
    """All audio that was sent before the marker is decoded."""

    id: str
    sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(ServerEvent):
    """Audio in [from_sample, to_sample) was not transcribed."""

    from_sample: int
    to_sample: int
    reason: str
    channel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerError:
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(ServerEvent):
    """A piece of the answer to a question (`Session.ask`)."""

    id: str
    """The question's."""
    delta: str = ""
    """What is new of the text."""
    done: bool = False
    """The last piece; what follows comes with it only."""
    text: str | None = None
    """The whole answer."""
    words: tuple[TimedWord, ...] = ()
    """Words whose times the model named, on the session's clock."""
    finish: str | None = None
    """stop, length or error."""
    from_ms: int = 0
    """Of the audio that was asked about."""
    to_ms: int = 0
    error: AnswerError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(ServerEvent):
    level: str
    lag_ms: int
    interim_ms: int
    durable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GoAway(ServerEvent):
    """The server closes this connection after `deadline_ms`. Before that, the client goes on over another one."""

    deadline_ms: int
    reason: str = "drain"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEvent(ServerEvent):
    """An error that the session survives. One that it does not is raised as `TympanError`."""

    code: str
    message: str
    retryable: bool = False
    retry_after_ms: int | None = None
    fatal: bool = True

    def as_exception(self) -> TympanError:
        return TympanError(self.code, self.message, retryable=self.retryable, retry_after_ms=self.retry_after_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary(ServerEvent):
    """The last message of a session that was stopped."""

    audio_ms: int
    speech_ms: int
    utterances: int
    words: int
    corrected: int = 0
    gaps: int = 0
    encoder_frames: int = 0
    decoder_calls: int = 0
    sounds: Sequence[Mapping[str, Any]] = ()
    """`label`, `channel`, `score`: how sure the tagger was at most of what it heard beside words, surest first."""
    redacted: Mapping[str, int] = field(default_factory=dict)
    """How many numbers were hidden in finals, by what they look like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent(ServerEvent):
    """A message of a newer server."""

    type: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnecting(ServerEvent):
    """Said by this client: the connection is lost, and in `delay_s` it tries to resume the session."""

    reason: str
    """The code of the error that ended the connection or the attempt before: `connection_lost`, `goaway` ..."""
    attempt: int
    """1, 2, 3 ... since the connection was lost."""
    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnected(ServerEvent):
    """Said by this client: the session goes on, where it was."""

    attempts: int
    lost_s: float
    """Audio that could not be kept for so long; a `Gap` names it. 0: nothing is lost."""


ServerMessage = (
    Ready
    | Ack
    | Speech
    | TranscriptUpdate
    | SoundEvent
    | CallEvent
    | CallSummary
    | Analysis
    | MarkerReached
    | Gap
    | Answer
    | Load
    | GoAway
    | ErrorEvent
    | Summary
    | UnknownEvent
)
Event = ServerMessage | Reconnecting | Reconnected

EVENT_TYPES: Mapping[str, type[ServerMessage]] = {
    "ready": Ready,
    "ack": Ack,
    "speech": Speech,
    "transcript": TranscriptUpdate,
    "event": SoundEvent,
    "call": CallEvent,
    "call_summary": CallSummary,
    "analysis": Analysis,
    "marker": MarkerReached,
    "gap": Gap,
    "answer": Answer,
    "load": Load,
    "goaway": GoAway,
    "error": ErrorEvent,
    "summary": Summary,
}
"""The `type` on the wire, and the class here."""


def parse_event(message: object) -> ServerMessage:
    """A decoded server message (a mapping with `type`) as its dataclass.

    Raises:
        TympanError: `bad_server_message` where a required field is missing.
    """
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise TympanError("bad_server_message", "the server sent something that is not a message with a type")
    kind = EVENT_TYPES.get(message["type"])
    if kind is None:
        return UnknownEvent(type=message["type"], fields=message, seq=message.get("seq", -1))
    try:
        return _build(kind, message)
    except (TypeError, AttributeError) as error:
        raise TympanError("bad_server_message", f"the server's {message['type']} message: {error}") from None


def _build(kind: type[Record], fields: Mapping[str, Any]) -> Record:
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    convert = _NESTED.get(kind, {})
    return kind(**{name: convert.get(name, _same)(value) for name, value in fields.items() if name in known})


def _same(value: Any) -> Any:
    return value


_NESTED: Mapping[type, Mapping[str, Callable[[Any], Any]]] = {
    Ready: {"model": lambda fields: _build(ModelInfo, fields), "tasks": tuple, "redact": tuple},
    Analysis: {"labels": tuple, "words": lambda words: tuple(_build(TimedWord, fields) for fields in words)},
    Answer: {
        "words": lambda words: tuple(_build(TimedWord, fields) for fields in words),
        "error": lambda fields: None if fields is None else _build(AnswerError, fields),
    },
    TranscriptUpdate: {"words": lambda words: tuple(_build(Word, fields) for fields in words)},
}
