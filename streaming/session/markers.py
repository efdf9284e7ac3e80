"""Markers that wait for the audio before them to be decoded, in the order in which they came. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import MarkerEcho
from streaming.session.effects import Effect, Send


class PendingMarker(msgspec.Struct, frozen=True, array_like=True):
    """A marker that is not echoed yet."""

    id: str
    sample: int
    """At the client's rate."""
    targets: tuple[int, ...]
    """For each channel, at 16 kHz."""


class Markers:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[PendingMarker] = deque()

    @property
    def next_targets(self) -> tuple[int, ...] | None:
        """What the next marker to be echoed waits for, for each channel."""
        return self._waiting[0].targets if self._waiting else None

    @property
    def waiting(self) -> list[PendingMarker]:
        return list(self._waiting)

    def put(self, marker: PendingMarker) -> None:
        """Raises ProtocolError (`bad_message`): too many wait."""
        if len(self._waiting) >= self._limit:
            raise ProtocolError("bad_message", f"more than {self._limit} markers wait")
        self._waiting.append(marker)

    def restore(self, waiting: list[PendingMarker], channels: int) -> None:
        """Raises ValueError: one of them is not of so many channels."""
        for marker in waiting:
            if len(marker.targets) != channels:
                raise ValueError(f"a marker waits for {len(marker.targets)} channels; the session has {channels}")
        self._waiting.extend(waiting)

    def echo(self, decoded: Callable[[tuple[int, ...]], bool]) -> list[Effect]:
        """Those whose audio is decoded, as far as all before them are echoed."""
        effects: list[Effect] = []
        while self._waiting and decoded(self._waiting[0].targets):
            marker = self._waiting.popleft()
            effects.append(Send(MarkerEcho(id=marker.id, sample=marker.sample)))
        return effects
