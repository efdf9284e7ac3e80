"""Runs one session core: carries its effects out, in order, between a client, the workers and the store.

The order of calls: `open`, or for a restored core `resume`; then one task gives the client's messages to `feed` while
another reads `events` until it ends, and somebody calls `tick` about twice a second; `close` at the end, whatever
happened. The fleet and the store call the listeners' methods on the same event loop; they never wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

import msgspec

from inference.pool.interface import EngineStartError, Hypothesis, Job, JobError
from session_store.store import StoredEvent
from streaming.observability.metrics import Metrics
from streaming.protocol.codec import encode_logged
from streaming.protocol.errors import CLOSE_NORMAL, ERRORS, ProtocolError
from streaming.protocol.messages import (
    Answer,
    Ask,
    ClientMessage,
    Gap,
    ModelInfo,
    Ready,
    RefusedAsk,
    ServerMessage,
    Signal,
    Speech,
    Start,
    Stop,
    Summary,
    Transcript,
)
from streaming.scheduler.fleet import Fleet
from streaming.scheduler.listener import StreamClosedError
from streaming.scheduler.policy import StreamQueueFullError
from streaming.session.asking import Asking, failed
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
    SlowReader,
    StoreAudio,
    Submit,
)
from streaming.session.outbox import OutboxFullError, is_numbered

log = logging.getLogger(__name__)


class SessionRunner:
    """A live session. Implements the fleet's listener for all of its channels, and the store's."""

    def __init__(
        self,
        core: SessionCore,
        fleet: Fleet,
        clock: Callable[[], float],
        metrics: Metrics,
        on_closed: Callable[[SessionRunner], None],
        asking: Asking | None = None,
    ) -> None:
        """
        Args:
            clock: seconds, the fleet's own. `open` and `resume` are given the rest.
            asking: for questions about what is heard; None: it takes none.
        """
        self.asking = asking
        self.session = core.session
        self.failure: ProtocolError | None = None
        """Why the session ended, if not by `stop`; its `error` message comes last in `events`."""
        self.resumable = True
        """Its client could come back to it, here or at another gateway."""
        self._core = core
        self._fleet = fleet
        self._durable: DurableSession | None = None
        self._token: str | None = None
        self._replay: deque[ServerMessage] = deque()
        self._clock = clock
        self._metrics = metrics
        self._on_closed = on_closed
        self._streams: list[str] = []
        self._feeding = asyncio.Lock()
        self._something_to_read = asyncio.Event()
        self._room = asyncio.Event()
        self._summary: Summary | None = None
        self._summary_said = False
        self._logged_until = core.outbox.last_seq
        self._over = False
        self._closed = False
        self._freed = asyncio.Event()
        self._ended_by_server = False
        self._audio_ms = 0
        self._ended_at: dict[int, float] = {}

    # -- the client's side ----------------------------------------------------------------------------------------

    async def open(self, model: ModelInfo, max_message_bytes: int, durable: DurableSession, token: str) -> None:
        """Opens the engine's streams and puts `ready` into `events`.

        Args:
            durable: not started yet; it tells this runner what becomes of its writes.
            token: with which the session can be resumed.

        Raises:
            ProtocolError: `engine_unavailable`.
        """
        self._durable, self._token = durable, token
        self._begin(lambda: self._core.begin(model, max_message_bytes))
        await durable.start()

    async def resume(
        self,
        model: ModelInfo,
        max_message_bytes: int,
        durable: DurableSession,
        token: str,
        said: Iterable[ServerMessage],
        last_seq: int,
    ) -> None:
        """The same for a restored core, which goes on where it was.

        Args:
            said: what the client may not have heard yet: it comes right after `ready`.
            last_seq: the highest number that the client has.

        Raises:
            ProtocolError: `engine_unavailable`.
        """
        self._durable, self._token = durable, token
        self._replay.extend(said)
        self._core.heard_until(last_seq)
        self._begin(lambda: self._core.resume(model, max_message_bytes, self._clock()))
        while self._core.busy:  # what is left of a gap of the client's
            self._carry_out(self._core.work(self._clock()))
        self._audio_ms = self._core.audio_ms
        if self._core.finished and self._summary is None:
            self._summary_said = True  # before the connection was lost
            self._end()
        await durable.start()

    def _begin(self, first_effects: Callable[[], Iterable[Effect]]) -> None:
        try:
            self._carry_out(first_effects())
        except EngineStartError as error:
            raise ProtocolError("engine_unavailable", str(error)) from None

    async def feed(self, message: ClientMessage | RefusedAsk | Signal) -> None:
        """Takes one message; returns when there is room for the next one, which is how a fast client is slowed down.

        What the client does wrong ends the session: see `failure`.
        """
        if isinstance(message, Ask):
            self._ask(message)
            return
        if isinstance(message, RefusedAsk):
            self._say_answer(failed(message.id, "unsupported", message.reason))
            return
        async with self._feeding:
            await self._wait_for_room()
            if self._over:
                return
            try:
                self._carry_out(self._core.receive(message, self._clock()))
                while self._core.busy and not self._over:
                    self._carry_out(self._core.work(self._clock()))
                    if self._core.busy:
                        # Half a second of audio may cost some milliseconds: others come first.
                        await asyncio.sleep(0)
                        await self._wait_for_room()
            except ProtocolError as error:
                self.fail(error)
            self._count_audio()

    def _ask(self, ask: Ask) -> None:
        if self.asking is not None and not self._over:
            self.asking.ask(ask, self._say_answer)

    def _say_answer(self, answer: Answer) -> None:
        try:
            self._core.outbox.put(answer)
        except OutboxFullError as error:
            self.fail(ProtocolError("slow_reader", str(error)))
        self._something_to_read.set()

    async def events(self) -> AsyncIterator[ServerMessage]:
        """All messages for the client in order; ends after `summary` or a fatal `error`.

        A message that has a number is in the session's log before it comes out here, unless the store is away.
        """
        while True:
            while messages := self._pop_all():
                await self._log_events(messages)
                for message in self._worth_saying(messages):
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
        if error.code in ("slow_reader", "taken_over"):
            self._core.outbox.clear()
        self._core.outbox.put_last(error.as_message())
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
    def start(self) -> Start:
        return self._core.start

    @property
    def audio_ms(self) -> int:
        """Received, of each channel."""
        return self._core.audio_ms

    @property
    def channels(self) -> int:
        return self._core.start.audio.channels

    @property
    def backlog_samples(self) -> int:
        """Speech without a final, of the channel that has most of it, at 16 kHz."""
        return self._core.backlog_samples

    @property
    def durable(self) -> bool:
        """The store has the session, or takes it at the moment."""
        return self._durable is not None and not self._durable.away

    @property
    def done(self) -> bool:
        """The client has its summary: the session cannot be resumed."""
        return self._summary_said

    @property
    def close_code(self) -> int:
        """For the connection, once `events` has ended."""
        if self.failure is not None:
            return self.failure.close_code or CLOSE_NORMAL
        return ERRORS["draining"].close_code or CLOSE_NORMAL if self._ended_by_server else CLOSE_NORMAL

    async def close(self) -> None:
        """Frees everything, at any time; what the engine still answers is dropped. May be called twice: each call
        returns when all is done."""
        if self._closed:
            await self._freed.wait()
            return
        self._closed = True
        self._end()
        for effect in self._core.close():
            self._fleet.close(effect.stream)
        try:
            if self._durable is not None:
                await self._durable.close(done=self._summary_said)
        finally:
            self._on_closed(self)
            self._freed.set()

    def tick(self) -> None:
        """Lets the core look at the clock."""
        if not self._over:
            self._carry_out(self._core.tick(self._clock()))

    def renew(self) -> None:
        """Keeps the session in the store alive."""
        if not self._closed and self._durable is not None:
            self._durable.renew()

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

    # -- the store's listener ---------------------------------------------------------------------------------------

    def on_stored(self, block: StoreAudio) -> None:
        self._carry_out(self._core.stored(block.ack_sample, block.commands))
        self._end_with_summary()

    def on_store_failed(self) -> None:
        self._carry_out(self._core.store_failed())
        self._end_with_summary()

    def on_taken_over(self) -> None:
        self.fail(ProtocolError("taken_over", "another connection resumed this session"))

    def whole_block(self) -> StoreAudio | None:
        return self._core.whole_block()

    # -- effects ------------------------------------------------------------------------------------------------------

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(message):
                    self._count(message)
                    if self.asking is not None:
                        self.asking.read(message)
                    self._something_to_read.set()
                case SlowReader(reason):
                    self.fail(ProtocolError("slow_reader", reason))
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
                    if self.asking is not None:
                        self.asking.hear(effect)
                    if self._durable is not None:
                        self._durable.block(effect)
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

    def _end(self) -> None:
        self._over = True
        if self.asking is not None:
            self.asking.end()
        self._something_to_read.set()
        self._room.set()

    async def _wait_for_room(self) -> None:
        """For audio in the core and the worker, and in the outbox for the answers of a client that reads slowly."""
        while not self._over and not (self._core.can_accept and self._core.outbox.has_room):
            self._room.clear()
            await self._room.wait()
        for stream in self._streams:
            await self._fleet.wait_writable(stream)
        if self._durable is not None:
            await self._durable.wait_for_room()

    def _end_with_summary(self) -> None:
        """The summary is the last message: the `ack` of audio that is still being stored comes before it."""
        waiting = self._durable.waiting_blocks if self._durable is not None else 0
        if self._summary is not None and not waiting and not self._over:
            if self.asking is not None:
                self.asking.end()
                if self._over:  # the last answers did not fit into the outbox
                    return
            self._core.outbox.put_last(self._with_costs(self._summary))
            self._end()

    def _pop_all(self) -> list[ServerMessage]:
        messages: list[ServerMessage] = []
        while (message := self._core.outbox.pop()) is not None:
            messages.append(message)
            if isinstance(message, Ready):
                messages[-1] = msgspec.structs.replace(message, resume_token=self._token)
                messages.extend(self._replay)
                self._replay.clear()
        self._room.set()
        return messages

    async def _log_events(self, messages: Iterable[ServerMessage]) -> None:
        logged = self._logged_until
        events = [StoredEvent(message.seq, encode_logged(message)) for message in messages if message.seq > logged]
        if events and self._durable is not None:
            self._logged_until = events[-1].seq
            await self._durable.events(events)

    def _worth_saying(self, messages: list[ServerMessage]) -> list[ServerMessage]:
        """Nothing that is not in the log because it is not this runner's any more: it will be said once, by whoever
        resumes the session."""
        if self._closed or (self.failure is not None and self.failure.code == "taken_over"):
            return [message for message in messages if not is_numbered(message)]
        self._summary_said = self._summary_said or isinstance(messages[-1], Summary)
        return messages

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
