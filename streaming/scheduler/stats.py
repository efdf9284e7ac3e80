"""What the dispatcher counts: totals for metrics, and each stream's share for its session's summary. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from inference.pool.interface import Job, StepStats
from streaming.scheduler.policy import Policy


@dataclass(frozen=True, slots=True)
class StreamCost:
    """One stream's share of the work."""

    encoder_frames: int = 0
    decoder_calls: int = 0
    jobs: int = 0


@dataclass(frozen=True, slots=True)
class DispatcherStats:
    """Sums since the dispatcher started; percentiles over the latest batches."""

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
        """Rounded for people."""
        return StreamCost(round(self.encoder_frames), round(self.decoder_calls), self.jobs)


def add_stats(a: StepStats, b: StepStats) -> StepStats:
    """Field by field."""
    return StepStats(*(x + y for x, y in zip(msgspec.structs.astuple(a), msgspec.structs.astuple(b), strict=True)))


def dispatcher_stats(totals: StepStats, policy: Policy, generation: int) -> DispatcherStats:
    """What metrics and `/readyz` show."""
    counters = policy.counters
    p50, p95, p99 = percentiles(policy.queue_delays_s, (50, 95, 99))
    return DispatcherStats(
        jobs=totals.jobs,
        encoder_frames=totals.encoder_frames,
        encoder_frames_final=totals.encoder_frames_final,
        decoder_calls=totals.decoder_calls,
        decoder_passes=totals.decoder_passes,
        step_seconds=totals.seconds,
        batches=counters.batches,
        occupancy=counters.occupancy,
        coalesced=counters.coalesced,
        retried=counters.retried,
        given_up=counters.given_up,
        queued=policy.queued(),
        generation=generation,
        queue_delay_p50_ms=p50 * 1000,
        queue_delay_p95_ms=p95 * 1000,
        queue_delay_p99_ms=p99 * 1000,
    )


def split_cost(stats: StepStats, jobs: Sequence[Job]) -> list[tuple[float, float]]:
    """Divides a step's cost among the jobs it answered.

    The frames of finals' passes are divided by the lengths of the finals' segments, which is what such a pass
    costs; the frames of incremental encoding and the decoder's calls evenly.

    Returns:
        (encoder frames, decoder calls) for each job, in order; each column adds up to the step's total.
    """
    if not jobs:
        return []
    final_lengths = [job.until_sample - job.start_sample if job.kind != "interim" else 0 for job in jobs]
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
