"""A session core's whole state as bytes: msgpack behind a version and a checksum."""

from __future__ import annotations

import struct
import zlib
from typing import Final

import msgspec

from streaming.protocol.messages import Endpointing, InterimPolicy, ServerMessage
from streaming.session.calling import CallingState
from streaming.session.channel import ChannelState
from streaming.session.intake import IntakeState
from streaming.session.markers import PendingMarker
from streaming.session.tasks import SessionTasks
from streaming.session.utterance import Counts
from streaming.transcript.redaction import RedactionState

VERSION: Final = 1
"""Of the records below, and of all that they hold."""
_HEADER: Final = struct.Struct("<BI")
"""The version; CRC-32 of what follows."""


class BadSnapshotError(Exception):
    """A snapshot that is damaged, of another version, or not of this session and audio."""


class CoreState(msgspec.Struct, frozen=True, array_like=True):
    position: int
    """At 16 kHz: where its audio ends."""
    intake: IntakeState
    commands: int
    stopping: bool
    endpointing: Endpointing
    interim: InterimPolicy
    events: bool
    counts: Counts
    markers: list[PendingMarker]
    channels: list[ChannelState]
    last_seq: int
    """Number of the newest message that had left the outbox."""
    unsaid: list[ServerMessage]
    """What waited in the outbox and will be numbered, in order."""
    said: list[ServerMessage]
    """What was said before an earlier loss and has not come again yet."""
    tasks: SessionTasks | None = None
    """None: those of `start`, in a snapshot from before there were others."""
    redaction: RedactionState | None = None
    call: CallingState | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CoreState)


def encode(state: CoreState) -> bytes:
    body = _encoder.encode(state)
    return _HEADER.pack(VERSION, zlib.crc32(body)) + body


def decode(data: bytes) -> CoreState:
    """Raises BadSnapshotError."""
    if len(data) < _HEADER.size:
        raise BadSnapshotError("the snapshot is cut off")
    version, checksum = _HEADER.unpack_from(data)
    if version != VERSION:
        raise BadSnapshotError(f"the snapshot is of version {version}; this is {VERSION}")
    body = data[_HEADER.size :]
    if zlib.crc32(body) != checksum:
        raise BadSnapshotError("the snapshot is damaged")
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise BadSnapshotError(f"the snapshot cannot be read: {error}") from None
