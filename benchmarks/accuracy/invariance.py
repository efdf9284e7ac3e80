"""Do finals depend on anything but the samples? The same clips again, cut and timed otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.accuracy.exchange import Exchange
from benchmarks.accuracy.stream import Pace


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to send the corpus."""

    name: str
    chunk_ms: int
    """0: as large as the service takes."""
    streams: int
    pace: Pace = "at_once"


VARIANTS = (
    Variant("20 ms chunks", 20, 1),
    Variant("100 ms chunks", 100, 1),
    Variant("333 ms chunks", 333, 1),
    Variant("whole clip in one message", 0, 1),
    Variant("20 ms chunks, 8 streams at once", 20, 8),
)


def compare(baseline: Sequence[Exchange], variant: Sequence[Exchange]) -> dict[str, Any]:
    """How many clips of the variant have other finals than the baseline: in their words, and in their words or times.

    The clips that differ are named by their index.
    """
    in_words = [index for index, pair in enumerate(zip(baseline, variant, strict=True)) if _differ(*pair, times=False)]
    in_times = [index for index, pair in enumerate(zip(baseline, variant, strict=True)) if _differ(*pair, times=True)]
    return {"clips": len(baseline), "differ": len(in_words), "differ_with_times": len(in_times), "which": in_words}


def _differ(one: Exchange, other: Exchange, times: bool) -> bool:
    return _finals(one, times) != _finals(other, times)


def _finals(exchange: Exchange, times: bool) -> list[list[tuple[object, ...]]]:
    return [
        [(word.text, word.start_ms, word.end_ms) if times else (word.text,) for word in final.words]
        for final in exchange.finals
    ]
