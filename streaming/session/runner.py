"""Runs one session core: carries its effects out, in order, between a client, the workers and the store.

The order of calls: `open`; then one task gives the client's messages to `feed` while another reads `events` until it
ends, and somebody calls `tick` about twice a second; `close` at the end, whatever happened. The fleet calls the
listener's methods on the same event loop; they never wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable

import msgspec

from inference.pool.interface import EngineStartError, Hypothesis, Job, JobError
from streaming.observability.metrics import Metrics
from streaming.protocol.codec import encode_server
from streaming.protocol.errors import CLOSE_NORMAL, ERRORS, ProtocolError
from streaming.protocol.messages import (
    ClientMessage,
    Gap,
    ModelInfo,
    ServerMessage,
    Speech,
    Stop,
    Summary,
    Transcript,
)
from streaming.scheduler.fleet import Fleet
from streaming.scheduler.listener import StreamClosedError
from streaming.scheduler.policy import StreamQueueFullError
from streaming.session.core import SessionCore
from streaming.session.durable import DurableSession
from streaming.session.effects import (
    Append,
    CloseStream,
    Discard,
    Effect,
    Finished,
    OpenStream,
    Send,
    StoreAudio,
    Submit,
)
from streaming.session.outbox import Outbox, OutboxFullError

log = logging.getLogger(__name__)


class SessionRunner:
    """A live session. Implements the fleet's listener for all of its channels."""

    def __init__(
        self,
        core: SessionCore,
        fleet: Fleet,
        durable: DurableSession,
        clock: Callable[[], float],
        metrics: Metrics,
        on_closed: Callable[[SessionRunner], None],
    ) -> None:
        """`clock`: seconds, the fleet's own."""
        self.session = core.session
        self.failure: ProtocolError | None = None
        """Why the session ended, if not by `stop`; its `error` message comes last in `events`."""
        self._core = core
        self._fleet = fleet
        self._durable = durable
        self._clock = clock
        self._metrics = metrics
        self._on_closed = on_closed
        self._streams: list[str] = []
        self._outbox = Outbox(core.settings.outbox_messages)
        self._to_store: list[StoreAudio] = []
        self._feeding = asyncio.Lock()
        self._something_to_read = asyncio.Event()
        self._room = asyncio.Event()
        self._summary: Summary | None = None
        self._over = False
        self._closed = False
        self._ended_by_server = False
        self._audio_ms = 0
        self._ended_at: dict[int, float] = {}

    # -- the client's side ----------------------------------------------------------------------------------------

    async def open(self, model: ModelInfo, max_message_bytes: int) -> None:
        """Opens the engine's streams and puts `ready` into `events`. Raises ProtocolError (`engine_unavailable`)."""
        try:
            self._carry_out(self._core.begin(model, max_message_bytes))
        except EngineStartError as error:
            raise ProtocolError("engine_unavailable", str(error)) from None
        if not await self._durable.open():
            self._carry_out(self._core.store_failed())

    async def feed(self, message: ClientMessage) -> None:
        """Takes one message; returns when there is room for the next one, which is how a fast client is slowed down.

        What the client does wrong ends the session: see `failure`.
        """
        async with self._feeding:
            await self._wait_for_room()
            if self._over:
                return
            try:
                self._carry_out(self._core.receive(message, self._clock()))
                while self._core.busy and not self._over:
                    await self._wait_for_room()
                    self._carry_out(self._core.work(self._clock()))
                    await self._store_audio()
                    # Half a second of audio may cost some milliseconds: others come first.
                    await asyncio.sleep(0)
            except ProtocolError as error:
                self.fail(error)
            await self._store_audio()
            self._count_audio()

    async def events(self) -> AsyncIterator[ServerMessage]:
        """All messages for the client in order, numbered; ends after `summary` or a fatal `error`."""
        while True:
            while (message := self._outbox.pop()) is not None:
                self._room.set()
                await self._log_event(message)
                yield message
            if self._over:
                return
            self._something_to_read.clear()
            await self._something_to_read.wait()

    def fail(self, error: ProtocolError) -> None:
        """Ends the session with an error; the first one counts."""
        if self._over:
            return
        self.failure = error
        self._metrics.errors.labels(error.code).inc()
        if error.code == "slow_reader":
            self._outbox.clear()
        self._outbox.put_last(error.as_message())
        self._end()

    def refusing(self, refusing: bool) -> None:
        """Tells the client that the server takes no more sessions, or takes them again."""
        if not self._over:
            self._carry_out(self._core.refusing(refusing))

    def go_away(self, deadline_ms: int) -> None:
        """Tells the client that the server will end the connection."""
        if not self._over:
            self._carry_out(self._core.go_away(deadline_ms))

    async def stop(self) -> None:
        """Ends the session from the server's side, as if the client had said `stop`."""
        self._ended_by_server = True
        await self.feed(Stop())

    @property
    def backlog_samples(self) -> int:
        """Speech without a final, of the channel that has most of it, at 16 kHz."""
        return self._core.backlog_samples

    @property
    def close_code(self) -> int:
        """For the connection, once `events` has ended."""
        if self.failure is not None:
            return self.failure.close_code or CLOSE_NORMAL
        return ERRORS["draining"].close_code or CLOSE_NORMAL if self._ended_by_server else CLOSE_NORMAL

    async def close(self) -> None:
        """Frees everything, at any time; what the engine still answers is dropped. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._end()
        for effect in self._core.close():
            self._fleet.close(effect.stream)
        await self._durable.close()
        self._on_closed(self)

    def tick(self) -> None:
        """Lets the core look at the clock."""
        if not self._over:
            self._carry_out(self._core.tick(self._clock()))

    async def renew(self) -> None:
        """Keeps the session in the store alive."""
        if not self._closed and not await self._durable.renew():
            self._carry_out(self._core.store_failed())

    # -- the fleet's listener ---------------------------------------------------------------------------------------

    def on_hypothesis(self, hypothesis: Hypothesis) -> None:
        self._carry_out(self._core.hypothesis(hypothesis, self._clock()))
        self._room.set()

    def on_job_error(self, job: Job, error: JobError) -> None:
        self._carry_out(self._core.job_failed(error))
        self._room.set()

    def on_rebuilt(self, utterance: int) -> None:
        log.info("session %s: the engine was given utterance %d again", self.session, utterance)

    def on_stream_failed(self, reason: str) -> None:
        self.fail(ProtocolError("engine_unavailable", reason))

    def segment_pcm(self, utterance: int) -> tuple[int, bytes] | None:
        return self._core.segment_pcm(utterance)

    def prefix_tokens(self, job: Job) -> tuple[int, ...]:
        return self._core.prefix_tokens(job)

    # -- effects ------------------------------------------------------------------------------------------------------

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(message):
                    self._put(message)
                case OpenStream(stream, spec):
                    self._streams.append(stream)
                    self._fleet.open(stream, spec, self)
                case Append(stream, utterance, first_sample, pcm):
                    self._fleet.append(stream, utterance, first_sample, pcm)
                case Submit():
                    self._submit(effect)
                case Discard(stream, utterance):
                    self._fleet.discard(stream, utterance)
                    self._ended_at.pop(utterance, None)
                case CloseStream(stream):
                    self._fleet.close(stream)
                case StoreAudio():
                    self._to_store.append(effect)
                case Finished(summary):
                    self._summary = summary
                    self._end_with_summary()

    def _submit(self, effect: Submit) -> None:
        job = effect.job
        try:
            self._fleet.submit(job, effect.deadline)
        except StreamClosedError:
            self.fail(ProtocolError("engine_unavailable", "the engine's stream is closed"))
        except StreamQueueFullError as error:
            self._carry_out(
                self._core.job_failed(JobError(job.stream, job.utterance, job.revision, "internal", str(error)))
            )

    def _put(self, message: ServerMessage) -> None:
        if self._over:
            return
        self._count(message)
        try:
            self._outbox.put(message)
        except OutboxFullError as error:
            self.fail(ProtocolError("slow_reader", str(error)))
        self._something_to_read.set()

    def _end(self) -> None:
        self._over = True
        self._something_to_read.set()
        self._room.set()

    async def _wait_for_room(self) -> None:
        """For audio in the core and the worker, and in the outbox for the answers of a client that reads slowly."""
        while not self._over and not (self._core.can_accept and self._outbox.has_room):
            self._room.clear()
            await self._room.wait()
        for stream in self._streams:
            await self._fleet.wait_writable(stream)

    async def _store_audio(self) -> None:
        while self._to_store:
            block = self._to_store[0]
            stored = await self._durable.audio(block)
            self._to_store.pop(0)
            self._carry_out(self._core.stored(block.ack_sample) if stored else self._core.store_failed())
        self._end_with_summary()

    def _end_with_summary(self) -> None:
        """The summary is the last message: the `ack` of audio that is still being stored comes before it."""
        if self._summary is not None and not self._to_store and not self._over:
            self._put(self._with_costs(self._summary))
            self._end()

    async def _log_event(self, message: ServerMessage) -> None:
        data = encode_server("msgpack", message)
        assert isinstance(data, bytes)
        if not await self._durable.event(message.seq, data):
            self._carry_out(self._core.store_failed())

    def _with_costs(self, summary: Summary) -> Summary:
        costs = [self._fleet.cost(effect.stream) for effect in self._core.close()]
        return msgspec.structs.replace(
            summary,
            encoder_frames=round(sum(cost.encoder_frames for cost in costs)),
            decoder_calls=round(sum(cost.decoder_calls for cost in costs)),
        )

    def _count(self, message: ServerMessage) -> None:
        match message:
            case Speech(state="ended", utterance=utterance):
                self._ended_at[utterance] = self._clock()
            case Transcript(final=True, utterance=utterance):
                self._metrics.utterances.inc()
                ended_at = self._ended_at.pop(utterance, None)
                if ended_at is not None:
                    self._metrics.final_seconds.observe(self._clock() - ended_at)
            case Gap(reason="lost"):
                self._metrics.lost.inc()

    def _count_audio(self) -> None:
        self._metrics.audio_seconds.inc((self._core.audio_ms - self._audio_ms) / 1000)
        self._audio_ms = self._core.audio_ms
