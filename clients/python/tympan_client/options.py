"""What a session can ask for, and how its connection is kept.

None in a session's options means: as the server decides (docs/protocol.md has its defaults).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tympan_client.errors import TympanError

Encoding = Literal["s16le", "f32le", "mulaw", "alaw"]
InterimPolicy = Literal["stable", "append_only", "off"]
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
RedactKind = Literal["card", "dob", "phone", "digits"]
Codec = Literal["msgpack", "json"]
Overflow = Literal["drop", "wait"]

SAMPLE_RATES = (8000, 16000, 24000, 44100, 48000)
BYTES_PER_SAMPLE: dict[Encoding, int] = {"s16le": 2, "f32le": 4, "mulaw": 1, "alaw": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFormat:
    encoding: Encoding = "s16le"
    sample_rate: int = 16_000
    """One of SAMPLE_RATES."""
    channels: int = 1
    """1, or 2 interleaved; each channel is transcribed by itself."""
    labels: tuple[str, ...] | None = None
    """One name per channel, for example ("agent", "customer")."""

    @property
    def bytes_per_frame(self) -> int:
        """Bytes of one sample of every channel."""
        return BYTES_PER_SAMPLE[self.encoding] * self.channels


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the model is asked; docs/protocol.md has what each name means."""

    name: TaskName = "transcribe"
    language: str | None = None
    """That is spoken, ISO 639-1."""
    target: str | None = None
    """Of the answer."""
    style: Literal["audiocaps", "clotho", "plain"] | None = None
    """Of `caption`."""
    written: bool | None = None
    """Numbers and dates as they are written; of `transcribe`."""
    question: str | None = None
    """Of `question`."""


Tasks = TaskName | Task | Sequence[TaskName | Task]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpointing:
    detector: Literal["cascade", "silero", "webrtc"] | None = None
    threshold: float | None = None
    min_speech_ms: int | None = None
    min_silence_ms: int | None = None
    """Trailing silence that ends an utterance."""
    max_utterance_ms: int | None = None
    no_speech_ms: int | None = None
    pre_roll_ms: int | None = None
    pad_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What `CallEvent`s tell of a call, and when; docs/calls.md has the definitions."""

    dead_air_ms: int | None = None
    talk_over_ms: int | None = None
    interruption_ms: int | None = None
    hold_ms: int | None = None
    keywords: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    audio: AudioFormat = AudioFormat()
    language: str | None = None
    """That is spoken; of all tasks that do not say it themselves."""
    task: Tasks | None = None
    """One, or several at once: one for the captions, the others are answered by `Analysis`."""
    interim: InterimPolicy | None = None
    endpointing: Endpointing | None = None
    events: bool | None = None
    redact: tuple[RedactKind, ...] | None = None
    """Numbers to be hidden, beside those that the server hides anyway."""
    call: CallOptions | None = None
    """Look at the session as a call; None: do not."""

    def start_message(self) -> dict[str, Any]:
        return without_none(
            {
                "type": "start",
                "audio": without_none(dataclasses.asdict(self.audio)),
                "task": task_fields(self.task, self.language),
                "interim": self.interim,
                "endpointing": settings(self.endpointing),
                "events": self.events,
                "redact": self.redact,
                "call": settings(self.call),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """How a session is kept alive when its connection is lost."""

    api_key: str | None = field(default=None, repr=False)
    """Where the server wants one. None: the environment's TYMPAN_API_KEY, if it is set."""
    reconnect: bool = True
    """Connect again and resume the session. False: a lost connection is raised."""
    resume_window_s: float = 60.0
    """How long after the loss this is tried. 30 s of audio are kept, and servers take no gap of more than 60 s."""
    connect_window_s: float = 0.0
    """How long the first connection is tried for while the server is away, busy or draining; 0: once."""
    heartbeat_s: float = 4.0
    """How often the server is pinged, and how long it has for the answer."""
    on_overflow: Overflow | None = None
    """What sending does while the connection is away and no more audio can be kept: `drop` the oldest audio, which is
    then reported by a `Gap`, or `wait`. None: `send` drops, since a microphone cannot wait, and `stream` waits."""


@dataclass(frozen=True, slots=True)
class ClientOptions:
    session: SessionOptions = SessionOptions()
    connection: ConnectionOptions = ConnectionOptions()

    def changed(self, changes: Mapping[str, Any]) -> ClientOptions:
        """With some fields of either changed.

        Raises:
            TympanError: `bad_use` for a name that is no option.
        """
        names = [{field.name for field in dataclasses.fields(part)} for part in (self.session, self.connection)]
        if unknown := sorted(set(changes) - names[0] - names[1]):
            known = ", ".join(sorted(names[0] | names[1]))
            raise TympanError("bad_use", f"unknown option {unknown[0]!r}; known are {known}")
        session, connection = ({name: value for name, value in changes.items() if name in part} for part in names)
        return ClientOptions(
            dataclasses.replace(self.session, **session), dataclasses.replace(self.connection, **connection)
        )


def settings(options: Endpointing | CallOptions | None) -> dict[str, Any] | None:
    return None if options is None else without_none(dataclasses.asdict(options))


def task_fields(tasks: Tasks | None, language: str | None = None) -> dict[str, Any] | list[dict[str, Any]] | None:
    """As the wire has them. `language`: of tasks that do not say it."""
    if tasks is None and language is None:
        return None
    every = [tasks or "transcribe"] if isinstance(tasks, str | Task | None) else list(tasks)
    named = [task if isinstance(task, Task) else Task(name=task) for task in every]
    fields = [without_none({"language": language} | without_none(dataclasses.asdict(task))) for task in named]
    return fields[0] if len(fields) == 1 else fields


def without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
