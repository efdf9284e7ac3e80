"""The native protocol, version 1: every message as a typed record. `docs/protocol.md` is its reader's side.

`sample` fields count samples per channel at the rate that the client declared, from the session's begin.
`_ms` fields are milliseconds on the same clock. Clients ignore unknown fields and unknown server messages;
the server refuses unknown fields of client messages, so that a misspelt option is never silently dropped.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streaming.protocol.calls import CallAccount

Encoding = Literal["s16le", "f32le", "mulaw", "alaw"]
SampleRate = Literal[8000, 16000, 24000, 44100, 48000]
InterimPolicy = Literal["stable", "append_only", "off"]
WordState = Literal["tentative", "stable", "final"]
EndpointRule = Literal["silence", "max_length", "finalize", "stop", "gap"]
Detector = Literal["cascade", "silero", "webrtc"]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
Language = Annotated[str, Meta(pattern="^[a-z]{2,3}(_[a-z]{2})?$")]
"""ISO 639-1, or 639-3 where there is no shorter one; a way of writing it may follow: `zh_tr` is traditional Chinese."""
TaskName = Literal[
    "transcribe",
    "translate",
    "word_timestamps",
    "caption",
    "sound_events",
    "scene",
    "vocal_sound",
    "emotion",
    "speaker",
    "entities",
    "speech_understanding",
    "speech_edit",
    "music_notes",
    "music_description",
    "song",
    "grounding",
    "question",
]
CAPTIONING: tuple[TaskName, ...] = ("transcribe", "translate", "word_timestamps")
LoadLevel = Literal["normal", "slow_interims", "finals_only", "refusing"]
RedactKind = Literal["card", "dob", "phone", "digits"]
CallKind = Literal["dead_air", "talk_over", "hold", "interruption", "keyword"]

PROTOCOL_VERSION = 1
MAX_SAMPLE = 2**48
"""Highest position that a message may name: 186 years at 48 kHz, and exact in every JSON reader's numbers."""
SUBPROTOCOLS = ("tympan.v1.msgpack", "tympan.v1.json")


class _Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", kw_only=True):
    pass


class _Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class AudioFormat(_Settings, frozen=True, kw_only=True):
    encoding: Encoding = "s16le"
    sample_rate: SampleRate = 16000
    channels: Annotated[int, Meta(ge=1, le=2)] = 1
    """Interleaved when 2."""
    labels: Annotated[list[Label], Meta(min_length=1, max_length=2)] | None = None
    """One per channel, for example ["agent", "customer"]."""


class Endpointing(_Settings, frozen=True, kw_only=True):
    detector: Detector = "cascade"
    threshold: Annotated[float, Meta(ge=0.05, le=0.95)] = 0.5
    min_speech_ms: Annotated[int, Meta(ge=0, le=2000)] = 96
    min_silence_ms: Annotated[int, Meta(ge=100, le=5000)] = 1000
    """Trailing silence that ends an utterance."""
    max_utterance_ms: Annotated[int, Meta(ge=2000, le=29000)] = 28000
    """A longer one is split at its quietest point."""
    no_speech_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 0
    """Say so with an event after this long without speech; 0 is never."""
    pre_roll_ms: Annotated[int, Meta(ge=0, le=2000)] = 300
    pad_ms: Annotated[int, Meta(ge=0, le=2000)] = 400
    """Audio kept after the last speech; more than `min_silence_ms` has no effect."""


class Task(_Settings, frozen=True, kw_only=True):
    """What is to be answered about the audio. The first of a session that writes words (`transcribe`, `translate`,
    `word_timestamps`) makes its captions; every other one is answered once for each utterance, by `analysis`."""

    name: TaskName = "transcribe"
    language: Language | None = None
    """That is spoken; None: the model finds it out, or there is no speech."""
    target: Language | None = None
    """Of the answer; None: the spoken one where words are asked for, else English."""
    style: Literal["audiocaps", "clotho", "plain"] | None = None
    """Of `caption`; None is clotho."""
    written: bool = False
    """Numbers and dates in written form, 7 instead of seven; of `transcribe`."""
    question: Annotated[str, Meta(min_length=1, max_length=2000)] | None = None
    """Of `question`, which must have one."""


