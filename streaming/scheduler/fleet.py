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

from inference.pool.interface import EngineInfo, EngineStartError, Job, StreamSpec
from streaming.scheduler.dispatcher import Dispatcher
from streaming.scheduler.listener import Listener, StreamClosedError
from streaming.scheduler.stats import DispatcherStats, StreamCost

log = logging.getLogger(__name__)

OPEN_BEFORE_NEXT = 3
"""Utterances that every running worker has open before another one is started."""
MOST_CPU_WORKERS = 8


def most_cpu_workers(cores: int | None = None) -> int:
    """Workers, of one thread each, that use a machine's cores.

    Threads of one worker wait for each other in every layer, and a core that somebody else needs for a moment holds
    them all up; workers do not wait. See docs/adr/0013.
    """
    return min(MOST_CPU_WORKERS, cores or len(os.sched_getaffinity(0)))


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
            as_needed: start one, and the others on a CPU when they are needed; else all.
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
        await asyncio.gather(*(dispatcher.start() for dispatcher in others))
        self._running = list(range(1 + len(others)))
        if info.device == "cpu":
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
        if (state := self._streams.get(stream)) is not None:
            self._place(stream, state, utterance).append(stream, utterance, first_sample, pcm)

    def submit(self, job: Job, deadline: float) -> None:
        """As `Dispatcher.submit`, and raises the same."""
        state = self._streams.get(job.stream)
        if state is None:
            raise StreamClosedError(job.stream)
        self._place(job.stream, state, job.utterance).submit(job, deadline)

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

    @property
    def failure(self) -> str | None:
        """Why no job will ever run again, in one sentence; None while a worker is left."""
        failures = [self._dispatchers[index].failure for index in self._running]
        return None if not failures or None in failures else failures[0]

    async def wait_writable(self, stream: str) -> None:
        """Returns when the workers of the stream take more audio."""
        state = self._streams.get(stream)
        for index in {*state.places.values()} if state else ():
            await self._dispatchers[index].wait_writable()

    def queued_finals(self, stream: str) -> int:
        """Finals of the stream that wait."""
        return sum(self._dispatchers[index].queued_finals(stream) for index in self._running)

    def wait_p95_s(self, last_s: float) -> float:
        """As `Dispatcher.wait_p95_s`, of the worker with the least; nothing while another one can be started."""
        if self._spares or not self._running:
            return 0.0
        return min(self._dispatchers[index].wait_p95_s(last_s) for index in self._running)

    def cost(self, stream: str) -> StreamCost:
        """What an open stream cost so far; zeros for an unknown one."""
        state = self._streams.get(stream)
        if state is None:
            return StreamCost()
        return sum((self._dispatchers[index].cost(stream) for index in {*state.places.values()}), start=state.past)

    @property
    def workers(self) -> int:
        """Those that run."""
        return len(self._running)

    @property
    def stats(self) -> DispatcherStats:
        """Totals since the start, of all workers."""
        return DispatcherStats.of([self._dispatchers[index].share for index in self._running])

    # -- inside -------------------------------------------------------------------------------------------------

    def _place(self, stream: str, state: _Stream, utterance: int) -> Dispatcher:
        """The utterance's worker; a new one goes where least is open."""
        if (index := state.places.get(utterance)) is not None:
            return self._dispatchers[index]
        well = [index for index in self._running if self._dispatchers[index].failure is None] or self._running
        index = min(well, key=lambda each: self._open[each])
        dispatcher = self._dispatchers[index]
        if index not in state.places.values():
            dispatcher.open(stream, state.spec, state.listener)
        state.places[utterance] = index
        self._open[index] += 1
        if self._spares and self._starting is None and min(self._open[each] for each in well) >= OPEN_BEFORE_NEXT:
            self._starting = asyncio.create_task(self._start_another(), name="another worker")
        return dispatcher

    def _worker_failed(self) -> None:
        """When it was the last one, streams that had nothing open there are told too."""
        if (failure := self.failure) is None:
            return
        for stream, state in list(self._streams.items()):
            self.close(stream)
            state.listener.on_stream_failed(failure)

    def _leave(self, stream: str, state: _Stream, index: int) -> None:
        state.past += self._dispatchers[index].cost(stream)
        self._dispatchers[index].close(stream)

    async def _start_another(self) -> None:
        index = self._spares.pop(0)
        try:
            await self._dispatchers[index].start()
        except EngineStartError as error:
            self._spares.clear()
            log.error("no more workers than %d can be started: %s", len(self._running), error)
        else:
            self._running.append(index)
            log.info("%d workers are running", len(self._running))
        finally:
            self._starting = None
