"""A session: client messages and engine answers in, effects out. Pure: no asyncio, sockets or clock.

The shell's order of calls: `begin` once, or for a restored core `resume`, and then `work` until `busy` is False;
`receive` for each client message, then `work` until `busy` is False, at best with a pause between two calls, since
each takes half a second of audio at most; `hypothesis` and `job_failed` whenever the engine answers; `stored` when a
StoreAudio effect is carried out; `tick` about twice a second. Every call returns effects, to be carried out in order.
No audio may be given while `can_accept` is False. Messages for the client wait in `outbox`.

Samples of all channels are worked off side by side and cut at fixed places of the sample clock, so that what leaves
the core, and in which order, is the same however the audio was cut into messages.

At each multiple of BLOCK_SAMPLES, and at `stop`, the core hands out a snapshot of itself with the audio since the one
before (StoreAudio). While more than MAX_UNSAID messages wait for a client that does not read there is none, and soon
no more audio is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.pool.interface import BLOCK_SAMPLES, EngineInfo, Hypothesis, Job, JobError
from streaming.audio.clock import clock_to_input, ms_to_samples, samples_to_ms
from streaming.audio.timeline import GapFound
from streaming.protocol.errors import ProtocolError, error_message
from streaming.protocol.messages import (
    Ack,
    Audio,
    Configure,
    Endpointing,
    Event,
    Finalize,
    Gap,
    GoAway,
    Marker,
    ModelInfo,
    Ready,
    SessionMessage,
    Signal,
    Start,
    Stop,
    Summary,
)
from streaming.session.calling import Calling
from streaming.session.channel import MAX_UNSTORED_SAMPLES, ROOM_SAMPLES, Channel
from streaming.session.effects import CloseStream, Effect, Finished, OpenStream, Send, StoreAudio
from streaming.session.intake import Intake
from streaming.session.load import LoadMeter
from streaming.session.markers import Markers, PendingMarker
from streaming.session.outbox import Outbox
from streaming.session.redacting import check_redaction
from streaming.session.said import SaidBefore
from streaming.session.saying import Saying
from streaming.session.settings import SessionSettings
from streaming.session.snapshot import CoreState, encode
from streaming.session.tail import Tail
from streaming.session.tasks import check_tasks, session_tasks
from streaming.session.tones import TONE_SAMPLES
from streaming.session.utterance import Shared
from streaming.transcript.redaction import Redactor
from vad import FRAME_SAMPLES, CommandedEnd, DetectorName, EndpointSettings, Segmenter, SpeechDetector

WORK_SAMPLES = BLOCK_SAMPLES
"""Most audio per channel that one call of `work` takes: 0.5 s."""
GAP_ENDS_SPEECH_SAMPLES = 8_000
"""A client's gap of 0.5 s or more ends open utterances; silence stands for a shorter one."""
MAX_UNSAID = 16
"""Messages that may wait for the client in a snapshot."""
WORDS_OF_A_MESSAGE = 1_000
"""More than any message has: an utterance is shorter than half a minute."""
MAX_UNKNOWN = 1_000_000
"""A client may name any number."""

DetectorFactory = Callable[[DetectorName], SpeechDetector]