Tasks = Annotated[list[Task], Meta(min_length=1, max_length=8)]


class CallOptions(_Settings, frozen=True, kw_only=True):
    """What is told of a call while it goes on, by `call`; at its end comes `call_summary`."""

    dead_air_ms: Annotated[int, Meta(ge=500, le=600_000)] = 5_000
    """Nobody speaks, nothing plays and nothing rings for so long."""
    talk_over_ms: Annotated[int, Meta(ge=100, le=60_000)] = 2_000
    """Both speak for so long."""
    interruption_ms: Annotated[int, Meta(ge=100, le=10_000)] = 2_000
    """One begins while the other speaks, who ends within this."""
    hold_ms: Annotated[int, Meta(ge=500, le=60_000)] = 3_000
    """Music without speech of its channel for so long."""
    keywords: Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(max_length=100)] = []
    """Phrases that are looked for in stable and final words, without case and punctuation."""


class Resume(_Settings, frozen=True, kw_only=True):
    session: Annotated[str, Meta(max_length=64)]
    token: Annotated[str, Meta(max_length=64)]
    """The `resume_token` of `ready`."""
    last_seq: Annotated[int, Meta(ge=0, le=MAX_SAMPLE)] = 0
    """The highest `seq` that the client has; what was said after it is said again."""


class Start(_Client, tag="start", frozen=True, kw_only=True):
    resume: Resume | None = None
    """Go on with a session instead of beginning one: `audio` must be the session's, the other settings stay its own."""
    audio: AudioFormat = AudioFormat()
    task: Task | Tasks = Task()
    """One, or several at once."""
    interim: InterimPolicy = "stable"
    endpointing: Endpointing = Endpointing()
    events: bool = True
    redact: Annotated[list[RedactKind], Meta(max_length=4)] = []
    """Numbers that may not be said, beside those that the server's settings name."""
    call: CallOptions | None = None
    """None: it is not looked at as a call."""


class Audio(_Client, tag="audio", frozen=True, kw_only=True):
    first_sample: Annotated[int, Meta(ge=0, le=MAX_SAMPLE)]
    data: bytes
    """Whole sample frames in the declared encoding; in JSON base64. Empty audio is ignored."""


class Marker(_Client, tag="marker", frozen=True, kw_only=True):
    id: Annotated[str, Meta(max_length=128)]


class Finalize(_Client, tag="finalize", frozen=True, kw_only=True):
    """End the open utterance of every channel now."""


class Configure(_Client, tag="configure", frozen=True, kw_only=True):
    """What is None stays as it is. Endpointing applies from the next sample on, tasks from the next utterance on."""

    task: Task | Tasks | None = None
    interim: InterimPolicy | None = None
    endpointing: Endpointing | None = None
    events: bool | None = None


class ChatMessage(_Settings, frozen=True, kw_only=True):
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Meta(max_length=32_768)]
    """Data, whatever it says."""


