"""Spans of time, counted without bound and listed up to one."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_LISTED: Final = 200
"""Of each list in a call's summary; what comes later is only counted."""


class Spans(msgspec.Struct, array_like=True):
    """All spans of one kind."""

    count: int = 0
    total_samples: int = 0
    longest_samples: int = 0
    listed: list[tuple[int, int]] = []
    """(first sample, first sample behind it), the first MAX_LISTED."""
    dropped: int = 0
    """Not listed, as the list was full."""

    def add(self, start: int, end: int, *, listed: bool = True) -> None:
        length = end - start
        if length <= 0:
            return
        self.count += 1
        self.total_samples += length
        self.longest_samples = max(self.longest_samples, length)
        if listed and len(self.listed) < MAX_LISTED:
            self.listed.append((start, end))
        elif listed:
            self.dropped += 1
