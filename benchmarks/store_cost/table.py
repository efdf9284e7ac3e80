"""What the Redis costs, as a table for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from benchmarks.cluster.options import bounds_table
from benchmarks.store_cost.figures import CPU_SHARE, TTFS_P95_MS


def rows(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(figure, value, bound), in the order of the tables."""
    found = []
    for store in ("memory", "redis"):
        values = " ".join(f"{value:.0f}" for value in result["us_per_message"][store])
        found.append((f"gateway's CPU a message, {store}, µs, each turn", values, ""))
    found.append(("added by Redis, median of the turns", f"{result['cpu_added_share']:.1%}", f"{CPU_SHARE:.0%}"))
    found.append(("CPU of Redis itself a message, µs", f"{result['redis_us_per_message']:.0f}", ""))
    for store in ("memory", "redis"):
        spread = result["ttfs_ms"][store]
        found.append(
            (f"TTFS, {store}, ms (p50 / p95), of {spread['count'] if spread else 0} finals", _spread(spread), "")
        )
    found.append(("added, ms (p50 / p95)", _spread(result["ttfs_added_ms"]), f"p95 {TTFS_P95_MS:g}"))
    for kind, size in result["bytes_per_session"].items():
        found.append((f"KB in Redis of a live session: {KINDS.get(kind, kind)}", f"{size / 1000:.1f}", ""))
    found.append(
        ("KB of messages for each minute of a session", f"{result['log_bytes_per_session_minute'] / 1000:.1f}", "")
    )
    return found


KINDS = {"events": "messages", "pcm": "audio of the open utterance", "session": "state"}
"""Of keys in Redis."""


def table(result: dict[str, Any]) -> Table:
    return bounds_table(
        f"{result['streams']} streams, {result['turns']} turns, {result['machine']['processor']}", rows(result)
    )


def _spread(percentiles: dict[str, float] | None) -> str:
    return "-" if percentiles is None else f"{percentiles['p50']} / {percentiles['p95']}"
