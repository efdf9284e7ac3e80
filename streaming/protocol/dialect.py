"""What the socket shell asks of a wire format, the native one and every dialect alike. Pure.

A wire format turns what the client sends into the session's messages and what the session says into payloads; all
that is behaviour (endpoints, words, limits of the session) stays with the session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from streaming.protocol.messages import ClientMessage, RefusedAsk, ServerMessage, Signal, Start

Payload = bytes | str
"""One WebSocket message: binary or text."""

RawFormat = Literal["s16le", "s32le", "f32le", "mulaw", "alaw"]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Audio that must be decoded, mixed or resampled before a session can take it, in a process of its own."""

    raw: RawFormat | None = None
    """Samples in this format; None: a container, found out by its first bytes."""
    sample_rate: int = 16_000
    """Of raw samples, as `input_channels`."""
    input_channels: int = 1
    packets: bool = False
    """Each message is one Opus packet (RFC 6716), without a container."""


class Encoded(msgspec.Struct, frozen=True):
    """Audio of a `Source`. The session gets it as s16le at 16 kHz with the channels of its `start`."""

    data: bytes


class Reply(msgspec.Struct, frozen=True):
    """For the client, at once: an answer that needs nothing of the session."""

    payload: Payload


class Close(msgspec.Struct, frozen=True):
    """The connection ends now, and the session with it."""

    code: int
    reason: str = ""


Outcome = ClientMessage | RefusedAsk | Signal | Encoded | Reply | Close


class Handshake(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a connection, before it is accepted."""

    path: str
    target: str = ""
    """The path and the query as they came."""
    query: Sequence[tuple[str, str]] = ()
    """In order; a name may come several times."""
    headers: Mapping[str, str] = {}
    """Names in lower case."""
    subprotocols: Sequence[str] = ()
    id: str = ""
    """Of the connection: a UUID."""
    now: float = 0.0
    """Seconds of the clock that all later times are of."""
    unix_s: float = 0.0
    """Wall-clock time, for what is shown to people."""
    max_message_bytes: int = 1 << 20
    start_timeout_s: float = 10.0
    """For the first message of clients that have something to say at once."""
    idle_timeout_s: float = 300.0


class Dialect(Protocol):
    """One connection. Any call may raise ProtocolError: the connection is over then.

    The shell's order of calls: `start` is looked at before the connection is accepted; `opened` after it; `receive`
    for each message in order, `timeout` when `deadline` has passed; `say` for each message of the session in order,
    the last of which is `summary` or a fatal `error`; `goodbye` at the end. What `opened`, `receive` and `timeout`
    return is carried out in order. The first message for the session is `start`, unless the attribute had it.
    """

    @property
    def start(self) -> Start | None:
        """Of a session that the request alone describes; None: it is among what `receive` returns."""

    @property
    def source(self) -> Source | None:
        """Of the `Encoded` audio to come; None: there is none."""

    @property
    def deadline(self) -> float | None:
        """When `timeout` is to be called if nothing else happens before; None: never."""

    def opened(self, now: float) -> Sequence[Outcome]: ...

    def receive(self, payload: Payload, now: float) -> Sequence[Outcome]: ...

    def timeout(self, now: float) -> Sequence[Outcome]: ...

    def say(self, message: ServerMessage) -> Sequence[Payload]: ...

    def goodbye(self, code: int, reason: str) -> Close:
        """How the connection closes. `code`: as the native protocol would (streaming/protocol/errors.py)."""


class CallInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A telephone call, as its line names it."""

    protocol: str
    id: str
    """That the rest of the world knows the call by."""
    stream: str = ""
    """Of this connection, where a call may have several."""
    parameters: dict[str, str] = {}
    """What was said of it at the beginning."""


class CallDialect(Dialect, Protocol):
    """A dialect of a telephone line. What is said of the call is for others as well, so when the line goes away the
    session is ended by `stop`, and gets its finals."""

    @property
    def call(self) -> CallInfo | None:
        """Known before the first message of the session; None: it is no call (a probe)."""
