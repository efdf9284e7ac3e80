"""Client for Tympan, the self-hosted real-time captions service."""

from tympan_client.address import DEFAULT_URL
from tympan_client.asked import Asked
from tympan_client.client import TympanClient
from tympan_client.errors import ConnectionLost, TympanError
from tympan_client.events import (
    Ack,
    Analysis,
    Answer,
    AnswerError,
    CallEvent,
    CallSummary,
    ErrorEvent,
    Event,
    Gap,
    GoAway,
    Load,
    MarkerReached,
    ModelInfo,
    Ready,
    Reconnected,
    Reconnecting,
    SoundEvent,
    Speech,
    Summary,
    TimedWord,
    TranscriptUpdate,
    UnknownEvent,
    Word,
)
from tympan_client.options import AudioFormat, CallOptions, ConnectionOptions, Endpointing, SessionOptions, Task
from tympan_client.session import Session
from tympan_client.sync import SyncAsked, SyncSession, SyncTympanClient
from tympan_client.transcript import Transcript, Utterance, join_words

__all__ = [
    "DEFAULT_URL",
    "Ack",
    "Analysis",
    "Answer",
    "AnswerError",
    "Asked",
    "AudioFormat",
    "CallEvent",
    "CallOptions",
    "CallSummary",
    "ConnectionLost",
    "ConnectionOptions",
    "Endpointing",
    "ErrorEvent",
    "Event",
    "Gap",
    "GoAway",
    "Load",
    "MarkerReached",
    "ModelInfo",
    "Ready",
    "Reconnected",
    "Reconnecting",
    "Session",
    "SessionOptions",
    "SoundEvent",
    "Speech",
    "Summary",
    "SyncAsked",
    "SyncSession",
    "SyncTympanClient",
    "Task",
    "TimedWord",
    "Transcript",
    "TranscriptUpdate",
    "TympanClient",
    "TympanError",
    "UnknownEvent",
    "Utterance",
    "Word",
    "join_words",
]
__version__ = "0.1.0"
