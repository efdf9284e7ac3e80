"""Which report of which call is delivered next. Pure: bounded queues, one in flight for each call, backoff.

The order of calls: `put` as reports come about; `take` while it gives something, and carry it out; `done` with what
became of it; look again at `due`. Times are seconds of any monotonic clock.

Reports of one call arrive in their order, since the next one waits until the one before is delivered or given up.
Calls do not wait for each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 60.0
JITTER: Final = 0.25
"""Of a pause: calls that failed together do not come again together."""

Outcome = Literal["delivered", "refused", "failed"]
"""`refused` for good, whatever is tried; `failed` for now."""


@dataclass(frozen=True, slots=True)
class Delivery:
    queue: str
    id: str
    body: bytes
    since: float
    """When it was put."""


@dataclass(slots=True)
class _Queue:
    waiting: deque[Delivery] = field(default_factory=deque)
    in_flight: bool = False
    failures: int = 0
    """In a row."""
    not_before: float = 0.0


class Deliveries:
    def __init__(
        self,
        *,
        per_call: int,
        max_bytes: int,
        max_in_flight: int,
        give_up_s: float,
        random: Callable[[], float] = lambda: 0.5,
    ) -> None:
        """
        Args:
            per_call: reports that may wait.
            max_bytes: of all that wait.
            give_up_s: how long one report is tried.
            random: from 0 to 1.
        """
        self.dropped = 0
        """They did not fit, or were refused or given up."""
        self._per_call = per_call
        self._max_bytes = max_bytes
        self._max_in_flight = max_in_flight
        self._give_up_s = give_up_s
        self._random = random
        self._queues: dict[str, _Queue] = {}
        """Only those with something in them; the one that was served last stands last."""
        self._bytes = 0
        self._in_flight = 0

    @property
    def waiting(self) -> int:
        """Those in flight among them."""
        return sum(len(queue.waiting) for queue in self._queues.values())

    @property
    def due(self) -> float | None:
        """When `take` may give something, if nothing else happens before; None: not at all."""
        if self._in_flight >= self._max_in_flight:
            return None
        return min((queue.not_before for queue in self._queues.values() if not queue.in_flight), default=None)

    def put(self, queue: str, id: str, body: bytes, now: float) -> bool:
        """False: it did not fit and is dropped; what waits stays."""
        waiting = self._queues.get(queue)
        if (waiting is not None and len(waiting.waiting) >= self._per_call) or (
            self._bytes + len(body) > self._max_bytes
        ):
            self.dropped += 1
            return False
        if waiting is None:
            waiting = self._queues[queue] = _Queue()
        waiting.waiting.append(Delivery(queue, id, body, now))
        self._bytes += len(body)
        return True

    def take(self, now: float) -> Delivery | None:
        """The next one, which is in flight until it is `done`."""
        if self._in_flight >= self._max_in_flight:
            return None
        for name, queue in list(self._queues.items()):
            if not queue.in_flight and queue.not_before <= now:
                self._queues[name] = self._queues.pop(name)
                queue.in_flight = True
                self._in_flight += 1
                return queue.waiting[0]
        return None

    def done(self, delivery: Delivery, outcome: Outcome, now: float, retry_after_s: float | None = None) -> None:
        """
        Args:
            retry_after_s: how long the receiver wants to be left alone.
        """
        queue = self._queues[delivery.queue]
        queue.in_flight = False
        self._in_flight -= 1
        if outcome == "failed" and now - delivery.since < self._give_up_s:
            pause = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(queue.failures, 16))
            pause *= 1 + JITTER * (2 * self._random() - 1)
            queue.failures += 1
            queue.not_before = now + max(pause, min(LONGEST_RETRY_S, retry_after_s or 0.0))
            return
        if outcome != "delivered":
            self.dropped += 1
        if outcome == "delivered":
            queue.failures, queue.not_before = 0, now
        queue.waiting.popleft()
        self._bytes -= len(delivery.body)
        if not queue.waiting:
            del self._queues[delivery.queue]
