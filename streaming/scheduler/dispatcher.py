"""Runs jobs on an engine, one step at a time, and keeps the worker's state complete. I/O shell of `policy`.

The order of calls, for ever: wait until a worker is up and the policy has a batch; give the worker what it lacks
of the batch's utterances; bind each job's prefix; run the step; tell the listeners. What the worker holds is a cache
(`worker_cache` keeps its book): where it is incomplete, the session's PCM is sent again before the utterance's next
job.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec

from inference.pool.interface import (
    Engine,
    EngineInfo,
    EngineStartError,
    ErrorCode,
    Hypothesis,
    Job,
    JobError,
    StepResult,
    StepStats,
    StreamSpec,
    WorkerLost,
)
from streaming.scheduler.listener import Listener, StreamClosedError
from streaming.scheduler.policy import Policy, Ticket
from streaming.scheduler.stats import (
    DispatcherStats,
    Share,
    StreamCost,
    WorkerShare,
    add_stats,
    percentiles,
    split_cost,
)
from streaming.scheduler.worker_cache import WorkerCache

log = logging.getLogger(__name__)

WAIT_RANK = 80
FEWEST_WAITS = 8
MAX_OUTBOUND_BYTES = 32 << 20  # about 17 minutes of audio; what lies beyond is sent when its job runs


@dataclass(slots=True, eq=False)
class _Stream:
    name: str
    listener: Listener
    share: Share = field(default_factory=Share)


class Dispatcher:
    """`start` first, `stop` last. Streams that were closed ignore `append`, `discard` and `close`."""

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        clock: Callable[[], float],
        *,
        max_outbound_bytes: int = MAX_OUTBOUND_BYTES,
    ) -> None:
        """`clock`: seconds, the same clock as the deadlines'."""
        self._engine = engine
        self._policy = policy
        self._clock = clock
        self._cache = WorkerCache(engine, max_outbound_bytes)
        self._streams: dict[str, _Stream] = {}
        self._totals = StepStats()
        self._work = asyncio.Event()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure: str | None = None
        self.on_failure: Callable[[], None] = lambda: None
        """Called after the streams were told that no job will run again."""

    # -- life ---------------------------------------------------------------------------------------------------

    async def start(self) -> EngineInfo:
        """Raises EngineStartError."""
        info = await self._engine.start()
        self._policy.max_batch = min(self._policy.max_batch, info.max_batch)
        self._task = asyncio.create_task(self._run(), name="dispatcher")
        return info

    async def drain(self) -> None:
        """Returns when every job that was submitted is answered or given up."""
        while not self._policy.idle:
            self._settled.clear()
            await self._settled.wait()

    async def stop(self) -> None:
        """Ends the loop and the engine; jobs that are still there are forgotten."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._engine.stop()

    # -- streams ------------------------------------------------------------------------------------------------

    def open(self, stream: str, spec: StreamSpec, listener: Listener) -> None:
        """Raises EngineStartError when no engine is left, ValueError when the name is in use."""
        if (failure := self.failure) is not None:
            raise EngineStartError(failure)
        if stream in self._streams:
            raise ValueError(f"stream {stream!r} is open already")
        self._streams[stream] = _Stream(stream, listener)
        self._cache.open(stream, spec)

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        """Hands audio on; first look at `outbound_bytes` or wait for `wait_writable`. What cannot be sent now is
        asked for by `segment_pcm` later."""
        self._cache.append(stream, utterance, first_sample, pcm)

    def submit(self, job: Job, deadline: float) -> None:
        """Queues a job; its answer comes to the listener. `job.prefix` is replaced by `prefix_tokens` at its start.

        Raises:
            StreamClosedError: the stream is not open.
            StreamQueueFullError: too many finals of the stream are waiting.
        """
        if job.stream not in self._streams:
            raise StreamClosedError(job.stream)
        self._policy.submit(job, self._clock(), deadline)
        self._work.set()

    def discard(self, stream: str, utterance: int) -> None:
        """The utterance is done: its queued jobs are cancelled and the worker's state of it freed."""
        self._policy.cancel(stream, utterance)
        self._cache.discard(stream, utterance)
        self._settled.set()

    def close(self, stream: str) -> None:
        """Forgets the stream; an answer that is on its way is dropped."""
        if self._streams.pop(stream, None) is None:
            return
        self._policy.drop_stream(stream)
        self._cache.close(stream)
        self._settled.set()

    # -- what can be asked --------------------------------------------------------------------------------------

    @property
    def failure(self) -> str | None:
        """Why no job will ever run again, in one sentence; None while all is well or a worker is being replaced."""
        return self._failure or self._engine.failure

    @property
    def outbound_bytes(self) -> int:
        """Audio and commands that wait to be sent to the worker."""
        return self._engine.outbound_bytes

    async def wait_writable(self) -> None:
        """Returns when more audio may be appended."""
        await self._engine.wait_writable()

    @property
    def up(self) -> bool:
        """A worker is there now."""
        return self._engine.up

    def check(self) -> None:
        """Tells the streams where the engine was lost for good while nothing was queued."""
        if self._failure is None and self._engine.failure is not None:
            self._fail(self._engine.failure)

    def wait_s(self, last_s: float) -> float:
        """How long four of five jobs wait at most for the worker, not for others of their stream; of the last seconds.
        0 where too few have come to tell."""
        waits = self._policy.waits_s(self._clock(), last_s)
        return percentiles(waits, (WAIT_RANK,))[0] if len(waits) >= FEWEST_WAITS else 0.0

    def cost(self, stream: str) -> StreamCost:
        """What an open stream cost so far; zeros for an unknown one."""
        state = self._streams.get(stream)
        return state.share.cost() if state else StreamCost()

    @property
    def stats(self) -> DispatcherStats:
        """Totals since the start."""
        return DispatcherStats.of([self.share])

    @property
    def share(self) -> WorkerShare:
        """What the totals are made of."""
        return WorkerShare(self._totals, self._policy, self._engine.generation)

    # -- the loop -----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while True:
                batch = await self._next_batch()
                await self._step(batch)
                self._settled.set()
        except EngineStartError as exc:
            self._fail(str(exc))
        except Exception:
            log.exception("the dispatcher failed")
            self._fail("The service has an internal error; its log has the details.")

    async def _next_batch(self) -> list[Ticket]:
        while True:
            self._work.clear()
            await self._engine.wait_ready()
            now = self._clock()
            if batch := self._policy.next_batch(now):
                return batch
            wake_at = self._policy.wake_at()
            try:
                async with asyncio.timeout(None if wake_at is None else wake_at - now):
                    await self._work.wait()
            except TimeoutError:
                # The timer says that `wake_at` has come, whatever the clock's resolution is.
                if wake_at is not None and (batch := self._policy.next_batch(max(wake_at, self._clock()))):
                    return batch

    async def _step(self, batch: list[Ticket]) -> None:
        runnable = [ticket for ticket in batch if await self._complete_audio(ticket)]
        bound = [(ticket, job) for ticket in runnable if (job := self._bind(ticket)) is not None]
        if not bound:
            return
        try:
            result = await self._engine.step([job for _, job in bound])
        except WorkerLost as exc:
            log.warning("a step of %d jobs was lost: %s", len(bound), exc)
            self._retry([(ticket, _error(ticket, "internal", f"the worker was lost: {exc}")) for ticket, _ in bound])
        else:
            self._deliver([ticket for ticket, _ in bound], result)

    async def _complete_audio(self, ticket: Ticket) -> bool:
        """Gives the worker the utterance's audio where it lacks it. False where the job cannot run."""
        if not self._policy.wanted(ticket):
            self._policy.complete([ticket])
            return False
        job = ticket.job
        state = self._streams[job.stream]
        if self._cache.complete(job.stream, job.utterance):
            return True
        try:
            segment = state.listener.segment_pcm(job.utterance)
        except Exception:
            log.exception("a listener failed while its audio was asked for")
            self._fail_stream(state, "internal error")
            return False
        if segment is None:
            error = _error(ticket, "missing_audio", "the session holds the utterance's audio no longer")
            self._give_up(self._policy.complete([ticket]), error)
            return False
        self._cache.resend(job.stream, job.utterance, *segment)
        self._tell(state, partial(state.listener.on_rebuilt, job.utterance))
        await self._engine.wait_writable()
        return True

    def _bind(self, ticket: Ticket) -> Job | None:
        """The job as it runs. None where it is not wanted any more, which may have changed while audio was sent."""
        if not self._policy.wanted(ticket):
            self._policy.complete([ticket])
            return None
        state = self._streams[ticket.job.stream]
        try:
            return msgspec.structs.replace(ticket.job, prefix=state.listener.prefix_tokens(ticket.job))
        except Exception:
            log.exception("a listener failed while its prefix was asked for")
            self._fail_stream(state, "internal error")
            return None

    # -- answers ------------------------------------------------------------------------------------------------

    def _deliver(self, batch: list[Ticket], result: StepResult) -> None:
        self._account(batch, result)
        hypotheses = {(h.stream, h.utterance, h.revision): h for h in result.hypotheses}
        errors = {(e.stream, e.utterance, e.revision): e for e in result.errors}
        failed: list[tuple[Ticket, JobError]] = []
        for ticket in batch:
            key = (ticket.job.stream, ticket.job.utterance, ticket.job.revision)
            if (hypothesis := hypotheses.get(key)) is not None:
                self._hand_over(ticket, hypothesis)
            else:
                failed.append((ticket, errors.get(key) or _error(ticket, "internal", "the worker gave no answer")))
        self._retry(failed)

    def _hand_over(self, ticket: Ticket, hypothesis: Hypothesis) -> None:
        for wanted in self._policy.complete([ticket]):
            state = self._streams[wanted.job.stream]
            self._tell(state, partial(state.listener.on_hypothesis, hypothesis))

    def _retry(self, failed: list[tuple[Ticket, JobError]]) -> None:
        """A failed job's audio is sent again, since its state is not to be trusted. Unless that was all it lacked, it
        runs alone the next time, so that it cannot fail its peers."""
        for ticket, error in failed:
            if error.code == "bad_job":
                self._give_up(self._policy.complete([ticket]), error)
                continue
            self._cache.distrust(ticket.job.stream, ticket.job.utterance)
            self._give_up(self._policy.retry([ticket], alone=error.code != "missing_audio"), error)

    def _give_up(self, tickets: list[Ticket], error: JobError) -> None:
        for ticket in tickets:
            asked = ticket.job.kind == "answer" and error.code == "bad_job"  # more than the model takes, by a client
            level = logging.INFO if asked else logging.ERROR
            log.log(level, "job given up after %d tries: %s: %s", ticket.tries + 1, error.code, error.message)
            state = self._streams[ticket.job.stream]
            self._tell(state, partial(state.listener.on_job_error, ticket.job, error))

    def _account(self, batch: list[Ticket], result: StepResult) -> None:
        self._totals = add_stats(self._totals, result.stats)
        self._policy.stepped(len(batch), result.stats.seconds)
        jobs = [ticket.job for ticket in batch]
        for job, (frames, calls) in zip(jobs, split_cost(result.stats, jobs), strict=True):
            if (state := self._streams.get(job.stream)) is not None:
                state.share.add(frames, calls)

    # -- failures -----------------------------------------------------------------------------------------------

    def _tell(self, state: _Stream, call: Callable[[], None]) -> None:
        """One listener's failure ends its own stream and no other."""
        try:
            call()
        except Exception:
            log.exception("a listener failed")
            self._fail_stream(state, "internal error")

    def _fail_stream(self, state: _Stream, reason: str) -> None:
        if self._streams.get(state.name) is state:
            self.close(state.name)
        try:
            state.listener.on_stream_failed(reason)
        except Exception:
            log.exception("a listener failed while it was told of a failure")

    def _fail(self, reason: str) -> None:
        """No job will run again: every stream is told and closed, and none that one of its jobs was given up, since
        the session may go on elsewhere."""
        self._failure = reason
        log.error("no engine is left: %s", reason)
        for state in list(self._streams.values()):
            self._fail_stream(state, reason)
        self._policy.drain_all()
        self._settled.set()
        self.on_failure()


def _error(ticket: Ticket, code: ErrorCode, message: str) -> JobError:
    job = ticket.job
    return JobError(job.stream, job.utterance, job.revision, code, message)
