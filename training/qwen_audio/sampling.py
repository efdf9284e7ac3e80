"""Which rows are learnt from, in which order: small tasks more often than their size says, every clip as often.

Tasks are drawn at random in proportion to size**(1/temperature) (as in multilingual BERT and mT5; Xue et al., 2021,
arXiv 2010.11934); within a task, each row comes once before any comes again. Batches are packed up to a bound of
positions. All state is a few numbers, so that a run can be resumed in the middle of an epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def shares(sizes: Mapping[str, int], temperature: float) -> dict[str, float]:
    """Of the draws, how many go to each group; they sum to 1."""
    raised = {group: size ** (1 / temperature) for group, size in sizes.items()}
    return {group: weight / sum(raised.values()) for group, weight in raised.items()}


class BalancedSampler:
    """Draws rows without end."""

    def __init__(self, groups: Sequence[str], temperature: float, seed: int) -> None:
        """
        Args:
            groups: the group of each row.
            temperature: see `Data.temperature`.

        Raises:
            ValueError: there are no rows.
        """
        if not groups:
            raise ValueError("there are no rows to draw from")
        self._members = {name: [at for at, group in enumerate(groups) if group == name] for name in sorted(set(groups))}
        self._shares = shares({name: len(rows) for name, rows in self._members.items()}, temperature)
        self._seed = seed
        self._generator = np.random.default_rng(seed)
        self._drawn = dict.fromkeys(self._members, 0)
        self._orders: dict[str, tuple[int, list[int]]] = {}

    def draw(self) -> int:
        """The number of the next row."""
        names = list(self._members)
        group = names[self._generator.choice(len(names), p=list(self._shares.values()))]
        epoch, place = divmod(self._drawn[group], len(self._members[group]))
        self._drawn[group] += 1
        return self._order(group, epoch)[place]

    def state(self) -> dict[str, Any]:
        """Of `restore`; can be written as JSON."""
        return {"generator": self._generator.bit_generator.state, "drawn": dict(self._drawn)}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where a sampler of the same rows, temperature and seed stood."""
        self._generator.bit_generator.state = state["generator"]
        self._drawn = dict(state["drawn"])

    def _order(self, group: str, epoch: int) -> list[int]:
        known = self._orders.get(group)
        if known is None or known[0] != epoch:
            place = list(self._members).index(group)
            shuffled = np.random.default_rng((self._seed, place, epoch)).permutation(self._members[group])
            known = self._orders[group] = (epoch, [int(row) for row in shuffled])
        return known[1]


class Batches:
    """Packs drawn rows: as many as fit into a bound of positions, at least one."""

    def __init__(self, sampler: BalancedSampler, positions: Sequence[int], limit: int) -> None:
        """
        Args:
            positions: of each row.
            limit: of a batch.
        """
        self._sampler, self._positions, self._limit = sampler, positions, limit
        self._waiting: int | None = None
        self.made = 0
        """Batches so far."""

    def next(self) -> list[int]:
        """The rows of the next batch."""
        rows: list[int] = []
        room = self._limit
        while True:
            row = self._sampler.draw() if self._waiting is None else self._waiting
            self._waiting = None
            if rows and self._positions[row] > room:
                self._waiting = row
                self.made += 1
                return rows
            rows.append(row)
            room -= self._positions[row]

    def state(self) -> dict[str, Any]:
        """Of `restore`; can be written as JSON."""
        return {"sampler": self._sampler.state(), "waiting": self._waiting, "made": self.made}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where batches of the same rows, bound and seed stood."""
        self._sampler.restore(state["sampler"])
        self._waiting, self.made = state["waiting"], state["made"]
