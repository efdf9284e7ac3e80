"""From the outcomes of a stage to its figures, and whether they lie inside the budget. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.accuracy.exchange import Exchange
from benchmarks.accuracy.figures import ClipResult, figures
from benchmarks.accuracy.invariance import compare
from benchmarks.load.resources import Use
from benchmarks.load.stage import Outcome
from streaming.protocol.messages import Gap

TAKEN = (
    "first_interim_ms",
    "partial_lag_ms",
    "ttfs_ms",
    "upwr",
    "final_corrections",
    "stable_violations",
    "utterances",
    "overloads",
    "decoder_calls_per_s",
    "frames_per_frame",
    "audio_s",
    "speech_s",
)
"""Figures that mean here what they mean in `benchmarks.accuracy`."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a stage must keep to count as carried."""

    partial_lag_p95_ms: float = 1500.0
    ttfs_p95_ms: float = 1000.0

    def missed(self, result: Mapping[str, Any]) -> list[str]:
        """What was missed, in words; empty where the stage lies inside."""
        found = [f"{result[name]} {name}" for name in ("errors", "refused", "gaps") if result[name]]
        for name, bound in (("partial_lag_ms", self.partial_lag_p95_ms), ("ttfs_ms", self.ttfs_p95_ms)):
            percentiles = result[name]
            if percentiles is None:
                found.append(f"no {name}")
            elif percentiles["p95"] > bound:
                found.append(f"{name} p95 {percentiles['p95']:.0f} over {bound:.0f}")
        return found


def stage_result(
    outcomes: Sequence[Outcome],
    alone: Mapping[str, Exchange],
    uses: Mapping[str, Use],
    scheduler: Mapping[str, float],
    budget: Budget,
) -> dict[str, Any]:
    """The figures of one stage, ready for JSON.

    Args:
        alone: each script's exchange when it was the only stream, by the script's name.
        scheduler: what the service counted during the stage; empty where it does not tell.
    """
    whole = [(one.script, one.exchange) for one in outcomes if one.exchange is not None]
    results = [ClipResult.of(script, exchange, None) for script, exchange in whole]
    singles = [ClipResult.of(script, alone[script.row.path], None) for script, _ in whole]
    found = figures(results, [exchange for _, exchange in whole]) if whole else {}
    problems = [one.problem for one in outcomes if one.exchange is None and not one.refused]
    same = compare([single.exchange for single in singles], [exchange for _, exchange in whole])
    result: dict[str, Any] = {
        "streams": len(outcomes),
        "errors": len(problems),
        "refused": sum(one.refused for one in outcomes),
        "gaps": sum(isinstance(r.message, Gap) for _, exchange in whole for r in exchange.received),
        "wer": found.get("wer_streaming"),
        "wer_alone": figures(singles, [])["wer_streaming"] if singles else None,
        "streams_with_other_words": same["differ"],
        **{name: found.get(name) for name in TAKEN},
        "processes": {role: asdict(use) for role, use in uses.items()},
        "scheduler": dict(scheduler),
        "problems": problems[:5],
    }
    return result | {"missed": budget.missed(result)}
