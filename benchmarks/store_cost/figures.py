"""From stages in turns to what the Redis adds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from benchmarks.accuracy.exchange import Exchange
from benchmarks.accuracy.figures import latencies
from benchmarks.accuracy.words import Percentiles

CPU_SHARE = 0.10
TTFS_P95_MS = 15.0

Store = Literal["memory", "redis"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One load on one gateway."""

    store: Store
    cpu_s: float
    """Of the gateway's process."""
    redis_cpu_s: float
    exchanges: Sequence[Exchange]
    errors: int

    @property
    def messages(self) -> int:
        """Of audio."""
        return sum(len(exchange.sent) for exchange in self.exchanges)

    @property
    def us_per_message(self) -> float:
        return 1e6 * self.cpu_s / max(1, self.messages)

    @property
    def ttfs_ms(self) -> list[float]:
        return [value for exchange in self.exchanges for value in latencies(exchange).ttfs]


@dataclass(frozen=True, slots=True)
class Kept:
    """In Redis, of sessions that are live."""

    sessions: int
    minutes: float
    """That they had been speaking for, on average."""
    bytes_by_kind: dict[str, int]


def figures(pairs: Sequence[tuple[Stage, Stage]], kept: Sequence[Kept]) -> dict[str, Any]:
    """Args: pairs: memory and Redis of one turn each."""
    shares = [redis.us_per_message / memory.us_per_message - 1 for memory, redis in pairs]
    by_store: dict[Store, list[Stage]] = {
        "memory": [memory for memory, _ in pairs],
        "redis": [redis for _, redis in pairs],
    }
    ttfs = {
        store: Percentiles.of(value for stage in stages for value in stage.ttfs_ms)
        for store, stages in by_store.items()
    }
    with_redis, without = ttfs["redis"], ttfs["memory"]
    added = None
    if with_redis is not None and without is not None:
        added = {name: round(getattr(with_redis, name) - getattr(without, name), 1) for name in ("p50", "p95")}
    result: dict[str, Any] = {
        "turns": len(pairs),
        "errors": sum(stage.errors for pair in pairs for stage in pair),
        "us_per_message": {
            store: [round(stage.us_per_message, 1) for stage in stages] for store, stages in by_store.items()
        },
        "cpu_added_share": round(median(shares), 4),
        "cpu_added_shares": [round(share, 4) for share in shares],
        "redis_us_per_message": round(
            median(1e6 * redis.redis_cpu_s / max(1, redis.messages) for _, redis in pairs), 1
        ),
        "ttfs_ms": {store: None if found is None else asdict(found) for store, found in ttfs.items()},
        "ttfs_added_ms": added,
        **_bytes(kept),
    }
    missed = [f"{result['errors']} errors"] if result["errors"] else []
    if result["cpu_added_share"] > CPU_SHARE:
        missed.append(f"{result['cpu_added_share']:.1%} of the gateway's CPU, over {CPU_SHARE:.0%}")
    if added is None or added["p95"] > TTFS_P95_MS:
        missed.append(f"TTFS p95 {added and added['p95']} ms later, over {TTFS_P95_MS:g} ms")
    return result | {"missed": missed}


def _bytes(kept: Sequence[Kept]) -> dict[str, Any]:
    kinds = sorted({kind for one in kept for kind in one.bytes_by_kind})
    by_session = {kind: round(median(one.bytes_by_kind.get(kind, 0) / one.sessions for one in kept)) for kind in kinds}
    minutes = median(one.minutes for one in kept)
    return {
        "kept_minutes": round(minutes, 2),
        "bytes_per_session": by_session,
        "log_bytes_per_session_minute": round(by_session.get("events", 0) / minutes),
        "bytes_per_session_minute": round(sum(by_session.values()) / minutes),
    }
