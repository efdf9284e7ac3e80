"""When to connect again after a loss, and when to give up. Pure: time and chance are given."""

from __future__ import annotations

from collections.abc import Callable

from tympan_client.errors import ConnectionLost, TympanError

BASE_S = 0.2
CAP_S = 5.0
STEADY_S = 10.0
"""A connection that held so long ended the outage before it, and so does one on which audio was acknowledged; a loss
before that goes on with it."""
LEAVING_SHARE = 0.5
"""After `goaway`, the client has left by this share of the time that is given to it."""
LOSSES = frozenset({None, 1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014})
"""Close codes after which the session can be resumed, if they come without an `error` and before the summary."""
SLOW_READER = 4429


class ReconnectPolicy:
    """Backoff with full jitter, inside a window that begins with the outage.

    The order of calls: `delay_s` after each loss and each attempt that failed; `connected` when one succeeded, and
    `acknowledged` when the session got on with it.
    """

    def __init__(
        self, window_s: float, chance: Callable[[], float], *, base_s: float = BASE_S, cap_s: float = CAP_S
    ) -> None:
        """`chance` gives a number of [0, 1), another one each time."""
        self._window_s = window_s
        self._chance = chance
        self._base_s = base_s
        self._cap_s = cap_s
        self._failures = 0
        self._began_s = 0.0
        self._connected_s: float | None = None

    def delay_s(self, error: TympanError, now_s: float) -> float | None:
        """How long to wait before the next attempt; None: give up with this error."""
        if not error.retryable:
            return None
        if self._connected_s is not None and now_s - self._connected_s >= STEADY_S:
            self._failures = 0
        self._connected_s = None
        if not self._failures:
            self._began_s = now_s
        left_s = self._began_s + self._window_s - now_s
        wanted_s = (error.retry_after_ms or 0) / 1000
        if left_s <= 0 or wanted_s > left_s:
            return None
        spread_s = min(self._cap_s, self._base_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return min(left_s, wanted_s + self._chance() * spread_s)

    def connected(self, now_s: float) -> None:
        self._connected_s = now_s

    def acknowledged(self) -> None:
        self._failures = 0


def leave_after_s(deadline_ms: int, chance: float) -> float:
    """When to leave a server that said `goaway`: not all of its clients at the same moment."""
    return deadline_ms / 1000 * LEAVING_SHARE * chance


def closed(code: int | None, reason: str | None) -> TympanError:
    """What it means that the server closed the connection and said nothing else."""
    said = f"the connection ended with close code {code}" + (f": {reason}" if reason else "")
    if code in LOSSES:
        return ConnectionLost(said)
    return TympanError(reason or "connection_lost", said, retryable=code == SLOW_READER)
