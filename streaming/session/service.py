"""The whole service without a socket: a fleet of workers, one store, many sessions.

The order of calls: `start`; `new_session` for each client; `drain` and `stop` at the end. The app puts sockets on
top of it; `tympan transcribe` uses it in place.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from inference.pool.interface import Engine, EngineInfo, EngineStartError
from inference.pool.local import LocalPool
from inference.pool.process import WorkerSettings
from session_store.memory import MemoryStore
from session_store.store import Limits
from streaming.config import Config
from streaming.observability.metrics import Metrics
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import ModelInfo, Start
from streaming.scheduler.admission import WINDOW_S, Admission
from streaming.scheduler.dispatcher import Dispatcher
from streaming.scheduler.fleet import Fleet, most_cpu_workers
from streaming.scheduler.policy import Policy
from streaming.scheduler.stats import DispatcherStats
from streaming.session.core import DetectorFactory, SessionCore
from streaming.session.durable import LEASE_S, DurableSession
from streaming.session.runner import SessionRunner
from vad import make_detector as make_real_detector

log = logging.getLogger(__name__)

TICK_S = 0.5
RENEW_S = LEASE_S / 3
RETRY_AFTER_MS = 5_000
LAST_FINALS_S = 5.0
"""After the drain's deadline: how long sessions that were ended may wait for their finals."""

State = Literal["starting", "ready", "draining", "failed"]


