"""Which fault comes next, and for how long. Pure: what may be done now is given, and chance is seeded."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "gateway killed",
    "gateway frozen",
    "gateway drained",
    "worker killed",
    "worker frozen",
    "redis restarted",
    "redis emptied",
    "redis frozen",
    "sockets cut",
    "sockets cut, redis frozen",
    "sockets cut, gateway frozen",
    "gateway killed, redis frozen",
]
BAG: Sequence[Kind] = (
    "gateway killed",
    "gateway frozen",
    "gateway drained",
    "worker killed",
    "worker frozen",
    "redis restarted",
    "redis emptied",
    "redis frozen",
    "sockets cut",
    "sockets cut",
    "sockets cut, redis frozen",
    "sockets cut, gateway frozen",
    "gateway killed, redis frozen",
)
"""Every thirteen faults are these, in another order."""
FROZEN_S = (0.5, 6.0)
REDIS_DOWN_S = (0.2, 3.0)
GATEWAY_DOWN_S = (0.0, 2.0)
PAUSE_S = (0.3, 2.0)
ONE_GATEWAY_SERVES: Collection[Kind] = (
    "gateway killed",
    "gateway frozen",
    "gateway drained",
    "gateway killed, redis frozen",
    "sockets cut, gateway frozen",
)
"""The other gateway must be there."""
LOSES_A_COPY: Collection[Kind] = ("redis restarted", "redis emptied")
"""Both gateways must be there, since the live sessions in them are the only copy, or a newer one."""


@dataclass(frozen=True, slots=True)
class Fault:
    kind: Kind
    target: int
    """Which gateway, where it is about one."""
    lasts_s: float
    """Frozen, or down before it is started again."""
    share: float
    """Of the sockets."""
    pause_s: float
    """After all sessions go on, before the next fault."""


class Plan:
    """Order of calls: `next` for each fault."""

    def __init__(self, seed: int, gateways: int) -> None:
        self._random = random.Random(seed)
        self._gateways = gateways
        self._bag: list[Kind] = []

    def next(self, ready: Collection[int]) -> Fault | None:
        """The next one of the bag that may be done now; None: none of it may.

        Args:
            ready: gateways that take sessions and have a worker.
        """
        if not self._bag:
            self._bag = list(BAG)
            self._random.shuffle(self._bag)
        kind = next((kind for kind in self._bag if self._may(kind, ready)), None)
        if kind is None:
            return None
        self._bag.remove(kind)
        return Fault(
            kind=kind,
            target=self._random.choice(sorted(ready)),
            lasts_s=self._random.uniform(*_duration(kind)),
            share=self._random.choice((0.3, 0.6, 1.0)),
            pause_s=self._random.uniform(*PAUSE_S),
        )

    def _may(self, kind: Kind, ready: Collection[int]) -> bool:
        return len(ready) == self._gateways if kind in (*ONE_GATEWAY_SERVES, *LOSES_A_COPY) else bool(ready)


def _duration(kind: Kind) -> tuple[float, float]:
    if kind.endswith("frozen"):
        return FROZEN_S
    if kind in LOSES_A_COPY:
        return REDIS_DOWN_S
    return GATEWAY_DOWN_S if kind in ("gateway killed", "gateway drained") else (0.0, 0.0)