class Ask(_Client, tag="ask", frozen=True, kw_only=True):
    """A question about what was heard, answered by `answer` while the captions go on."""

    id: Annotated[str, Meta(max_length=128)]
    """Of no other question that is open."""
    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=64)]
    """The conversation; the last one is the user's. What was heard is put before the first of the user's."""
    last_s: Annotated[float, Meta(gt=0, le=3600)] | None = None
    """Of the newest audio; None: the session, as far as it is kept, and what is older as its transcript."""
    max_tokens: Annotated[int, Meta(ge=1, le=1024)] = 256
    temperature: Annotated[float, Meta(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    seed: Annotated[int, Meta(ge=0, le=2**32)] = 0


class Stop(_Client, tag="stop", frozen=True, kw_only=True):
    """No more audio: finals, then `summary`, then close code 1000."""


SessionMessage = Start | Audio | Marker | Finalize | Configure | Stop
"""What a session's course depends on."""
ClientMessage = SessionMessage | Ask


class RefusedAsk(msgspec.Struct, frozen=True):
    """A question with a value out of its range: it is answered by that. Never on the wire as a record."""

    id: str
    reason: str


class RawAudio(msgspec.Struct, frozen=True):
    """A binary message on a JSON connection: audio that continues the clock. Never on the wire as a record."""

    data: bytes


class _Server(msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=True):
    seq: int = -1
    """1, 2, 3 ... in the session, for what is said of its audio; set when the message is put into the event log.
    Messages about the connection (see UNNUMBERED, and fatal errors) are not in the log and have none."""


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    device: str
    dtype: str


class Ready(_Server, tag="ready", kw_only=True):
    session: str
    protocol: int = PROTOCOL_VERSION
    resume_token: str | None = None
    """With it the session can be resumed, on this connection's loss."""
    resumed: bool = False
    next_sample: int = 0
    """The sample that the server expects next."""
    commands: int = 0
    """How many of the session's `marker`, `finalize`, `configure` and `stop` messages the server has."""
    model: ModelInfo
    audio: AudioFormat
    tasks: list[Task] = []
    """Those of the session: its captions', then those answered by `analysis`."""
    interim: InterimPolicy
    endpointing: Endpointing
    redact: list[RedactKind] = []
    """Those of the server's settings among them."""
    call: CallOptions | None = None
    max_message_bytes: int


class Ack(_Server, tag="ack", kw_only=True):
    sample: int
    """First sample not yet durable: the client may forget what is before it."""
    commands: int = 0
    """How many of the session's `marker`, `finalize`, `configure` and `stop` messages are durable."""


class Speech(_Server, tag="speech", kw_only=True):
    channel: int
    state: Literal["started", "ended"]
    utterance: int
    at_ms: int
    rule: EndpointRule | None = None
    """With `ended`: what ended it."""


class Word(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: int
    """Unique in the session. A stable word keeps its id; a tentative one keeps it while its text stays."""
    text: str
    start_ms: int
    end_ms: int
    confidence: float
    state: WordState
    glued: bool = False


class Transcript(_Server, tag="transcript", kw_only=True):
    utterance: int
    channel: int
    revision: int
    from_word: int
    """Words of the utterance from this index on are replaced by `words`."""
    words: list[Word]
    final: bool = False
    text: str | None = None
    """The whole utterance; with finals."""
    corrected: int = 0
    """With finals: stable words whose text (beyond case and punctuation) this final changed."""
    decoded_until_ms: int = 0
    lag_ms: int = 0
    """Newest received audio minus newest decoded audio."""
    language: str | None = None


class Event(_Server, tag="event", kw_only=True):
    label: str
    channel: int
    start_ms: int
    end_ms: int | None = None
    score: float | None = None
    phase: Literal["start", "update", "end", "instant"] = "instant"
    source: Literal["tagger", "tones", "description", "endpointing", "signalling"] = "tagger"


class Call(_Server, tag="call", kw_only=True):
    """Something about the call that `start.call` asked for."""

    kind: CallKind
    phase: Literal["start", "end", "instant"] = "instant"
    """`start` comes when the threshold has passed, and one `end` with the same `start_ms` follows."""
    channel: int | None = None
    """Who interrupts, who said the keyword, where the music is; None: all channels."""
    start_ms: int
    end_ms: int | None = None
    keyword: str | None = None
    """As it was asked for."""
    utterance: int | None = None
    """With a keyword: where it ends."""
    reason: Literal["music", "beeps"] | None = None
    """Of a hold."""


class CallSummary(_Server, tag="call_summary", kw_only=True):
    """The whole call, once, before `summary`."""

    call: CallAccount


class TimedWord(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    start_ms: int
    end_ms: int


class Analysis(_Server, tag="analysis", kw_only=True):
    """The answer to one task about one utterance, after its final."""

    utterance: int
    channel: int
    task: TaskName
    index: int
    """The task's place among those that were asked for, from 0."""
    start_ms: int
    end_ms: int
    """Of the utterance."""
    text: str = ""
    """All that the model wrote."""
    labels: list[str] = []
    """Of classifications, most certain first."""
    words: list[TimedWord] = []
    """Only where the model wrote times itself."""
    fields: dict[str, str] = {}
    """Named values: `pitch`, `velocity`, `instrument`; `scenario`, `action`, `entities`."""
    complete: bool = True
    """False: the answer was cut off, or is not of the task's form."""
    error: str | None = None
    """Why there is no answer."""


class MarkerEcho(_Server, tag="marker", kw_only=True):
    id: str
    sample: int
    """All audio before this sample is decoded."""


class Gap(_Server, tag="gap", kw_only=True):
    from_sample: int
    to_sample: int
    reason: Literal["client", "overflow", "lost"]
    channel: int | None = None
    """None: all channels."""


AnswerCode = Literal[
    "unsupported", "no_audio", "too_many", "duplicate_id", "session_over", "engine_unavailable", "answer_failed"
]


class AnswerError(msgspec.Struct, frozen=True, kw_only=True):
    code: AnswerCode
    message: str


class Answer(_Server, tag="answer", kw_only=True):
    """A piece of the answer to an `ask`."""

    id: str
    """The question's."""
    delta: str = ""
    """What is new of the text."""
    done: bool = False
    """The last piece; what follows is there with it only."""
    text: str | None = None
    words: list[TimedWord] = []
    """Words whose times the model named, on the session's clock; where it was asked about one clip."""
    finish: Literal["stop", "length", "error"] | None = None
    from_ms: int = 0
    """Of the audio that was asked about."""
    to_ms: int = 0
    error: AnswerError | None = None


class Load(_Server, tag="load", kw_only=True):
    level: LoadLevel
    lag_ms: int
    interim_ms: int
    """How often interims come now."""
    durable: bool = True


class GoAway(_Server, tag="goaway", kw_only=True):
    deadline_ms: int
    """Milliseconds from now after which the server closes the connection."""
    reason: str = "drain"


class Error(_Server, tag="error", kw_only=True):
    code: str
    message: str
    retryable: bool = False
    retry_after_ms: int | None = None
    fatal: bool = True
    """False: the session goes on."""


class SoundScore(msgspec.Struct, frozen=True, kw_only=True):
    """How sure the tagger was of a label at most, in any block of a channel."""

    label: str
    channel: int
    score: float


class Summary(_Server, tag="summary", kw_only=True):
    audio_ms: int
    speech_ms: int
    utterances: int
    words: int
    corrected: int = 0
    gaps: int = 0
    encoder_frames: int = 0
    decoder_calls: int = 0
    sounds: list[SoundScore] = []
    """What was heard beside words, surest first in each channel; labels that scored 0.05 or more."""
    redacted: dict[str, int] = {}
    """How many numbers were hidden in finals, by what they look like."""


ServerMessage = (
    Ready
    | Ack
    | Speech
    | Transcript
    | Event
    | Call
    | CallSummary
    | Analysis
    | MarkerEcho
    | Gap
    | Answer
    | Load
    | GoAway
    | Error
    | Summary
)


class Signal(msgspec.Struct, frozen=True):
    """What a telephone line tells beside its audio: a key that was pressed, audio that one channel lacks. It is said
    once all audio before it is placed. Never on the wire as a record."""

    message: Event | Gap


UNNUMBERED = (Ready, Ack, Answer, Load, GoAway)
"""Messages about the connection. They are not in the session's event log and are not said again after a resume."""
