"""Whether there is room for another session, by how long jobs wait for a worker. Pure."""

from __future__ import annotations

from typing import Final

WINDOW_S: Final = 5.0
"""Waits of so long count."""
RECOVERED: Final = 0.7
"""Of the limit: below this there is room again ..."""
RECOVER_AFTER_S: Final = 3.0
"""... once it has been so for this long."""


class Admission:
    """Full when most jobs wait longer than the limit; not at once free again when they do not."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._good_since: float | None = None
        self.full = False

    def measure(self, wait_s: float, now: float) -> bool:
        """Takes what jobs waited in the last WINDOW_S (`Fleet.wait_s`), about twice a second. Returns `full`."""
        if wait_s > self._limit_s:
            self.full, self._good_since = True, None
        elif not self.full or wait_s > RECOVERED * self._limit_s:
            self._good_since = None
        elif self._good_since is None:
            self._good_since = now
        elif now - self._good_since >= RECOVER_AFTER_S:
            self.full, self._good_since = False, None
        return self.full
