"""What `/metrics` shows, in Prometheus' text format. One registry per service; no label grows with use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streaming.scheduler.stats import DispatcherStats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds from the end of speech being decided to its final: the budget is 0.45 s, so most buckets lie around it.
FINAL_BUCKETS_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8, 1.2, 2.0, 5.0, 10.0, 30.0)

disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sessions = Gauge("tympan_sessions", "Sessions that are live.", registry=self.registry)
        self.viewers = Gauge("tympan_viewers", "Connections that watch sessions.", registry=self.registry)
        self.sessions_total = Counter("tympan_sessions_started", "Sessions that began.", registry=self.registry)
        self.sessions_resumed = Counter("tympan_sessions_resumed", "Sessions that went on.", registry=self.registry)
        self.audio_seconds = Counter("tympan_audio_seconds", "Audio received, per session.", registry=self.registry)
        self.utterances = Counter("tympan_utterances", "Finals sent.", registry=self.registry)
        self.lost = Counter("tympan_utterances_lost", "Utterances reported as a gap.", registry=self.registry)
        self.final_seconds = Histogram(
            "tympan_final_seconds",
            "From the endpoint firing to the final being ready.",
            buckets=FINAL_BUCKETS_S,
            registry=self.registry,
        )
        self.errors = Counter(
            "tympan_errors", "Sessions and connections that ended in an error.", ["code"], registry=self.registry
        )

        self.reports = Counter(
            "tympan_webhook_reports", "Tries to deliver a report of a call.", ["outcome"], registry=self.registry
        )

    def watch_scheduler(self, stats: Callable[[], DispatcherStats]) -> None:
        """Adds the dispatcher's sums, read when somebody looks."""
        self.registry.register(_SchedulerCollector(stats))

    def render(self) -> bytes:
        return generate_latest(self.registry)


class _SchedulerCollector(Collector):
    def __init__(self, stats: Callable[[], DispatcherStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats()
        sums = {
            "jobs": ("Jobs answered.", stats.jobs),
            "batches": ("Batches run.", stats.batches),
            "jobs_coalesced": ("Interims covered by a newer job before they ran.", stats.coalesced),
            "jobs_retried": ("Jobs that ran again after a failure.", stats.retried),
            "jobs_given_up": ("Jobs without an answer.", stats.given_up),
            "encoder_frames": ("Frames of 20 ms put through the encoder.", stats.encoder_frames),
            "decoder_calls": ("Decoder calls, per stream that took part.", stats.decoder_calls),
            "step_seconds": ("Time the worker spent in steps.", stats.step_seconds),
            "worker_restarts": ("Times the worker was replaced.", max(0, stats.generation - stats.workers)),
        }
        for name, (text, value) in sums.items():
            yield CounterMetricFamily(f"tympan_{name}", text, value=value)
        gauges = {
            "workers": ("Workers that run.", stats.workers),
            "jobs_queued": ("Jobs that wait.", stats.queued),
            "batch_occupancy": ("Jobs per batch over the largest batch, 0 to 1.", stats.occupancy),
            "queue_delay_p95_seconds": ("From submission to start, latest jobs.", stats.queue_delay_p95_ms / 1000),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"tympan_{name}", text, value=value)
