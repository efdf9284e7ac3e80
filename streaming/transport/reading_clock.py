"""The time that a client has had to say something: it stands still while nobody listens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


class ReadingClock:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._missed_s = 0.0
        self._busy_since: float | None = None

    def __call__(self) -> float:
        """Seconds, starting with the clock's own."""
        return (self._clock() if self._busy_since is None else self._busy_since) - self._missed_s

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """While a message is worked off, which takes as long as the session makes the client wait."""
        self._busy_since = self._clock()
        try:
            yield
        finally:
            self._missed_s += self._clock() - self._busy_since
            self._busy_since = None
