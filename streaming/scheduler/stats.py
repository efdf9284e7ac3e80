"""What the dispatcher counts: totals for metrics, and each stream's share for its session's summary. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import msgspec

from inference.pool.interface import Job, StepStats
from streaming.scheduler.policy import Policy


@dataclass(frozen=True, slots=True)
class StreamCost:
    """One stream's share of the work."""

    encoder_frames: float = 0
    decoder_calls: float = 0
    jobs: int = 0

    def __add__(self, other: StreamCost) -> StreamCost:
        return StreamCost(
            self.encoder_frames + other.encoder_frames, self.decoder_calls + other.decoder_calls, self.jobs + other.jobs
        )


@dataclass(frozen=True, slots=True)
class WorkerShare:
    """One worker's part in the sums."""

    totals: StepStats
    policy: Policy
    generation: int


@dataclass(frozen=True, slots=True)
class DispatcherStats:
    """Sums since the start, percentiles over the latest batches. `generation` counts every start of a worker."""

    jobs: int
    encoder_frames: int
    encoder_frames_final: int
    decoder_calls: int
    decoder_passes: int
    step_seconds: float
    batches: int
    occupancy: float
    coalesced: int
    retried: int
    given_up: int
    queued: int
    generation: int
    queue_delay_p50_ms: float
    queue_delay_p95_ms: float
    queue_delay_p99_ms: float
    workers: int = 1

    @classmethod
    def of(cls, shares: Sequence[WorkerShare]) -> Self:
        """What metrics and `/readyz` show."""
        totals, policies = StepStats(), [share.policy for share in shares]
        for share in shares:
            totals = add_stats(totals, share.totals)
        counters = [policy.counters for policy in policies]
        p50, p95, p99 = percentiles((delay for policy in policies for delay in policy.queue_delays_s), (50, 95, 99))
        capacity = sum(each.capacity for each in counters)
        return cls(
            jobs=totals.jobs,
            encoder_frames=totals.encoder_frames,
            encoder_frames_final=totals.encoder_frames_final,
            decoder_calls=totals.decoder_calls,
            decoder_passes=totals.decoder_passes,
            step_seconds=totals.seconds,
            batches=sum(each.batches for each in counters),
            occupancy=sum(each.started for each in counters) / capacity if capacity else 0.0,
            coalesced=sum(each.coalesced for each in counters),
            retried=sum(each.retried for each in counters),
            given_up=sum(each.given_up for each in counters),
            queued=sum(policy.queued() for policy in policies),
            generation=sum(share.generation for share in shares),
            queue_delay_p50_ms=p50 * 1000,
            queue_delay_p95_ms=p95 * 1000,
            queue_delay_p99_ms=p99 * 1000,
            workers=len(shares),
        )


@dataclass(slots=True)
class Share:
    """A stream's running share; fractions of a batch are kept, so that shares add up to the totals."""

    encoder_frames: float = 0.0
    decoder_calls: float = 0.0
    jobs: int = 0

    def add(self, encoder_frames: float, decoder_calls: float) -> None:
        """One more job."""
        self.encoder_frames += encoder_frames
        self.decoder_calls += decoder_calls
        self.jobs += 1

    def cost(self) -> StreamCost:
        return StreamCost(self.encoder_frames, self.decoder_calls, self.jobs)


def add_stats(a: StepStats, b: StepStats) -> StepStats:
    """Field by field."""
    return StepStats(*(x + y for x, y in zip(msgspec.structs.astuple(a), msgspec.structs.astuple(b), strict=True)))


def split_cost(stats: StepStats, jobs: Sequence[Job]) -> list[tuple[float, float]]:
    """Divides a step's cost among the jobs it answered.

    The frames of finals' passes are divided by the lengths of the finals' segments, which is what such a pass
    costs; the frames of incremental encoding and the decoder's calls evenly.

    Returns:
        (encoder frames, decoder calls) for each job, in order; each column adds up to the step's total.
    """
    if not jobs:
        return []
    final_lengths = [0 if job.kind in ("interim", "sounds") else job.until_sample - job.start_sample for job in jobs]
    final_total = sum(final_lengths)
    final_frames = stats.encoder_frames_final if final_total else 0
    even_frames = (stats.encoder_frames - final_frames) / len(jobs)
    even_calls = stats.decoder_calls / len(jobs)
    return [
        (even_frames + (final_frames * length / final_total if final_total else 0.0), even_calls)
        for length in final_lengths
    ]


def percentiles(values: Iterable[float], ranks: Sequence[float]) -> list[float]:
    """Nearest-rank percentiles (0 < rank ≤ 100); zeros when there are no values."""
    ordered = sorted(values)
    if not ordered:
        return [0.0 for _ in ranks]
    return [ordered[max(0, math.ceil(rank / 100 * len(ordered)) - 1)] for rank in ranks]
