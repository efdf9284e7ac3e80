"""The client's core and whole gateways over one store, with wires between them that lose what is on its way.

No socket and no clock: on a loop in virtual time, a client's minute takes some milliseconds.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray
from tympan_client.errors import TympanError
from tympan_client.events import Event
from tympan_client.options import AudioFormat, InterimPolicy, SessionOptions
from tympan_client.options import Endpointing as ClientEndpointing
from tympan_client.protocol import ClientProtocol

from inference.pool.fake import ALPHABET, FakeEngine, ScriptedWord
from inference.pool.interface import HypothesisWord, Job
from streaming.protocol.codec import CODECS
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import ServerMessage, Start
from streaming.protocol.native import NativeProtocol
from streaming.session.runner import SessionRunner
from streaming.session.service import Service
from tests.support.sessions import ENDPOINTING, LoudnessDetector
from tests.support.unruly_store import UnrulyStore, loop_time

WORD_SAMPLES = 3_200
POLL_S = 0.02
SEEN_S = (0.0, 0.3, 100.0)
"""After so long a gateway notices that a connection is gone."""


class ListeningEngine(FakeEngine):
    """Its words are made of the samples themselves: one that is lost, doubled or moved changes them."""

    def __init__(self, step_s: float) -> None:
        super().__init__(step_s=step_s)
        self._pcm: dict[tuple[str, int], bytearray] = {}

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        before = self.held(stream, utterance) or (first_sample, first_sample)
        super().append(stream, utterance, first_sample, pcm)
        if self.held(stream, utterance) is not None and first_sample <= before[1]:
            held = self._pcm.setdefault((stream, utterance), bytearray())
            if before[0] == before[1]:
                held.clear()
            held += pcm[(before[1] - first_sample) * 2 :]

    def _heard(self, script: Sequence[ScriptedWord], job: Job) -> list[HypothesisWord]:
        pcm = bytes(self._pcm[job.stream, job.utterance][: (job.until_sample - job.start_sample) * 2])
        words = []
        for at in range(0, len(pcm), WORD_SAMPLES * 2):
            heard = zlib.crc32(pcm[at : at + WORD_SAMPLES * 2])
            text = f"{ALPHABET[heard % 26]}-{ALPHABET[heard // 26 % 26]}"
            start = job.start_sample + at // 2
            words.append(self._word(text, start, min(start + WORD_SAMPLES, job.until_sample)))
        return words


def noise(random: Random, seconds: float) -> NDArray[np.int16]:
    """int16 (n,): noise that is speech to a LoudnessDetector, with pauses of any length."""
    samples = np.random.default_rng(random.randrange(1 << 30)).integers(-8000, 8000, round(seconds * 16_000))
    at = random.uniform(0, 1)
    while at < seconds:
        pause = random.choice((0.3, 0.6, 1.2))
        samples[round(at * 16_000) : round((at + pause) * 16_000)] = 0
        at += pause + random.choice((0.2, 1.0, 2.5))
    return samples.astype(np.int16)


class Gateway:
    """A service that can be lost with everything in it, and is then another one."""

    def __init__(self, store: UnrulyStore) -> None:
        self._store = store
        self._lost: list[Service] = []
        self.service = self._make()

    async def start(self) -> None:
        await self.service.start()

    async def lose(self) -> None:
        """Nothing that was on its way is finished."""
        for runner in self.service.sessions:
            durable = runner._durable
            if durable is not None and durable._writer is not None:
                durable._writer.cancel()
                durable._over = True
                durable._progress.set()
        self._lost.append(self.service)
        self.service = self._make()
        await self.start()

    async def stop(self) -> None:
        for service in [*self._lost, self.service]:
            await service.stop()

    def _make(self) -> Service:
        service = Service(engine=ListeningEngine(0.05), make_detector=lambda name: LoudnessDetector(), clock=loop_time)
        service._store = self._store
        return service


class Wire:
    """One connection. It is cut at some time, and the gateway may not notice for a while."""

    def __init__(self, gateway: Gateway, client: Listener, random: Random) -> None:
        self.runner: SessionRunner | None = None
        self.done = asyncio.Event()
        """The client is on its own again."""
        self._service = gateway.service
        self._client = client
        self._random = random
        self._native = NativeProtocol(loop_time(), CODECS["tympan.v1.msgpack"])
        self._cut = False
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        (start,) = self._native.receive(self._client.protocol.start(), loop_time())
        assert isinstance(start, Start)
        try:
            self.runner = await self._service.new_session(start)
        except ProtocolError as error:
            self._deliver(error.as_message())
            return
        if self._cut:
            await self.runner.close()
            return
        self._tasks = [asyncio.create_task(self._down(self.runner)), asyncio.create_task(self._up(self.runner))]

    async def cut(self, seen_s: float, *, lost: bool = False) -> None:
        """For the client at once. `lost`: with its gateway, which closes nothing."""
        self._cut = True
        if not self.done.is_set():
            self._client.protocol.lost()
        self.done.set()
        if not lost:
            await asyncio.sleep(seen_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.runner is not None and not lost:
            await self.runner.close()

    async def _down(self, runner: SessionRunner) -> None:
        async for message in runner.events():
            await asyncio.sleep(self._random.choice((0.0, 0.01, 0.1)))
            self._deliver(message)
        if not self._cut and self._client.protocol.state != "finished":
            self._client.protocol.lost()
        self.done.set()
        await runner.close()

    async def _up(self, runner: SessionRunner) -> None:
        while not self._cut:
            payload = self._client.protocol.next_payload()
            if payload is None:
                await asyncio.sleep(POLL_S)
                continue
            await asyncio.sleep(self._random.choice((0.0, 0.0, 0.05)))
            if self._cut and self._random.random() < 0.5:
                return  # what was on its way is lost, or it arrives
            for message in self._native.receive(payload, loop_time()):
                await runner.feed(message)

    def _deliver(self, message: ServerMessage) -> None:
        if self._cut or self.done.is_set():
            return
        try:
            self._client.hear(self._native.encode(message))
        except TympanError as error:
            self._client.errors.append(error)
            self._client.protocol.lost()
            self.done.set()


class Listener:
    """The published client's core, and the application behind it."""

    def __init__(self, interim: InterimPolicy, channels: int) -> None:
        endpointing = ClientEndpointing(
            min_silence_ms=ENDPOINTING.min_silence_ms,
            min_speech_ms=ENDPOINTING.min_speech_ms,
            pre_roll_ms=ENDPOINTING.pre_roll_ms,
            pad_ms=ENDPOINTING.pad_ms,
        )
        self.protocol = ClientProtocol(
            SessionOptions(audio=AudioFormat(channels=channels), interim=interim, endpointing=endpointing),
            unacknowledged_s=1e6,
        )
        self.opened = asyncio.Event()
        self.events: list[Event] = []
        self.errors: list[TympanError] = []

    def hear(self, payload: bytes | str) -> None:
        event = self.protocol.receive(payload)
        self.opened.set()
        if event is not None:
            self.events.append(event)


async def converse(
    listener: Listener,
    gateways: Sequence[Gateway],
    random: Random,
    speak: Callable[[], Awaitable[None]],
    disturb: Callable[[Callable[[], Wire]], Awaitable[None]],
) -> None:
    """One session up to its summary: the application speaks, somebody disturbs it, the client connects again."""
    wires: list[Wire] = []
    cuts: set[asyncio.Task[None]] = set()

    async def stay_connected() -> None:
        while listener.protocol.state != "finished":
            wire = Wire(random.choice(gateways), listener, random)
            wires.append(wire)
            await wire.open()
            await wire.done.wait()
            if listener.errors and not listener.errors[-1].retryable:
                raise listener.errors[-1]
            await asyncio.sleep(random.choice((0.01, 0.3, 1.5)))

    tasks = [asyncio.create_task(task) for task in (speak(), disturb(lambda: wires[-1]))]
    try:
        async with asyncio.timeout(600.0):
            await stay_connected()
    finally:
        for task in [*tasks, *cuts]:
            task.cancel()
        await asyncio.gather(*tasks, *cuts, return_exceptions=True)
        for wire in wires:
            await wire.cut(0.0)
