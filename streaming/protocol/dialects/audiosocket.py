"""Asterisk's AudioSocket, by TCP: frames of a type, a length and a payload. One frame is one message here.

The first frame is the call's UUID, then come audio and keys; a hangup, or the end of the connection, ends the call.
Audio has no timestamps: while Asterisk sends none the clock stands still. Nothing is said back: results go to whoever
watches the call and to the webhook.
"""

from __future__ import annotations

import uuid
from typing import Final

from streaming.protocol.dialect import CallInfo, Close, Encoded, Handshake, Outcome, Payload, Source
from streaming.protocol.dialects.samples import SampleClock, format_of
from streaming.protocol.dialects.telephony import call_start, key_signal
from streaming.protocol.errors import CLOSE_NORMAL, ProtocolError
from streaming.protocol.messages import Error, ServerMessage, Start, Stop, Summary

HEADER_BYTES: Final = 3
HANGUP: Final = 0x00
IDENTITY: Final = 0x01
KEY: Final = 0x03
FAILURE: Final = 0xFF
MAX_EARLY: Final = 64
"""Keys before all audio."""
RATES: Final = {
    0x10: 8_000,
    0x11: 12_000,
    0x12: 16_000,
    0x13: 24_000,
    0x14: 32_000,
    0x15: 44_100,
    0x16: 48_000,
    0x17: 96_000,
    0x18: 192_000,
}


def payload_bytes(header: bytes) -> int:
    """How many bytes follow the three of a header."""
    return int.from_bytes(header[1:HEADER_BYTES], "big")


def frame(kind: int, payload: bytes = b"") -> bytes:
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


class AudioSocket:
    start: Start | None = None

    def __init__(self, handshake: Handshake) -> None:
        self.call: CallInfo | None = None
        self.source: Source | None = None
        self._start_timeout_s = handshake.start_timeout_s
        self._idle_timeout_s = handshake.idle_timeout_s
        self._last_heard = handshake.now
        self._kind: int | None = None
        """Of audio; None: none has come."""
        self._clock: SampleClock | None = None
        self._heard_bytes = 0
        self._early = ""
        self._closing = False

    # -- from the client --------------------------------------------------------------------------------------------

    def opened(self, now: float) -> list[Outcome]:
        return []

    @property
    def deadline(self) -> float | None:
        if self._closing:
            return None
        return self._last_heard + (self._start_timeout_s if self.call is None else self._idle_timeout_s)

    def timeout(self, now: float) -> list[Outcome]:
        if self.call is None:
            raise ProtocolError("start_timeout", f"no UUID within {self._start_timeout_s:g} s")
        raise ProtocolError("idle_timeout", f"nothing for {self._idle_timeout_s:g} s")

    def receive(self, payload: Payload, now: float) -> list[Outcome]:
        """One whole frame."""
        if self._closing:
            return []
        if isinstance(payload, str) or len(payload) < HEADER_BYTES:
            raise ProtocolError("bad_message", "not a frame")
        kind, content = payload[0], payload[HEADER_BYTES:]
        if self.call is None and kind not in (IDENTITY, HANGUP, FAILURE):
            raise ProtocolError("start_expected", "the first frame must be the UUID")
        self._last_heard = now
        if kind in RATES:
            return self._audio(kind, content)
        if kind == IDENTITY:
            self._identify(content)
        elif kind == KEY:
            return self._key(content.decode("latin-1"))
        elif kind in (HANGUP, FAILURE):
            self._closing = True
            return [Stop()] if self._clock is not None else [Close(CLOSE_NORMAL)]
        return []

    def _key(self, digit: str) -> list[Outcome]:
        """One that comes before all audio is told with it: only then there is a session."""
        if self._kind is None:
            self._early += digit if len(self._early) < MAX_EARLY else ""
            return []
        key = key_signal(digit, 0, self._heard_bytes // 2 * 1000 // RATES[self._kind])
        return [key] if key is not None else []

    def _identify(self, content: bytes) -> None:
        if self.call is not None:
            raise ProtocolError("already_started", "the UUID came twice")
        if len(content) != 16:
            raise ProtocolError("bad_message", "a UUID has 16 bytes")
        self.call = CallInfo(protocol="audiosocket", id=str(uuid.UUID(bytes=content)))

    def _begin(self, kind: int) -> list[Outcome]:
        if self._clock is not None:
            return []
        self._kind, rate = kind, RATES[kind]
        audio, self.source = format_of("s16le", rate)
        self._clock = SampleClock(audio)
        early = (key_signal(digit, 0, 0) for digit in self._early)
        return [call_start(audio, {}), *(key for key in early if key is not None)]

    def _audio(self, kind: int, content: bytes) -> list[Outcome]:
        begun = self._begin(kind)
        assert self._clock is not None
        if kind != self._kind:
            raise ProtocolError("bad_audio", "the rate cannot change once audio was sent")
        self._heard_bytes += len(content)
        if self.source is None:
            return [*begun, *self._clock.take(content)]
        return [*begun, Encoded(content)] if content else begun

    # -- from the session -------------------------------------------------------------------------------------------

    def say(self, message: ServerMessage) -> list[Payload]:
        """Asterisk is told of an end that it has not asked for."""
        match message:
            case Summary() if not self._closing:
                return [frame(HANGUP)]
            case Error(fatal=True):
                return [frame(HANGUP)]
        return []

    def goodbye(self, code: int, reason: str) -> Close:
        return Close(code, reason)
