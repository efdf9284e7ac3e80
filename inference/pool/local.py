"""One worker process on this machine, started again whenever it is lost. Implements `interface.Engine`.

Nothing here blocks the event loop: commands are written to the worker's socket in the order of the calls, and what
it cannot take yet waits in the gateway, where `outbound_bytes` and `wait_writable` make it visible.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from inference.pool.interface import EngineInfo, EngineStartError, Job, StepResult, StreamSpec, WorkerLost
from inference.pool.process import WorkerProcess, WorkerSettings
from inference.pool.wire import APPEND_BYTES, Append, CloseStream, Command, Discard, Open

log = logging.getLogger(__name__)

BYTES_PER_SAMPLE = 2
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0
MAX_START_FAILURES = 5


class LocalPool:
    """`start` first, `stop` last.

    A lost worker is replaced at once if it had done a step, else after a delay that doubles from FIRST_DELAY_S up
    to LONGEST_DELAY_S. When MAX_START_FAILURES starts in a row have failed, `failure` says so and no more are tried.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self.generation = 0
        self.failure: str | None = None
        self._settings = settings
        self._worker: WorkerProcess | None = None
        self._changed = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None

    # -- life ---------------------------------------------------------------------------------------------------

    async def start(self) -> EngineInfo:
        """Loads the model. Raises EngineStartError with the worker's sentence; nothing is tried again here."""
        worker = await WorkerProcess.launch(self._settings)
        self._take(worker)
        self._supervisor = asyncio.create_task(self._supervise(worker), name="worker supervisor")
        return worker.info

    async def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        if self._worker is not None:
            await self._worker.stop()

    @property
    def up(self) -> bool:
        """A worker holds the model and answers."""
        return self._worker is not None and self._worker.lost is None

    @property
    def worker_pid(self) -> int | None:
        return self._worker.pid if self._worker is not None and self.up else None

    async def wait_ready(self) -> None:
        """Raises EngineStartError once no more restarts will be tried."""
        while not self.up:
            if self.failure is not None:
                raise EngineStartError(self.failure)
            self._changed.clear()
            await self._changed.wait()

    # -- Engine -------------------------------------------------------------------------------------------------

    @property
    def outbound_bytes(self) -> int:
        return self._worker.outbound_bytes if self._worker is not None and self.up else 0

    async def wait_writable(self) -> None:
        if self._worker is not None and self.up:
            await self._worker.wait_writable()

    def open(self, stream: str, spec: StreamSpec) -> None:
        self._send(Open(stream, spec))

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        for offset in range(0, len(pcm), APPEND_BYTES):
            piece = pcm[offset : offset + APPEND_BYTES]
            self._send(Append(stream, utterance, first_sample + offset // BYTES_PER_SAMPLE, piece))

    async def step(self, jobs: Sequence[Job]) -> StepResult:
        if self._worker is None:
            raise WorkerLost("no worker is up")
        return await self._worker.step(jobs)

    def discard(self, stream: str, utterance: int) -> None:
        self._send(Discard(stream, utterance))

    def close(self, stream: str) -> None:
        self._send(CloseStream(stream))

    # -- inside -------------------------------------------------------------------------------------------------

    def _send(self, command: Command) -> None:
        if self._worker is not None:
            self._worker.send(command)

    def _take(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self.generation += 1
        self._changed.set()

    async def _supervise(self, worker: WorkerProcess) -> None:
        delay_s = FIRST_DELAY_S
        try:
            while True:
                await worker.wait_gone()
                log.warning("the worker was lost and is started again: %s", worker.lost)
                if worker.steps_done:
                    delay_s = FIRST_DELAY_S
                else:
                    await asyncio.sleep(delay_s)
                    delay_s = min(2 * delay_s, LONGEST_DELAY_S)
                worker = await self._relaunch()
                self._take(worker)
        except EngineStartError as exc:
            self._give_up(str(exc))
        except Exception:
            log.exception("the worker's supervisor failed")
            self._give_up("The service has an internal error; its log has the details.")

    async def _relaunch(self) -> WorkerProcess:
        """Raises the last EngineStartError."""
        delay_s = FIRST_DELAY_S
        failures = 0
        while True:
            try:
                return await WorkerProcess.launch(self._settings)
            except EngineStartError as exc:
                failures += 1
                log.error("worker start %d of %d failed: %s", failures, MAX_START_FAILURES, exc)
                if failures == MAX_START_FAILURES:
                    raise
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    def _give_up(self, reason: str) -> None:
        self.failure = reason
        self._changed.set()
