"""What a session's viewers are sent beside its own messages, and its log read back. `docs/watching.md` describes it."""

from __future__ import annotations

from typing import Final

import msgspec

from streaming.protocol.codec import Codec
from streaming.protocol.messages import UNNUMBERED, AudioFormat, Error, InterimPolicy, ServerMessage, Start, Task


class Watching(msgspec.Struct, tag_field="type", tag="watching", frozen=True, kw_only=True, omit_defaults=True):
    """First, and again where messages were missed. It has no `seq`."""

    session: str
    audio: AudioFormat
    tasks: list[Task]
    """Those that the session began with, its captions' first."""
    interim: InterimPolicy
    first_seq: int = 1
    """What was said before this number may be missing from what follows; 1: nothing is."""
    last_seq: int = 0
    """The newest number now: what follows up to here was said before the viewer came."""
    done: bool = False
    """The session has ended: what follows is all."""


ViewerMessage = ServerMessage | Watching

_json_encoder: Final = msgspec.json.Encoder()
_msgpack_encoder: Final = msgspec.msgpack.Encoder()
_said_decoder: Final[msgspec.msgpack.Decoder[ServerMessage]] = msgspec.msgpack.Decoder(ServerMessage)
_start_decoder: Final[msgspec.msgpack.Decoder[Start]] = msgspec.msgpack.Decoder(Start)


def encode_viewer(codec: Codec, message: ViewerMessage) -> bytes | str:
    """The payload of one WebSocket message: str (text) for JSON, bytes (binary) for msgpack."""
    if codec == "json":
        return _json_encoder.encode(message).decode()
    return _msgpack_encoder.encode(message)


def decode_said(data: bytes) -> ServerMessage | None:
    """A message of a session's log; None where it is none for viewers, or of a kind that this version does not know.

    Messages about the session's connection are no viewer's business; `ready` among them has the resume token.
    """
    try:
        message = _said_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    private = isinstance(message, UNNUMBERED) or (isinstance(message, Error) and message.fatal)
    return None if private else message


def decode_start(data: bytes) -> Start:
    """A record's `start`. Raises msgspec.DecodeError where this version does not know it."""
    return _start_decoder.decode(data)
