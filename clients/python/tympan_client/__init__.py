"""Client for Tympan, the self-hosted real-time captions service."""

from tympan_client.address import DEFAULT_URL
from tympan_client.client import Session, TympanClient
from tympan_client.errors import ConnectionLost, TympanError
from tympan_client.events import (
    Ack,
    ErrorEvent,
    Event,
    Gap,
    GoAway,
    Load,
    MarkerReached,
    ModelInfo,
    Ready,
    SoundEvent,
    Speech,
    Summary,
    TranscriptUpdate,
    UnknownEvent,
    Word,
)
from tympan_client.options import AudioFormat, Endpointing, SessionOptions
from tympan_client.sync import SyncSession, SyncTympanClient
from tympan_client.transcript import Transcript, Utterance, join_words

__all__ = [
    "DEFAULT_URL",
    "Ack",
    "AudioFormat",
    "ConnectionLost",
    "Endpointing",
    "ErrorEvent",
    "Event",
    "Gap",
    "GoAway",
    "Load",
    "MarkerReached",
    "ModelInfo",
    "Ready",
    "Session",
    "SessionOptions",
    "SoundEvent",
    "Speech",
    "Summary",
    "SyncSession",
    "SyncTympanClient",
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
