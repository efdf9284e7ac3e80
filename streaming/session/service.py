"""The whole service without a socket: a fleet of workers, one store, many sessions.

The order of calls: `start`; `new_session` for each client; `drain` and `stop` at the end. The app puts sockets on
top of it; `tympan transcribe` uses it in place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Container
from typing import Literal
from weakref import WeakValueDictionary

import msgspec

from inference.pool.interface import Engine, EngineInfo, EngineStartError
from inference.pool.local import LocalPool
from inference.pool.process import WorkerSettings
from session_store.connect import open_store
from session_store.store import Limits, SessionRecord, SessionStore
from streaming.config import Config
from streaming.observability.metrics import Metrics
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import ModelInfo, Resume, Start
from streaming.scheduler.admission import WINDOW_S, Admission
from streaming.scheduler.dispatcher import Dispatcher
from streaming.scheduler.fleet import Fleet, most_cpu_workers
from streaming.scheduler.policy import Policy
from streaming.scheduler.stats import DispatcherStats
from streaming.session.asking import Asking
from streaming.session.core import DetectorFactory, SessionCore
from streaming.session.durable import DurableSession
from streaming.session.holding import LEASE_S
from streaming.session.questions import Recent
from streaming.session.redacting import NO_QUESTIONS, check_redaction, redacted_kinds
from streaming.session.restore import restore_core
from streaming.session.resume import hash_token, read_start, take_over
from streaming.session.runner import SessionRunner
from streaming.session.snapshot import BadSnapshotError
from streaming.session.tasks import check_tasks
from vad import make_detector as make_real_detector

log = logging.getLogger(__name__)

TICK_S = 0.5
MAX_HEARD = 16
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
        limits = Limits(ttl_s=store.time_to_live_s)
        self._store = open_store(store.kind, store.url, limits, clock, timeout_s=store.timeout_s)
        self._sessions: set[SessionRunner] = set()
        self._resumes: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Of sessions that are being resumed just now: one connection after the other."""
        self._heard: dict[str, Recent] = {}
        """What sessions without a connection have heard, for questions after a resume here. The oldest go first."""
        self._one_left = asyncio.Event()
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
        """Takes no more sessions and tells the live ones, whose clients then go elsewhere.

        At the deadline, sessions in a store that other gateways share are left there to be resumed; others, those that
        the store could not take, and those that nobody would come back to, are ended with their finals.
        """
        self._draining = True
        for runner in list(self._sessions):
            runner.go_away(round(timeout_s * 1000))
        if await self.wait_until_empty(timeout_s):
            return
        shared = self.config.store.kind != "memory"
        lost_otherwise = [runner for runner in self._sessions if not (shared and runner.durable and runner.resumable)]
        log.info(
            "%d sessions are ended at the deadline, %d left to others",
            len(lost_otherwise),
            len(self._sessions) - len(lost_otherwise),
        )
        async with asyncio.TaskGroup() as group:
            for runner in lost_otherwise:
                group.create_task(self._end(runner))
        await self.wait_until_empty(LAST_FINALS_S, lost_otherwise)

    async def stop(self) -> None:
        """Ends everything now, the worker too."""
        self._draining = True
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        for runner in list(self._sessions):
            runner.fail(ProtocolError("draining", "the server is shutting down"))
        await asyncio.gather(*(runner.close() for runner in list(self._sessions)))
        await self._fleet.stop()
        await self._store.aclose()

    # -- sessions ---------------------------------------------------------------------------------------------------

    async def new_session(self, start: Start) -> SessionRunner:
        """A live session, new or resumed, with `ready` as its first event. Somebody must `close` it.

        Raises:
            ProtocolError: `overloaded`, `draining`, `engine_unavailable`, or `unsupported` for what `start` asks; where
                a session is to be resumed also `no_session`, `store_unavailable`.
        """
        if start.resume is not None:
            lock = self._resumes.setdefault(start.resume.session, asyncio.Lock())
            async with lock:
                return await self._resumed(start.resume, start)
        info = self._admit()
        start = self._redacted(start)
        check_tasks(start.task, info)
        check_redaction(start.redact, start.task, info)
        session, token = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        core = SessionCore(session, start, self._make_detector, self.config.session, model=info)
        record = SessionRecord(session=session, start=msgspec.msgpack.encode(start), token_hash=hash_token(token))
        runner = self._runner(core, info)
        durable = DurableSession(self._store, record, _new_owner(), runner)
        self.metrics.sessions_total.inc()
        async with self._closed_on_error(runner):
            await runner.open(_described(info), self.config.server.max_message_bytes, durable, token)
        return runner

    def check_room(self) -> None:
        """Raises ProtocolError (`overloaded`, `draining`, `engine_unavailable`): a new session would be refused."""
        self._admit()

    async def _resumed(self, resume: Resume, start: Start) -> SessionRunner:
        info = self._admit(resumed=resume.session)
        began = await read_start(self._store, resume)
        if start.audio != began.audio:
            raise ProtocolError("unsupported", "$.audio: not the format that the session began with")
        check_redaction(self._redacted(began).redact, began.task, info)
        await self._end_live(resume.session)
        owner = _new_owner()
        stored = await take_over(self._store, resume, owner, LEASE_S)
        try:
            core = restore_core(
                resume.session,
                self._redacted(stored.start),
                stored.record.state,
                stored.first_sample,
                stored.tails,
                stored.said_since,
                self._make_detector,
                self.config.session,
                info,
            )
        except BadSnapshotError as error:
            log.error("session %s cannot be resumed: %s", resume.session, error)
            raise ProtocolError("no_session", "the session was stored by a version that cannot be resumed") from None
        runner = self._runner(core, info)
        durable = DurableSession(self._store, stored.record, owner, runner, lease=stored.lease, version=stored.version)
        self.metrics.sessions_resumed.inc()
        async with self._closed_on_error(runner):
            await runner.resume(
                _described(info),
                self.config.server.max_message_bytes,
                durable,
                resume.token,
                stored.not_heard,
                resume.last_seq,
            )
        return runner

    async def _end_live(self, session: str) -> None:
        """Ends the connection that has the session, if it is one of ours; what it said is in the store then."""
        for runner in [runner for runner in self._sessions if runner.session == session]:
            runner.on_taken_over()
            await runner.close()

    def _redacted(self, start: Start) -> Start:
        """With what this server's settings hide as well."""
        return msgspec.structs.replace(start, redact=redacted_kinds(self.config.session.redact, start.redact))

    def _runner(self, core: SessionCore, info: EngineInfo) -> SessionRunner:
        audio, kept_s = core.start.audio, self.config.session.chat_audio_s
        recent = self._heard.pop(core.session, None)
        refusal = NO_QUESTIONS if core.start.redact else None
        asking = Asking(self._fleet, self._clock, info, kept_s, audio.channels, audio.labels or (), recent, refusal)
        runner = SessionRunner(core, self._fleet, self._clock, self.metrics, self._session_closed, asking)
        self._sessions.add(runner)
        return runner

    @contextlib.asynccontextmanager
    async def _closed_on_error(self, runner: SessionRunner) -> AsyncIterator[None]:
        try:
            yield
            self._count_sessions()
        except BaseException:
            await runner.close()
            raise

    async def wait_until_empty(self, timeout_s: float, of: Container[SessionRunner] | None = None) -> bool:
        """True when none of these sessions, by default none at all, is live; False when some are after the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                while any(of is None or runner in of for runner in self._sessions):
                    self._one_left.clear()
                    await self._one_left.wait()
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
    def store(self) -> SessionStore:
        """Where sessions and what they said are kept."""
        return self._store

    @property
    def sessions(self) -> frozenset[SessionRunner]:
        """Those that are live."""
        return frozenset(self._sessions)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _admit(self, *, resumed: str | None = None) -> EngineInfo:
        """`resumed`: a session that takes no more room where it is live here already."""
        if self._draining:
            raise ProtocolError("draining", "the server is shutting down; connect to another one, or later")
        if self.info is None or self.problem is not None:
            reason = self.problem or "the model is still being loaded"
            raise ProtocolError("engine_unavailable", reason, retry_after_ms=RETRY_AFTER_MS)
        limit = self.config.server.max_sessions
        if sum(runner.session != resumed for runner in self._sessions) >= limit:
            raise ProtocolError("overloaded", f"{limit} sessions are live already", retry_after_ms=RETRY_AFTER_MS)
        if self._admission.full and resumed is None:
            raise ProtocolError(
                "overloaded", "the workers are behind with live sessions", retry_after_ms=RETRY_AFTER_MS
            )
        return self.info

    def _session_closed(self, runner: SessionRunner) -> None:
        self._sessions.discard(runner)
        if runner.asking is not None and runner.asking.recent is not None and not runner.done:
            self._heard[runner.session] = runner.asking.recent
            if len(self._heard) > MAX_HEARD:
                del self._heard[next(iter(self._heard))]
        self._count_sessions()
        self._one_left.set()

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
                        runner.renew()
                except Exception:
                    log.exception("session %s failed at a tick", runner.session)
                    runner.fail(ProtocolError("internal", "the server failed"))


def _fleet(config: Config, engines: list[Engine] | None, clock: Callable[[], float]) -> Fleet:
    settings = config.engine
    workers = settings.workers or most_cpu_workers()
    pool = WorkerSettings(
        model=settings.model,
        device=settings.device,
        threads=settings.threads,
        precision=settings.precision,
        tagger=settings.tagger,
    )
    chosen: list[Engine] = engines or [LocalPool(pool) for _ in range(workers)]
    dispatchers = [Dispatcher(engine, Policy(settings.max_batch), clock) for engine in chosen]
    return Fleet(dispatchers, as_needed=not settings.workers)


def _new_owner() -> str:
    """Of one connection of a session, so that not even two of one gateway can write the same session."""
    return secrets.token_urlsafe(12)


def _described(info: EngineInfo) -> ModelInfo:
    return ModelInfo(name=info.model, device=info.device, dtype=info.dtype)
