"""One life of a worker process, seen from the gateway's event loop. `local` starts the next one.

The order: `launch` (spawn, connect, wait for Started), then `send` and `step`, then `stop`; or at any time the loss,
after which `lost` says why, every running step raises WorkerLost, and the process is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.pool.interface import EngineInfo, EngineStartError, Job, StepResult, WorkerLost
from inference.pool.wire import Command, Failed, FrameCodec, FrameError, Ping, Pong, Started, Step, StepDone, Stop

log = logging.getLogger(__name__)

_STDERR = 2
_WORKER_ENVIRONMENT = {
    # Threads that wait must not spin: on a busy machine that holds up the one they wait for.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Every length of audio is a kernel of its own, kept with its memory: by default a thousand of them.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
}
_IMPORT_ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the package `inference`


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker runs and how long it may take."""

    model: str
    device: str = "auto"
    threads: int | None = None
    """CPU threads of a step; None: all cores but one."""
    precision: str = "auto"
    """float32, bfloat16 or int8; auto: the fastest that the device has units for."""
    tagger: str = "builtin"
    """What hears more than words: builtin, off, or hub: and the name of an audio classifier."""
    engine: str = "whisper"
    """`whisper`: what the model's config.json says, a Whisper where it does not; `fake` for tests of the process."""
    step_timeout_s: float = 30.0
    """A worker that runs one command for longer is killed."""
    silence_timeout_s: float = 10.0
    """A worker that answers no ping for longer is killed."""
    start_timeout_s: float = 300.0
    """Loading may include a download."""
    stop_timeout_s: float = 5.0
    high_water_bytes: int = 4 << 20
    """Where `wait_writable` begins to wait; two minutes of audio."""
    log_level: str = "WARNING"

    def __post_init__(self) -> None:
        for name in ("step_timeout_s", "silence_timeout_s", "start_timeout_s", "stop_timeout_s", "high_water_bytes"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")

    @property
    def ping_interval_s(self) -> float:
        """Often enough to see both timeouts within a quarter."""
        return min(1.0, self.step_timeout_s / 4, self.silence_timeout_s / 4)


class WorkerProcess:
    """Made by `launch` only."""

    def __init__(
        self,
        settings: WorkerSettings,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.steps_done = 0
        self.lost: str | None = None
        """Why the process is gone; None while it is up."""
        self.info: EngineInfo
        self._settings = settings
        self._process = process
        self._reader = reader
        self._writer = writer
        self._codec = FrameCodec()
        self._running: dict[int, asyncio.Future[StepResult]] = {}
        self._next_step = 0
        self._unanswered_pings = 0
        self._gone = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    # -- life ---------------------------------------------------------------------------------------------------

    @classmethod
    async def launch(cls, settings: WorkerSettings) -> WorkerProcess:
        """Raises EngineStartError with the worker's own sentence where it has one."""
        here, there = socket.socketpair()
        here.setblocking(False)
        try:
            process = await _spawn(settings, there)
        except BaseException as exc:
            here.close()
            if isinstance(exc, OSError):
                raise EngineStartError(f"The worker process could not be started: {exc}") from exc
            raise
        finally:
            there.close()
        reader, writer = await asyncio.open_unix_connection(sock=here)
        writer.transport.set_write_buffer_limits(high=settings.high_water_bytes)
        worker = cls(settings, process, reader, writer)
        try:
            async with asyncio.timeout(settings.start_timeout_s):
                worker.info = await worker._started()
        except TimeoutError as exc:
            await worker._end()
            raise EngineStartError(
                f"The model {settings.model!r} was not loaded within {settings.start_timeout_s:g} s."
            ) from exc
        except BaseException:
            await worker._end()
            raise
        worker._tasks = [
            asyncio.create_task(worker._read(), name="worker replies"),
            asyncio.create_task(worker._watch(), name="worker watchdog"),
        ]
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait_gone(self) -> None:
        """Returns when the worker is lost and its process has ended."""
        await self._gone.wait()

    async def stop(self) -> None:
        """Lets the worker finish what it was sent, within `stop_timeout_s`, then kills it."""
        self.send(Stop())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stop_timeout_s):
                await self._process.wait()
        self._lose("the pool was stopped")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._end()

    # -- commands -----------------------------------------------------------------------------------------------

    @property
    def outbound_bytes(self) -> int:
        return self._writer.transport.get_write_buffer_size()

    async def wait_writable(self) -> None:
        """Returns when less than `high_water_bytes` wait, or the worker is lost."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    def send(self, command: Command) -> None:
        """Does nothing when the worker is lost. Raises FrameError when the command is too long."""
        if self.lost is None:
            self._writer.write(self._codec.encode(command))

    async def step(self, jobs: Sequence[Job]) -> StepResult:
        """Raises WorkerLost."""
        if self.lost is not None:
            raise WorkerLost(self.lost)
        step_id = self._next_step
        self._next_step += 1
        done: asyncio.Future[StepResult] = asyncio.get_running_loop().create_future()
        self._running[step_id] = done
        try:
            self.send(Step(step_id, tuple(jobs)))
            return await done
        finally:
            del self._running[step_id]

    # -- inside -------------------------------------------------------------------------------------------------

    async def _started(self) -> EngineInfo:
        model = self._settings.model
        try:
            reply = await self._codec.read_reply(self._reader)
        except (OSError, FrameError) as exc:
            raise EngineStartError(f"The worker process failed while it loaded the model {model!r}: {exc}") from exc
        match reply:
            case Started(info):
                return info
            case Failed(message):
                raise EngineStartError(message)
            case _:
                status = await self._process.wait()
                raise EngineStartError(
                    f"The worker process ended with status {status} while it loaded the model {model!r}."
                )

    async def _read(self) -> None:
        """Until the socket closes; then the worker is lost."""
        reason = "the worker process ended"
        try:
            while (reply := await self._codec.read_reply(self._reader)) is not None:
                match reply:
                    case StepDone(step_id, result):
                        self._finish(step_id, result)
                    case Pong(_, busy_s):
                        self._unanswered_pings = 0
                        self._check_busy(busy_s)
                    case Failed(message):
                        reason = message
                        return
                    case Started():
                        raise FrameError("a second Started")
        except (OSError, FrameError) as exc:
            reason = f"the worker's socket failed: {exc}"
        finally:
            self._lose(reason)
            await self._end()
            log.info("worker %d is gone (status %s): %s", self.pid, self._process.returncode, self.lost)
            self._gone.set()

    async def _watch(self) -> None:
        """Pings are counted, not timed: a gateway that was itself asleep must not blame the worker."""
        limit = math.ceil(self._settings.silence_timeout_s / self._settings.ping_interval_s)
        ping_id = 0
        while self.lost is None:
            if self._unanswered_pings >= limit:
                self._lose(f"the worker answered no ping for {self._settings.silence_timeout_s:g} s")
                return
            self.send(Ping(ping_id))
            ping_id += 1
            self._unanswered_pings += 1
            await asyncio.sleep(self._settings.ping_interval_s)

    def _check_busy(self, busy_s: float) -> None:
        if busy_s >= self._settings.step_timeout_s:
            self._lose(f"the worker was busy with one command for more than {self._settings.step_timeout_s:g} s")

    def _finish(self, step_id: int, result: StepResult) -> None:
        self.steps_done += 1
        done = self._running.get(step_id)
        if done is not None and not done.done():
            done.set_result(result)

    def _lose(self, reason: str) -> None:
        """The first reason stays. The socket closes with the process, which ends `_read`."""
        if self.lost is not None:
            return
        self.lost = reason
        self._kill()
        for done in self._running.values():
            if not done.done():
                done.set_exception(WorkerLost(reason))

    def _kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _end(self) -> None:
        self._kill()
        await self._process.wait()
        self._writer.transport.abort()


async def _spawn(settings: WorkerSettings, sock: socket.socket) -> asyncio.subprocess.Process:
    """A fresh interpreter, not a fork: the gateway has threads. Its standard output is the gateway's error output,
    since whoever reads the gateway's output waits for its ready line."""
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(_IMPORT_ROOT), *([inherited] if inherited else [])])
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "inference.pool.worker"),
        *("--fd", str(sock.fileno())),
        *("--model", settings.model),
        *("--device", settings.device),
        *(("--threads", str(settings.threads)) if settings.threads else ()),
        *("--precision", settings.precision),
        *("--tagger", settings.tagger),
        *("--engine", settings.engine),
        *("--log-level", settings.log_level),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=_STDERR,
        env={**_WORKER_ENVIRONMENT, **os.environ, "PYTHONPATH": path},
        pass_fds=(sock.fileno(),),
        start_new_session=True,
    )
