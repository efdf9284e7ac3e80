"""What the application has not been told yet: a resumed session says some things again."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from tympan_client.events import (
    Analysis,
    CallEvent,
    CallSummary,
    Gap,
    MarkerReached,
    ServerMessage,
    SoundEvent,
    Speech,
    TranscriptUpdate,
)

KEPT = 1024


class Novelty:
    """Numbered messages once each; and nothing about which the same was said, however it is numbered: what a server
    said while its store was away comes again with other numbers."""

    def __init__(self) -> None:
        self.last_seq = 0
        self._told: dict[Hashable, None] = {}  # the newest, in order
        self._markers: deque[str] = deque()

    def expect_marker(self, marker: str) -> None:
        """It was taken from the application, and comes back once."""
        self._markers.append(marker)

    def is_new(self, event: ServerMessage) -> bool:
        if 0 <= event.seq <= self.last_seq:
            return False
        self.last_seq = max(self.last_seq, event.seq)
        if isinstance(event, MarkerReached):
            return self._reached(event.id)
        if isinstance(event, TranscriptUpdate) and _final(event.utterance) in self._told:
            return False
        key = _key(event)
        if key is None:
            return True
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > KEPT:
            del self._told[next(iter(self._told))]
        return True

    def _reached(self, marker: str) -> bool:
        if marker not in self._markers:
            return False
        self._markers.remove(marker)  # names may be used again
        return True


def _final(utterance: int) -> Hashable:
    return ("final", utterance)


def _key(event: ServerMessage) -> Hashable:
    """What is said once only; None: it may be said again."""
    match event:
        case TranscriptUpdate(final=True):
            return _final(event.utterance)
        case Speech():
            return ("speech", event.state, event.utterance)
        case Gap():
            return ("gap", event.reason, event.channel, event.from_sample, event.to_sample)
        case Analysis():
            return ("analysis", event.utterance, event.index)
        case CallEvent(kind="keyword"):
            return ("keyword", event.keyword, event.channel, event.utterance, event.start_ms)
        case CallEvent():
            return ("call", event.kind, event.phase, event.channel, event.start_ms, event.end_ms)
        case CallSummary():
            return ("call_summary",)
        case SoundEvent():
            return ("sound", event.label, event.channel, event.start_ms, event.end_ms, event.phase, event.source)
    return None
