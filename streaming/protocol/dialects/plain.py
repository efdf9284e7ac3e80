"""`/`: clients that know no path. The first message shows whose they are: WhisperLive's has a `uid`."""

from __future__ import annotations

import msgspec

from streaming.protocol.dialect import Close, Dialect, Handshake, Outcome, Payload, Source
from streaming.protocol.dialects.vosk import Vosk
from streaming.protocol.dialects.whisperlive import WhisperLive
from streaming.protocol.errors import ErrorCode, ProtocolError
from streaming.protocol.messages import ServerMessage, Start


class _First(msgspec.Struct):
    uid: str


_decoder = msgspec.json.Decoder(_First)


class PlainSocket:
    start: Start | None = None

    def __init__(self, handshake: Handshake) -> None:
        self._handshake = handshake
        self._dialect: Dialect | None = None
        """None: nothing has come."""

    @property
    def source(self) -> Source | None:
        return self._dialect.source if self._dialect else None

    @property
    def deadline(self) -> float | None:
        return self._dialect.deadline if self._dialect else self._handshake.now + self._handshake.start_timeout_s

    def opened(self, now: float) -> list[Outcome]:
        return []

    def receive(self, payload: Payload, now: float) -> list[Outcome]:
        if self._dialect is None:
            self._dialect = WhisperLive(self._handshake) if _has_uid(payload) else Vosk(self._handshake)
        return [*self._dialect.receive(payload, now)]

    def timeout(self, now: float) -> list[Outcome]:
        if self._dialect is None:
            raise ProtocolError("start_timeout", f"no message for {self._handshake.start_timeout_s:g} s")
        return [*self._dialect.timeout(now)]

    def say(self, message: ServerMessage) -> list[Payload]:
        return [*self._dialect.say(message)] if self._dialect else []

    def goodbye(self, code: int, reason: str) -> Close:
        return self._dialect.goodbye(code, reason) if self._dialect else Close(1008 if code >= 4000 else code, reason)


def _has_uid(payload: Payload) -> bool:
    if isinstance(payload, bytes):
        return False
    try:
        _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


_HTTP: dict[ErrorCode, int] = {
    "unauthorized": 401,
    "overloaded": 503,
    "draining": 503,
    "engine_unavailable": 503,
    "internal": 500,
}


def refusal(error: ProtocolError, request_id: str) -> tuple[int, dict[str, object]]:
    """For protocols that have no shape for it."""
    return _HTTP.get(error.code, 400), {"error": error.text}
