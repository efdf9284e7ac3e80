"""What one stream of a peer was sent and said, and the figures of many of them. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.accuracy.words import Percentiles


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a peer. Times are of the machine's monotonic clock, positions of the clip."""

    at_s: float
    until_ms: float
    """End of the newest words: as far as the peer has come."""
    text: str
    """All that it says of the clip by then."""


@dataclass(slots=True)
class Timeline:
    """One stream of a peer."""

    sent: list[tuple[float, float]] = field(default_factory=list)
    """(when, position in ms after it) of each chunk."""
    said: list[Said] = field(default_factory=list)
    problem: str = ""

    def sent_ms(self, at_s: float) -> float:
        index = bisect_right(self.sent, at_s, key=lambda chunk: chunk[0])
        return self.sent[index - 1][1] if index else 0.0

    @property
    def text(self) -> str:
        """The last word on the clip."""
        return self.said[-1].text if self.said else ""

    def lags_ms(self) -> list[float]:
        """Newest audio sent minus newest audio told, just before and just after each message that tells of more.

        What was never told counts once, at the end: a peer that falls silent is behind.
        """
        lags, told = [], 0.0
        for said in self.said:
            if said.until_ms <= told:
                continue
            sent = self.sent_ms(said.at_s)
            lags += [sent - told, sent - said.until_ms]
            told = said.until_ms
        if self.sent:
            lags.append(max(0.0, self.sent[-1][1] - told))
        return [max(0.0, lag) for lag in lags]

    def first_ms(self) -> float | None:
        """From the first chunk to the first words."""
        first = next((said.at_s for said in self.said if said.text.strip()), None)
        return None if first is None or not self.sent else 1000 * (first - self.sent[0][0])


def stage_figures(timelines: Sequence[Timeline]) -> dict[str, Any]:
    """The figures of one stage, named as in `benchmarks.load`."""
    whole = [timeline for timeline in timelines if not timeline.problem]
    return {
        "streams": len(timelines),
        "errors": len(timelines) - len(whole),
        "partial_lag_ms": _percentiles([lag for timeline in whole for lag in timeline.lags_ms()]),
        "first_interim_ms": _percentiles([ms for timeline in whole if (ms := timeline.first_ms()) is not None]),
        "problems": [timeline.problem for timeline in timelines if timeline.problem][:5],
    }


def _percentiles(values: Sequence[float]) -> dict[str, float] | None:
    found = Percentiles.of(values)
    return None if found is None else asdict(found)


def within(stage: dict[str, Any], lag_budget_ms: float) -> bool:
    """No error, and partial lag inside the budget."""
    lag = stage["partial_lag_ms"]
    return not stage["errors"] and lag is not None and lag["p95"] <= lag_budget_ms
