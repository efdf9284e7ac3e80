"""Several workers as one: each utterance is put to the one that has least to do, and stays there.

A worker's state is of utterances, and nothing of one is needed for the next: so the load is shared out anew with
each. Where their number is not prescribed, the first worker starts with the service and the next one when all that
run have some utterances open, so that one microphone does not load the model eight times.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inference.pool.interface import EngineInfo, EngineStartError, Job, StreamSpec
from streaming.scheduler.admission import WINDOW_S
from streaming.scheduler.dispatcher import Dispatcher
from streaming.scheduler.listener import Listener, StreamClosedError
from streaming.scheduler.stats import DispatcherStats, StreamCost

log = logging.getLogger(__name__)

OPEN_BEFORE_NEXT = 3
"""Utterances that every running worker has open before another one is started."""
MOST_CPU_WORKERS = 8
LONG_WAIT_S = 0.3
"""Another worker is started when jobs wait longer than this, however few utterances are open."""
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def most_cpu_workers(cores: int | None = None) -> int:
    """Workers, of one thread each, that use a machine's cores.

    Threads of one worker wait for each other in every layer, and a core that somebody else needs for a moment holds
    them all up; workers do not wait. See docs/adr/0013.
    """
    return min(MOST_CPU_WORKERS, cores or usable_cores())


def usable_cores(quota: Path = CPU_QUOTA) -> int:
    """Cores that this process may use: its affinity, and a container's quota where there is one."""
    cores = len(os.sched_getaffinity(0))
    try:
        limit, period = quota.read_text().split()
        return max(1, min(cores, int(limit) // int(period)))
    except (OSError, ValueError):  # no cgroup, or "max"
        return cores


@dataclass(slots=True)
class _Stream:
    spec: StreamSpec
    listener: Listener
    places: dict[int, int] = field(default_factory=dict)
    """Of each open utterance its worker's index."""
    past: StreamCost = field(default_factory=StreamCost)
    """What it cost on workers where it has nothing open now."""


class Fleet:
    """`start` first, `stop` last. Streams that were closed ignore `append`, `discard` and `close`."""

    def __init__(self, dispatchers: Sequence[Dispatcher], *, as_needed: bool = False) -> None:
        """
        Args:
            dispatchers: one for each worker that there may be, none of them started.
            as_needed: start one, and the others on a CPU when they are needed, if the model writes captions only (those
                that answer are large, and each worker has a copy); else all.
        """
        self._dispatchers = list(dispatchers)
        self._running: list[int] = []
        self._open = [0] * len(self._dispatchers)
        """Utterances of each worker."""
        self._streams: dict[str, _Stream] = {}
        self._as_needed = as_needed
        self._spares: list[int] = []
        self._starting: asyncio.Task[None] | None = None
        for dispatcher in self._dispatchers:
            dispatcher.on_failure = self._worker_failed

    # -- life ---------------------------------------------------------------------------------------------------

    async def start(self) -> EngineInfo:
        """Starts the first worker, or all of them. Raises EngineStartError."""
        first, *others = self._dispatchers if not self._as_needed else self._dispatchers[:1]
        info = await first.start()
        started = await asyncio.gather(*(dispatcher.start() for dispatcher in others), return_exceptions=True)
        if (failed := next((each for each in started if isinstance(each, BaseException)), None)) is not None:
            raise failed
        self._running = list(range(1 + len(others)))
        if info.device == "cpu" and not info.answers:
            self._spares = list(range(len(self._running), len(self._dispatchers)))
        return info

    async def drain(self) -> None:
        """Returns when every job that was submitted is answered or given up."""
        await asyncio.gather(*(self._dispatchers[index].drain() for index in self._running))

    async def stop(self) -> None:
        """Ends all workers; jobs that are still there are forgotten."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await asyncio.gather(*(dispatcher.stop() for dispatcher in self._dispatchers))

    # -- streams ------------------------------------------------------------------------------------------------

    def open(self, stream: str, spec: StreamSpec, listener: Listener) -> None:
        """Raises EngineStartError when no worker is left, ValueError when the name is in use."""
        if (failure := self.failure) is not None:
            raise EngineStartError(failure)
        if stream in self._streams:
            raise ValueError(f"stream {stream!r} is open already")
        self._streams[stream] = _Stream(spec, listener)

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        """As `Dispatcher.append`. The first audio of an utterance decides on its worker."""
        state = self._streams.get(stream)
        if state is not None and (dispatcher := self._place(stream, state, utterance)) is not None:
            dispatcher.append(stream, utterance, first_sample, pcm)

    def submit(self, job: Job, deadline: float) -> None:
        """As `Dispatcher.submit`, and raises the same."""
        state = self._streams.get(job.stream)
        dispatcher = self._place(job.stream, state, job.utterance) if state else None
        if dispatcher is None:
            raise StreamClosedError(job.stream)
        dispatcher.submit(job, deadline)

    def discard(self, stream: str, utterance: int) -> None:
        """The utterance is done: its queued jobs are cancelled and the worker's state of it freed."""
        state = self._streams.get(stream)
        if state is None or (index := state.places.pop(utterance, None)) is None:
            return
        self._open[index] -= 1
        self._dispatchers[index].discard(stream, utterance)
        if index not in state.places.values():
            self._leave(stream, state, index)

    def close(self, stream: str) -> None:
        """Forgets the stream; an answer that is on its way is dropped."""
        state = self._streams.pop(stream, None)
        if state is None:
            return
        for index in state.places.values():
            self._open[index] -= 1
        for index in {*state.places.values()}:
            self._dispatchers[index].close(stream)

    # -- what can be asked --------------------------------------------------------------------------------------

    def check(self) -> None:
        """Looks after the workers, about twice a second: who was lost for good is said, and another one is started
        where jobs wait long."""
        for index in self._running:
            self._dispatchers[index].check()
        well = self._well()
        if not well or min(self._dispatchers[index].wait_s(WINDOW_S) for index in well) > LONG_WAIT_S:
            self._start_spare()

    @property
    def failure(self) -> str | None:
        """Why no job will ever run again, in one sentence; None while a worker is left or one can be started."""
        if not self._running or self._well() or self._spares or self._starting is not None:
            return None
        return self._dispatchers[self._running[0]].failure

    async def wait_writable(self, stream: str) -> None:
        """Returns when the workers of the stream take more audio."""
        state = self._streams.get(stream)
        for index in {*state.places.values()} if state else ():
            await self._dispatchers[index].wait_writable()

    def wait_s(self, last_s: float) -> float:
        """As `Dispatcher.wait_s`, of the worker with the least; nothing while another one can be started."""
        if self._spares or self._starting is not None:
            return 0.0
        return min((self._dispatchers[index].wait_s(last_s) for index in self._well()), default=0.0)

    def cost(self, stream: str) -> StreamCost:
        """What an open stream cost so far; zeros for an unknown one."""
        state = self._streams.get(stream)
        if state is None:
            return StreamCost()
        return sum((self._dispatchers[index].cost(stream) for index in {*state.places.values()}), start=state.past)

    @property
    def workers(self) -> int:
        """Those that run, or are being replaced after a loss."""
        return len(self._well())

    @property
    def stats(self) -> DispatcherStats:
        """Totals since the start, of all workers."""
        return DispatcherStats.of([self._dispatchers[index].share for index in self._running])

    # -- inside -------------------------------------------------------------------------------------------------

    def _well(self) -> list[int]:
        return [index for index in self._running if self._dispatchers[index].failure is None]

    def _place(self, stream: str, state: _Stream, utterance: int) -> Dispatcher | None:
        """The utterance's worker; a new one goes where least is open, and to one that is up if any is. None, and the
        stream is told and closed, where there is no worker for it."""
        if (placed := state.places.get(utterance)) is not None:
            return self._dispatchers[placed]
        well = self._well()
        if not well:
            self._fail(stream, self.failure or "no worker is up: try again in a moment")
            return None
        index = min(well, key=lambda each: (not self._dispatchers[each].up, self._open[each]))
        dispatcher = self._dispatchers[index]
        if index not in state.places.values():
            dispatcher.open(stream, state.spec, state.listener)
        state.places[utterance] = index
        self._open[index] += 1
        if min(self._open[each] for each in well) >= OPEN_BEFORE_NEXT:
            self._start_spare()
        return dispatcher

    def _worker_failed(self) -> None:
        """When it was the last one, streams that had nothing open there are told too."""
        if not self._well():
            self._start_spare()
        if (failure := self.failure) is None:
            return
        for stream in list(self._streams):
            self._fail(stream, failure)

    def _fail(self, stream: str, reason: str) -> None:
        listener = self._streams[stream].listener
        self.close(stream)
        listener.on_stream_failed(reason)

    def _leave(self, stream: str, state: _Stream, index: int) -> None:
        state.past += self._dispatchers[index].cost(stream)
        self._dispatchers[index].close(stream)

    def _start_spare(self) -> None:
        if self._spares and self._starting is None:
            self._starting = asyncio.create_task(self._start_another(), name="another worker")

    async def _start_another(self) -> None:
        index = self._spares.pop(0)
        try:
            await self._dispatchers[index].start()
            self._running.append(index)
            log.info("%d workers are running", len(self._running))
        except EngineStartError as error:
            self._spares.clear()
            log.error("no more workers than %d can be started: %s", len(self._running), error)
        except Exception:
            self._spares.clear()
            log.exception("another worker could not be started")
        finally:
            self._starting = None
        self._worker_failed()
