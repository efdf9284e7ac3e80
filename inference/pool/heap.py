"""Gives back memory that a worker has freed.

A step's tensors come and go in all sizes, and glibc keeps what lies between those that stay: over hours a worker's
resident memory creeps up by some tenths. `malloc_trim` gives whole free pages back to the system.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import time
from collections.abc import Callable

EVERY_S = 10.0
"""A pass takes 20 to 30 ms on a heap of 800 MB."""


def find_trim() -> Callable[[], object] | None:
    """glibc's own; None with another C library."""
    try:
        libc = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6")
        malloc_trim = libc.malloc_trim
    except (OSError, AttributeError):
        return None
    malloc_trim.argtypes, malloc_trim.restype = [ctypes.c_size_t], ctypes.c_int
    return lambda: malloc_trim(0)


class HeapTrimmer:
    """Order of calls: `step_done` after each step; `idle` when nothing waits."""

    def __init__(
        self, trim: Callable[[], object] | None, clock: Callable[[], float] = time.monotonic, every_s: float = EVERY_S
    ) -> None:
        self._trim = trim
        self._clock = clock
        self._every_s = every_s
        self._last = clock()
        self._stepped = False

    def step_done(self) -> None:
        self._stepped = True

    def idle(self) -> None:
        """Trims, if there was a step since the last time and that is long enough ago."""
        now = self._clock()
        if self._trim is not None and self._stepped and now - self._last >= self._every_s:
            self._trim()
            self._last, self._stepped = now, False