class SessionCore:
    """One session. Raises ProtocolError from `__init__` and `receive` for what the client did wrong."""

    def __init__(
        self,
        session: str,
        start: Start,
        make_detector: DetectorFactory,
        settings: SessionSettings | None = None,
        said: SaidBefore | None = None,
        model: EngineInfo | None = None,
    ) -> None:
        """
        Args:
            said: what the session's log says of what this core will work out again.
            model: what `configure` may ask of it; None: anything.
        """
        self.session = session
        self.start = start
        self.settings = settings or SessionSettings()
        self.finished = False
        self.lag_ms = 0
        self._said = said or SaidBefore()
        self.outbox = Outbox(self.settings.outbox_messages, self._said.last_seq)
        """What waits for the client."""
        self._calling = Calling(start)
        self._redactor = Redactor(start.redact, start.interim, lambda: self._shared.take_word_id())
        self._saying = Saying(self.outbox, self._said, self._redactor, self._calling)
        self._endpointing = start.endpointing
        self._make_detector = make_detector
        self._model = model
        tasks = session_tasks(start.task)
        unknown = EngineInfo(model="unknown", device="unknown", dtype="unknown")
        self._shared = Shared(self.settings, start.interim, start.events, tasks, tasks.spec, model or unknown)
        self._intake = Intake(start.audio)
        self._load = LoadMeter(self.settings)
        self._markers = Markers(self.settings.max_waiting_markers)
        self._commands = 0
        self._stopping = False
        self._paused = False
        self._count_on()
        self._make_channels()

    def begin(self, model: ModelInfo, max_message_bytes: int) -> list[Effect]:
        """The first effects of a new session: the engine's streams, and `ready`."""
        return self._say(self._open(self._ready(model, max_message_bytes, resumed=False)))

    def resume(self, model: ModelInfo, max_message_bytes: int, now: float) -> list[Effect]:
        """The first effects of a restored session: streams, `ready`, what waited for the client, what the engine must
        have and do again."""
        effects = self._say(self._open(self._ready(model, max_message_bytes, resumed=True)))
        if self._said.summary:
            self.finished = True
            return effects
        effects += self._saying.say_what_waited()
        effects += self._say(chain.from_iterable(channel.resume(now) for channel in self._channels))
        return [*effects, *self._say(self._settle())]

    def heard_until(self, seq: int) -> None:
        """Before `resume`: the client has messages up to this number. Those that the log does not have were said while
        the store was away: neither their numbers nor the ids of their words are given out again."""
        unknown = max(0, seq - self.outbox.last_seq)
        self.outbox.last_seq += unknown
        self._shared.counts.last_word += min(unknown, MAX_UNKNOWN) * WORDS_OF_A_MESSAGE

    def _ready(self, model: ModelInfo, max_message_bytes: int, *, resumed: bool) -> Ready:
        return Ready(
            session=self.session,
            resumed=resumed,
            next_sample=self._intake.expected_sample,
            commands=self._commands,
            model=model,
            audio=self.start.audio,
            tasks=self._shared.tasks.every,
            interim=self._shared.interim,
            endpointing=self._endpointing,
            redact=self.start.redact,
            call=self.start.call,
            max_message_bytes=max_message_bytes,
        )

    def _open(self, ready: Ready) -> list[Effect]:
        spec = self._shared.opened_with
        return [*(OpenStream(channel.stream, spec) for channel in self._channels), Send(ready)]

    def _say(self, effects: Iterable[Effect]) -> list[Effect]:
        return self._saying.say(effects)

    # -- from the client ------------------------------------------------------------------------------------------

    def receive(self, message: SessionMessage | Signal, now: float) -> list[Effect]:
        """Takes one message; audio is only put in line for `work`.

        Raises:
            ProtocolError: the connection is over; nothing has changed.
            RuntimeError: the core is still `busy` with the message before.
        """
        if self.busy:
            raise RuntimeError("work off the message before first")
        if self._stopping:
            return []
        match message:
            case Audio():
                self._intake.put(message)
                return []
            case Signal(message=told):
                return self._signalled(told)
            case Marker(id=marker):
                effects = self._say(self._marker(marker, now))
            case Finalize():
                effects = self._say(self._end_segments("finalize", now))
            case Configure():
                effects = self._configure(message)
            case Stop():
                self._commands += 1
                return self._stop(now)
            case Start():
                raise ProtocolError("already_started", "`start` came twice")
        self._commands += 1
        return effects

    @property
    def busy(self) -> bool:
        """There is audio in line for `work`."""
        return self._intake.busy

    def work(self, now: float) -> list[Effect]:
        """Takes up to WORK_SAMPLES of the audio in line.

        Raises:
            ProtocolError: the audio is not what `start` declared.
        """
        gap = self._intake.place_next()
        effects = self._say(self._gap(gap, now)) if gap else []
        return [*effects, *self._advance(WORK_SAMPLES, now)]

    def stored(self, ack_sample: int, commands: int) -> list[Effect]:
        """A StoreAudio is in the store, with all that came before it."""
        return self._say([*self._load.durable(True), Send(Ack(sample=ack_sample, commands=commands))])

    def store_failed(self) -> list[Effect]:
        """Audio could not be stored: the session goes on, without acks until the store works again."""
        return self._say(self._load.durable(False))

    def _gap(self, gap: GapFound, now: float) -> list[Effect]:
        self._shared.counts.gaps += 1
        effects: list[Effect] = [Send(Gap(from_sample=gap.from_input, to_sample=gap.to_input, reason="client"))]
        if gap.to_sample - gap.from_sample >= GAP_ENDS_SPEECH_SAMPLES:
            effects += self._end_segments("gap", now)
        return effects

    def _signalled(self, told: Event | Gap) -> list[Effect]:
        if isinstance(told, Gap):
            self._shared.counts.gaps += 1
        return self._say([Send(told)])

    def _configure(self, message: Configure) -> list[Effect]:
        if message.task is not None:
            if self._model is not None:
                check_tasks(message.task, self._model)
                check_redaction(self.start.redact, message.task, self._model)
            self._shared.tasks = session_tasks(message.task)
        if message.endpointing is not None:
            settings = endpoint_settings(message.endpointing)
            another = message.endpointing.detector != self._endpointing.detector
            self._endpointing = message.endpointing
            for channel in self._channels:
                channel.reconfigure(settings, self._make_detector(settings.detector) if another else None)
        if message.interim is not None:
            self._shared.interim = self._redactor.policy = message.interim
        if message.events is not None:
            self._shared.events = message.events
        return []

    def _marker(self, marker: str, now: float) -> list[Effect]:
        targets = tuple(channel.marker_target() for channel in self._channels)
        self._markers.put(PendingMarker(marker, self._intake.expected_sample, targets))
        asked = (channel.ask_until(until, now) for channel, until in zip(self._channels, targets, strict=True))
        return [*chain.from_iterable(asked), *self._markers.echo(self._decoded)]

    def _stop(self, now: float) -> list[Effect]:
        self._stopping = True
        self._intake.flush()
        effects = self._advance(self._intake.available, now)
        effects += self._say(self._end_segments("stop", now))
        effects += self._say(chain.from_iterable(channel.finish(now) for channel in self._channels))
        return [*effects, *self._snapshot(), *self._say(self._settle())]

    def _end_segments(self, rule: CommandedEnd, now: float) -> list[Effect]:
        return [effect for channel in self._channels for effect in channel.end_segment(rule, now)]

    # -- the samples ----------------------------------------------------------------------------------------------

    def _advance(self, limit: int, now: float) -> list[Effect]:
        effects: list[Effect] = []
        position = self._position
        until = position + min(limit, self._intake.available)
        while position < until:
            cut = min(_next_multiple(position, TONE_SAMPLES), until)  # a divisor of BLOCK_SAMPLES
            if len(self._channels) > 1:  # what is said of them comes in the order of the clock
                cut = min(cut, _next_multiple(position, FRAME_SAMPLES))
            for channel in self._channels:
                effects += self._say(channel.feed(self._intake.take(channel.index, cut - position), now))
            position = cut
            if position % BLOCK_SAMPLES == 0:
                decided = [channel.speech_decided_until for channel in self._channels]
                effects += self._say(map(Send, self._calling.advance(decided)))
                effects += [] if self._stopping else self._snapshot()
        return effects

    @property
    def _position(self) -> int:
        """First sample that no channel has yet, at 16 kHz."""
        return self._channels[0].position

    # -- snapshots ------------------------------------------------------------------------------------------------

    def whole_block(self) -> StoreAudio | None:
        """The newest snapshot with all of the tail that it needs, for a store that has lost it; None: there is none."""
        return self._tail.whole_block()

    def restore(self, state: CoreState, snapshot: bytes, first_sample: int, tails: Sequence[NDArray[np.int16]]) -> None:
        """For `restore_core`, on a new core. Raises ValueError: the state is damaged, or not of this audio."""
        self._shared.counts = state.counts
        self._count_on()
        self._shared.interim, self._shared.events = state.interim, state.events
        self._shared.tasks = state.tasks or self._shared.tasks
        self._endpointing = state.endpointing
        self._commands, self._stopping = state.commands, state.stopping
        self._saying.restore(state.last_seq, state.unsaid)
        self._redactor.restore(state.redaction)
        self._calling.restore(state.call)
        self._intake.restore(state.intake, state.position)
        self._make_channels()
        self._markers.restore(state.markers, len(self._channels))
        for channel, channel_state, tail in zip(self._channels, state.channels, tails, strict=True):
            channel.restore(channel_state, tail)
        ack_sample = self._intake.expected_sample
        newest = StoreAudio(state.position, (), 0, ack_sample, state.commands, state.last_seq, snapshot)
        self._tail.restore(newest, first_sample, tails)

    def _snapshot(self) -> list[Effect]:
        """The state here, and the audio since the newest snapshot; nothing while too much waits for the client, unless
        the audio would not fit into memory any longer."""
        ack_sample, unsaid = self._intake.expected_sample, self.outbox.unsaid()
        fits = self._tail.unstored_samples < MAX_UNSTORED_SAMPLES + ROOM_SAMPLES // 4
        too_much = len(unsaid) > MAX_UNSAID and fits
        if self._saying.overflowed or too_much or ack_sample == 0:
            return []
        heard_until = ms_to_samples(self._said.heard_ms) + self.settings.high_water_samples + ROOM_SAMPLES
        if self._position > heard_until:
            self._said.forget()
        state = CoreState(
            position=self._position,
            intake=self._intake.state(),
            commands=self._commands,
            stopping=self._stopping,
            endpointing=self._endpointing,
            interim=self._shared.interim,
            events=self._shared.events,
            counts=self._shared.counts,
            markers=self._markers.waiting,
            channels=[channel.state() for channel in self._channels],
            last_seq=self.outbox.last_seq,
            unsaid=unsaid,
            said=self._said.left(),
            tasks=self._shared.tasks,
            redaction=self._redactor.state(),
            call=self._calling.state(),
        )
        block = self._tail.next_block(
            ack_sample=ack_sample, commands=self._commands, last_seq=state.last_seq, state=encode(state)
        )
        return [block]

    def _count_on(self) -> None:
        """No id that was given out is given out again."""
        counts = self._shared.counts
        counts.last_utterance = max(counts.last_utterance, self._said.last_utterance)
        counts.last_word = max(counts.last_word, self._said.last_word)

    # -- from the engine and the clock ------------------------------------------------------------------------------

    def hypothesis(self, hypothesis: Hypothesis, now: float) -> list[Effect]:
        channel = self._channel(hypothesis.stream)
        effects = self._say(channel.hypothesis(hypothesis, now)) if channel else []
        return [*effects, *self._say(self._settle())]

    def job_failed(self, error: JobError) -> list[Effect]:
        channel = self._channel(error.stream)
        effects = self._say(channel.job_failed(error)) if channel else []
        return [*effects, *self._say(self._settle())]

    def prefix_tokens(self, job: Job) -> tuple[int, ...]:
        """What the answer to a job that starts now must begin with."""
        channel = self._channel(job.stream)
        return channel.prefix_tokens(job) if channel else ()

    def segment_pcm(self, utterance: int) -> tuple[int, bytes] | None:
        """(first sample, s16le) of what the engine was given of an utterance; None when it is done."""
        found = (channel.segment_pcm(utterance) for channel in self._channels)
        return next((segment for segment in found if segment is not None), None)

    def tick(self, now: float) -> list[Effect]:
        """Measures the load; asks again for what markers wait for where an interim failed."""
        asked = [at for channel in self._channels if (at := channel.asked_at) is not None]
        self.lag_ms = round((now - min(asked)) * 1000) if asked else 0
        effects = self._load.measure(self.lag_ms, now)
        self._shared.level = self._load.level
        if (targets := self._markers.next_targets) is not None:
            for channel, until in zip(self._channels, targets, strict=True):
                effects += channel.ask_again(now) + channel.ask_until(until, now)
        return self._say(effects)

    def refusing(self, refusing: bool) -> list[Effect]:
        """The server takes no more sessions, or takes them again."""
        return self._say(self._load.refusing(refusing))

    def go_away(self, deadline_ms: int) -> list[Effect]:
        """The server is about to end the connection."""
        return self._say([Send(GoAway(deadline_ms=deadline_ms))])

    def close(self) -> list[CloseStream]:
        """Gives up the engine's streams, whatever is still open."""
        return [CloseStream(channel.stream) for channel in self._channels]

    def _settle(self) -> list[Effect]:
        """What finals and interims may have set free: markers, and the end."""
        effects = self._markers.echo(self._decoded)
        waiting = any(each.waiting_finals + each.waiting_answers or each.waiting_sounds for each in self._channels)
        if self._stopping and not self.finished and not waiting:
            self.finished = True
            effects += chain.from_iterable(channel.ended() for channel in self._channels)
            effects.append(Finished(self._summary()))
        return effects

    def _decoded(self, targets: Iterable[int]) -> bool:
        return all(channel.decoded(until) for channel, until in zip(self._channels, targets, strict=True))

    def _lost(self, channel: int, from_sample: int, to_sample: int) -> list[Effect]:
        """A final was given up: its audio is named, so that nothing is lost in silence."""
        self._shared.counts.gaps += 1
        rate = self.start.audio.sample_rate
        gap = Gap(
            from_sample=clock_to_input(from_sample, rate),
            to_sample=clock_to_input(to_sample, rate),
            reason="lost",
            channel=channel,
        )
        return [Send(gap), Send(error_message("decode_failed", "an utterance could not be decoded; see the gap"))]

    def _summary(self) -> Summary:
        counts = self._shared.counts
        return Summary(
            audio_ms=self.audio_ms,
            speech_ms=samples_to_ms(counts.speech_samples),
            utterances=counts.utterances,
            words=counts.words,
            corrected=counts.corrected,
            gaps=counts.gaps,
            sounds=[sound for channel in self._channels for sound in channel.sound_scores],
        )

    # -- how much is there --------------------------------------------------------------------------------------------

    @property
    def backlog_samples(self) -> int:
        """Audio since the begin of the oldest utterance without a final or an analysis, at 16 kHz."""
        return max(channel.backlog_samples for channel in self._channels)

    @property
    def can_accept(self) -> bool:
        """False from the high-water mark on until the low-water mark is reached again, and while a client that does
        not read holds up the snapshots."""
        settings = self.settings
        waiting = max(channel.waiting_finals + channel.waiting_answers for channel in self._channels)
        if self._paused:
            below = self.backlog_samples <= settings.low_water_samples and waiting <= settings.max_waiting_finals // 2
            self._paused = not below
        else:
            self._paused = self.backlog_samples >= settings.high_water_samples or waiting >= settings.max_waiting_finals
        unread = self._tail.unstored_samples >= MAX_UNSTORED_SAMPLES and len(self.outbox.unsaid()) > MAX_UNSAID // 2
        return not self._paused and not unread

    @property
    def audio_ms(self) -> int:
        """Audio received so far."""
        return self._intake.expected_sample * 1000 // self.start.audio.sample_rate

    def _make_channels(self) -> None:
        settings = endpoint_settings(self._endpointing)
        self._channels = [
            Channel(
                index=index,
                stream=f"{self.session}/{index}",
                rate=self.start.audio.sample_rate,
                shared=self._shared,
                segmenter=Segmenter(settings, self._make_detector(settings.detector)),
                said=self._said,
                calling=self._calling,
                on_lost=self._lost,
            )
            for index in range(self.start.audio.channels)
        ]
        self._tail = Tail(self._channels)

    def _channel(self, stream: str) -> Channel | None:
        return next((channel for channel in self._channels if channel.stream == stream), None)


def endpoint_settings(endpointing: Endpointing) -> EndpointSettings:
    """The wire's settings as the segmenter takes them.

    Raises:
        ProtocolError: `unsupported`; two of them contradict each other.
    """
    try:
        return EndpointSettings(**msgspec.structs.asdict(endpointing))
    except ValueError as error:
        raise ProtocolError("unsupported", f"$.endpointing: {error}") from None


def _next_multiple(position: int, of: int) -> int:
    return (position // of + 1) * of
