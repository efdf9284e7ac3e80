"""Clients that may say nothing for a while, and are left after it."""

from __future__ import annotations

from streaming.protocol.dialect import Handshake, Outcome
from streaming.protocol.errors import ProtocolError


class LeftWhenIdle:
    """The part of a Dialect that looks at the time. `receive` sets `_last_heard`; with `_closing` nothing is waited for
    any more."""

    def __init__(self, handshake: Handshake) -> None:
        self._idle_timeout_s = handshake.idle_timeout_s
        self._last_heard = handshake.now
        self._closing = False

    @property
    def deadline(self) -> float | None:
        return None if self._closing else self._last_heard + self._idle_timeout_s

    def timeout(self, now: float) -> list[Outcome]:
        raise ProtocolError("idle_timeout", f"no message for {self._idle_timeout_s:g} s")
