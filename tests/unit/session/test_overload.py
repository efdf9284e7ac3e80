"""The whole service at twice what its worker can do: scripted engine, clock that jumps, a client for each session.

The worker takes 60 ms for a step and 120 ms for each job in it, and a stream that speaks asks for two interims a second
and a final every few. With about six streams jobs wait three quarters of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from inference.pool.fake import FakeEngine
from inference.pool.interface import EngineInfo
from streaming.config import Config, EngineSettings, ServerSettings
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import AudioFormat, Gap, Load, ServerMessage, Speech, Start, Stop, Transcript
from streaming.session.runner import SessionRunner
from streaming.session.service import Service
from tests.support.sessions import ENDPOINTING, RATE, LoudnessDetector, audio, speech
from tests.support.virtual_time import run_in_virtual_time

CHUNK = RATE // 10
SPEECH_S, CYCLE_S = 4.0, 4.8
KNEE = 6
JOBS_OF_A_STREAM = 3
"""That can wait at once: two finals and an interim."""


class Talker:
    """A client that speaks four seconds of every five, in real time, and keeps what it gets."""

    def __init__(self, runner: SessionRunner) -> None:
        self.received: list[tuple[float, ServerMessage]] = []
        self._runner = runner
        self._talking = True
        self._task = asyncio.create_task(self._talk())
        self._reading = asyncio.create_task(self._read())

    async def _talk(self) -> None:
        cycle = speech((0.0, SPEECH_S), total_s=CYCLE_S)
        at = 0
        while self._talking:
            await self._runner.feed(audio(cycle[at % len(cycle) :][:CHUNK], at))
            at += CHUNK
            await asyncio.sleep(0.1)
        await self._runner.feed(Stop())

    async def _read(self) -> None:
        async for message in self._runner.events():
            self.received.append((asyncio.get_running_loop().time(), message))

    async def leave(self) -> None:
        """Says `stop` and waits for the last final."""
        self._talking = False
        await self._task
        await self._reading
        await self._runner.close()

    def levels(self) -> set[str]:
        return {message.level for _, message in self.received if isinstance(message, Load)}

    def lags_ms(self, since: float) -> list[int]:
        return [m.lag_ms for at, m in self.received if isinstance(m, Transcript) and not m.final and at >= since]

    def utterances(self) -> tuple[list[int], list[int]]:
        """(those that ended, those that have a final), in the order of their messages."""
        said = [message for _, message in self.received]
        ended = [m.utterance for m in said if isinstance(m, Speech) and m.state == "ended" and m.utterance]
        return ended, [m.utterance for m in said if isinstance(m, Transcript) and m.final]

    def gaps(self) -> int:
        return sum(isinstance(message, Gap) for _, message in self.received)


class Overload:
    """The service, those who are in, and those who were refused."""

    def __init__(self, service: Service, engine: FakeEngine) -> None:
        self.service = service
        self.engine = engine
        self.talkers: list[Talker] = []
        self.refusals: list[ProtocolError] = []
        self.most_queued = 0

    async def arrive(self, count: int, every_s: float) -> None:
        for _ in range(count):
            start = Start(audio=AudioFormat(), endpointing=ENDPOINTING)
            try:
                self.talkers.append(Talker(await self.service.new_session(start)))
            except ProtocolError as error:
                self.refusals.append(error)
            await self.wait(every_s)

    async def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.1)):
            await asyncio.sleep(0.1)
            self.most_queued = max(self.most_queued, self.service.stats.queued)

    async def leave(self, talkers: list[Talker]) -> None:
        await asyncio.gather(*(talker.leave() for talker in talkers))


@asynccontextmanager
async def overload(refuse_after_s: float = 0.75) -> AsyncIterator[Overload]:
    info = EngineInfo(model="fake", device="cpu", dtype="none")
    engine = FakeEngine(step_s=0.06, job_s=0.12, info=info)
    config = Config(server=ServerSettings(refuse_after_s=refuse_after_s), engine=EngineSettings(workers=1))
    clock = asyncio.get_running_loop().time
    service = Service(config, engine=engine, make_detector=lambda name: LoudnessDetector(), clock=clock)
    await service.start()
    yield Overload(service, engine)
    await service.stop()


def check_that_nothing_is_lost(talkers: list[Talker]) -> None:
    for talker in talkers:
        ended, finals = talker.utterances()
        assert ended
        assert finals == ended
        assert talker.gaps() == 0


def test_beyond_the_knee_new_sessions_are_refused_and_those_that_are_in_keep_up() -> None:
    async def scenario() -> None:
        async with overload() as busy:
            await busy.arrive(3 * KNEE, every_s=1.0)
            await busy.wait(20)
            assert len(busy.talkers) >= KNEE - 1
            assert busy.refusals
            assert all(error.code == "overloaded" and error.retry_after_ms for error in busy.refusals)
            lags = sorted(lag for talker in busy.talkers for lag in talker.lags_ms(since=30.0))
            assert lags[len(lags) * 95 // 100] <= 2_500
            assert busy.most_queued <= JOBS_OF_A_STREAM * len(busy.talkers)
            await busy.leave(busy.talkers)
            check_that_nothing_is_lost(busy.talkers)

    run_in_virtual_time(scenario())


def test_without_refusals_interims_become_rare_then_cease_and_finals_are_never_lost() -> None:
    async def scenario() -> None:
        async with overload(refuse_after_s=600) as busy:
            await busy.arrive(6 * KNEE, every_s=0.1)
            await busy.wait(40)
            assert not busy.refusals
            assert {"slow_interims", "finals_only"} <= {level for talker in busy.talkers for level in talker.levels()}
            assert busy.most_queued <= JOBS_OF_A_STREAM * len(busy.talkers)
            await busy.leave(busy.talkers)
            check_that_nothing_is_lost(busy.talkers)

    run_in_virtual_time(scenario())


@pytest.mark.parametrize("refuse_after_s", [0.75, 600])
def test_when_the_load_drops_lag_is_back_under_a_second_within_five(refuse_after_s: float) -> None:
    async def scenario() -> None:
        async with overload(refuse_after_s) as busy:
            await busy.arrive(2 * KNEE, every_s=0.5)
            await busy.wait(20)
            stay, go = busy.talkers[:3], busy.talkers[3:]
            leaving = asyncio.create_task(busy.leave(go))
            await busy.wait(5)
            since = asyncio.get_running_loop().time()
            await busy.wait(10)
            assert leaving.done()
            lags = [lag for talker in stay for lag in talker.lags_ms(since)]
            assert len(lags) > 3 * 10, "two interims a second, but for pauses"
            assert max(lags) < 1_000
            await busy.arrive(1, every_s=0.1)
            assert len(busy.talkers) == len(stay) + len(go) + 1, "sessions are taken again"
            await busy.leave([*stay, busy.talkers[-1]])
            check_that_nothing_is_lost(busy.talkers[:-1])

    run_in_virtual_time(scenario())
