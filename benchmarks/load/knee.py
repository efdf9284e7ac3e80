"""The search for the most streams that stay inside the budget. Pure."""

from __future__ import annotations


class KneeSearch:
    """Doubles until a stage misses the budget, then halves the distance between the best and the worst.

    Order of calls: `next` for the number to try, `tell` with how it went, until `next` is None; then `knee`.
    """

    def __init__(self, first: int, most: int, resolution: float = 0.1) -> None:
        """`resolution`: the search ends when the knee is known to this share of itself, or to one stream."""
        if not 1 <= first <= most:
            raise ValueError("first must be at least 1 and at most most")
        self.knee = 0
        """The most streams that were tried and stayed inside the budget; 0: none did."""
        self._missed: int | None = None
        self._next: int | None = first
        self._most = most
        self._resolution = resolution

    def next(self) -> int | None:
        return self._next

    def tell(self, streams: int, inside: bool) -> None:
        """How the stage went that `next` asked for."""
        if inside:
            self.knee = max(self.knee, streams)
        else:
            self._missed = streams if self._missed is None else min(self._missed, streams)
        if self._missed is None:
            self._next = min(2 * self.knee, self._most) if self.knee < self._most else None
        elif self._missed - self.knee <= max(1, int(self.knee * self._resolution)):
            self._next = None
        else:
            self._next = (self.knee + self._missed) // 2