class Service:
    """`engine` and `make_detector` are for tests; by default the settings name them."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        engine: Engine | None = None,
        make_detector: DetectorFactory = make_real_detector,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config or Config()
        self.metrics = Metrics()
        self.info: EngineInfo | None = None
        """None until the model is loaded."""
        self._make_detector = make_detector
        self._clock = clock
        self._fleet = _fleet(self.config, [engine] if engine else None, clock)
        store = self.config.store
        limits = Limits(max_sessions=2 * self.config.server.max_sessions, ttl_s=store.time_to_live_s)
        self._store = MemoryStore(clock, limits)
        self._owner = secrets.token_urlsafe(12)
        self._sessions: set[SessionRunner] = set()
        self._emptied = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None
        self._admission = Admission(self.config.server.refuse_after_s)
        self._draining = False
        self._start_failure: str | None = None

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> EngineInfo:
        """Loads the model. Raises EngineStartError with one sentence for people."""
        try:
            self.info = await self._fleet.start()
        except EngineStartError as error:
            self._start_failure = str(error)
            raise
        self.metrics.watch_scheduler(lambda: self.stats)
        self._ticker = asyncio.create_task(self._tick(), name="sessions' ticker")
        return self.info

    async def drain(self, timeout_s: float) -> None:
        """Takes no more sessions and tells the live ones; at the deadline they are ended, with their finals."""
        self._draining = True
        for runner in list(self._sessions):
            runner.go_away(round(timeout_s * 1000))
        if await self.wait_until_empty(timeout_s):
            return
        log.info("%d sessions are ended at the deadline", len(self._sessions))
        async with asyncio.TaskGroup() as group:
            for runner in list(self._sessions):
                group.create_task(self._end(runner))
        await self.wait_until_empty(LAST_FINALS_S)

    async def stop(self) -> None:
        """Ends everything now, the worker too."""
        self._draining = True
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        for runner in list(self._sessions):
            runner.fail(ProtocolError("draining", "the server is shutting down"))
            await runner.close()
        await self._fleet.stop()

    # -- sessions ---------------------------------------------------------------------------------------------------

    async def new_session(self, start: Start) -> SessionRunner:
        """A live session, with `ready` as its first event. Somebody must `close` it.

        Raises:
            ProtocolError: `overloaded`, `draining`, `engine_unavailable`, or `unsupported` for what `start` asks.
        """
        info = self._admit()
        _check_task(start, info)
        session = secrets.token_urlsafe(16)
        core = SessionCore(session, start, self._make_detector, self.config.session)
        durable = DurableSession(self._store, session, self._owner, msgspec.msgpack.encode(start))
        runner = SessionRunner(core, self._fleet, durable, self._clock, self.metrics, self._session_closed)
        self._sessions.add(runner)
        self.metrics.sessions_total.inc()
        try:
            model = ModelInfo(name=info.model, device=info.device, dtype=info.dtype)
            await runner.open(model, self.config.server.max_message_bytes)
            self._count_sessions()
        except BaseException:
            await runner.close()
            raise
        return runner

    async def wait_until_empty(self, timeout_s: float) -> bool:
        """True when no session is live; False when some still are after the timeout."""
        self._emptied.clear()
        try:
            async with asyncio.timeout(timeout_s):
                while self._sessions:
                    await self._emptied.wait()
        except TimeoutError:
            return False
        return True

    @property
    def state(self) -> State:
        if self._draining:
            return "draining"
        if self.problem is not None:
            return "failed"
        return "starting" if self.info is None else "ready"

    @property
    def problem(self) -> str | None:
        """Why there is no engine and will be none, in one sentence."""
        return self._start_failure or self._fleet.failure

    @property
    def stats(self) -> DispatcherStats:
        """What the workers did since the start."""
        return self._fleet.stats

    @property
    def sessions(self) -> frozenset[SessionRunner]:
        """Those that are live."""
        return frozenset(self._sessions)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _admit(self) -> EngineInfo:
        if self._draining:
            raise ProtocolError("draining", "the server is shutting down; connect to another one, or later")
        if self.info is None or self.problem is not None:
            reason = self.problem or "the model is still being loaded"
            raise ProtocolError("engine_unavailable", reason, retry_after_ms=RETRY_AFTER_MS)
        limit = self.config.server.max_sessions
        if len(self._sessions) >= limit:
            raise ProtocolError("overloaded", f"{limit} sessions are live already", retry_after_ms=RETRY_AFTER_MS)
        if self._admission.full:
            raise ProtocolError(
                "overloaded", "the workers are behind with live sessions", retry_after_ms=RETRY_AFTER_MS
            )
        return self.info

    def _session_closed(self, runner: SessionRunner) -> None:
        self._sessions.discard(runner)
        self._count_sessions()
        if not self._sessions:
            self._emptied.set()

    def _count_sessions(self) -> None:
        self.metrics.sessions.set(len(self._sessions))
        full = len(self._sessions) >= self.config.server.max_sessions or self._admission.full
        for runner in list(self._sessions):
            runner.refusing(full)

    def _measure_headroom(self) -> None:
        before = self._admission.full
        if self._admission.measure(self._fleet.wait_s(WINDOW_S), self._clock()) != before:
            log.warning("new sessions are %s", "refused: the workers are behind" if not before else "taken again")
            self._count_sessions()

    async def _end(self, runner: SessionRunner) -> None:
        try:
            async with asyncio.timeout(LAST_FINALS_S):
                await runner.stop()
        except TimeoutError:
            runner.fail(ProtocolError("draining", "the server is shutting down"))

    async def _tick(self) -> None:
        next_renewal = self._clock() + RENEW_S
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self._fleet.check()
                self._measure_headroom()
            except Exception:
                log.exception("the workers could not be looked after")
            renew = self._clock() >= next_renewal
            if renew:
                next_renewal = self._clock() + RENEW_S
            for runner in list(self._sessions):
                try:
                    runner.tick()
                    if renew:
                        await runner.renew()
                except Exception:
                    log.exception("session %s failed at a tick", runner.session)
                    runner.fail(ProtocolError("internal", "the server failed"))


def _fleet(config: Config, engines: list[Engine] | None, clock: Callable[[], float]) -> Fleet:
    settings = config.engine
    workers = settings.workers or most_cpu_workers()
    pool = WorkerSettings(model=settings.model, device=settings.device, threads=settings.threads)
    chosen: list[Engine] = engines or [LocalPool(pool) for _ in range(workers)]
    dispatchers = [Dispatcher(engine, Policy(settings.max_batch), clock) for engine in chosen]
    return Fleet(dispatchers, as_needed=not settings.workers)


def _check_task(start: Start, info: EngineInfo) -> None:
    language = start.task.language
    if language is not None and language not in info.languages:
        known = ", ".join(info.languages[:20])
        raise ProtocolError("unsupported", f"$.task.language: the model {info.model} does not know it; known: {known}")
    if start.task.name == "translate" and info.languages == ("en",):
        raise ProtocolError("unsupported", f"$.task.name: the model {info.model} knows English only")
