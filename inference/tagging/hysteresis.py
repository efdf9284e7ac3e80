"""Scores of blocks become events with a beginning and an end: hysteresis per class. Pure, no torch.

A class begins with the first block whose score reaches its `on`, and ends before the first block whose score is below
its `off` for `patience` blocks in a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

Phase = Literal["start", "update", "end"]
UPDATE_SAMPLES: Final = 80_000
"""While a class goes on, so much audio lies between two of its events: 5 s."""


class TagEvent(msgspec.Struct, frozen=True):
    label: str
    phase: Phase
    start_sample: int
    end_sample: int | None
    """None at the start; what was heard so far, of an update."""
    score: float
    """The highest so far."""


class Threshold(msgspec.Struct, frozen=True):
    on: float = 0.5
    off: float = 0.3


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    """By label; what is not in it has `default`."""
    default: Threshold = field(default_factory=Threshold)
    patience: int = 2
    """Blocks below `off` that end a class."""

    def __post_init__(self) -> None:
        for label, each in (*self.thresholds.items(), ("default", self.default)):
            if not 0 <= each.off <= each.on <= 1:
                raise ValueError(f"the thresholds of {label}: 0 <= off <= on <= 1, not {each}")
        if self.patience < 1:
            raise ValueError(f"a class ends after at least 1 block, not {self.patience}")


class Running(msgspec.Struct, array_like=True):
    """A class that is heard."""

    start_sample: int
    heard_until: int
    """End of the newest block that was not below `off`."""
    said_until: int
    score: float
    below: int = 0


class TrackerState(msgspec.Struct, frozen=True, array_like=True):
    running: dict[str, Running]


class EventTracker:
    """Order of calls: `blocks` for each block of one channel in the order of the clock; `finish` once."""

    def __init__(self, labels: Sequence[str], settings: TrackerSettings | None = None) -> None:
        """`labels`: what the scores are of, in their order."""
        self._labels = tuple(labels)
        self._settings = settings or TrackerSettings()
        self._running: dict[str, Running] = {}

    def blocks(self, first_sample: int, until_sample: int, scores: Sequence[float] | None) -> list[TagEvent]:
        """Takes the next block; None: there was nothing to hear.

        Raises:
            ValueError: there are not as many scores as labels.
        """
        if scores is not None and len(scores) != len(self._labels):
            raise ValueError(f"{len(scores)} scores for {len(self._labels)} labels")
        events: list[TagEvent] = []
        for index, label in enumerate(self._labels):
            score = scores[index] if scores is not None else 0.0
            events += self._judge(label, score, first_sample, until_sample)
        return events

    def finish(self, end_sample: int) -> list[TagEvent]:
        """The stream ends here, and with it all that is heard."""
        running, self._running = self._running, {}
        return [_end(label, each, min(each.heard_until, end_sample)) for label, each in running.items()]

    def _judge(self, label: str, score: float, first: int, until: int) -> list[TagEvent]:
        threshold = self._settings.thresholds.get(label, self._settings.default)
        running = self._running.get(label)
        if running is None:
            if score < threshold.on:
                return []
            self._running[label] = Running(first, until, until, score)
            return [TagEvent(label, "start", first, None, score)]
        running.score = max(running.score, score)
        if score < threshold.off:
            running.below += 1
            if running.below < self._settings.patience:
                return []
            del self._running[label]
            return [_end(label, running, running.heard_until)]
        running.below, running.heard_until = 0, until
        if until - running.said_until < UPDATE_SAMPLES:
            return []
        running.said_until = until
        return [TagEvent(label, "update", running.start_sample, until, running.score)]

    def state(self) -> TrackerState:
        """A copy."""
        return TrackerState({label: msgspec.structs.replace(each) for label, each in self._running.items()})

    def restore(self, state: TrackerState) -> None:
        """Goes on where another one was. Raises ValueError: it is of other labels."""
        if unknown := set(state.running) - set(self._labels):
            raise ValueError(f"the tracker's state has labels that are not scored: {sorted(unknown)}")
        self._running = {label: msgspec.structs.replace(each) for label, each in state.running.items()}


def _end(label: str, running: Running, until: int) -> TagEvent:
    return TagEvent(label, "end", running.start_sample, until, running.score)
