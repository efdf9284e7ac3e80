"""A session: client messages and engine answers in, effects out. Pure: no asyncio, sockets or clock.

The shell's order of calls: `begin` once; `receive` for each client message, then `work` until `busy` is False, at
best with a pause between two calls, since each takes half a second of audio at most; `hypothesis` and `job_failed`
whenever the engine answers; `stored` when a StoreAudio effect is carried out; `tick` about twice a second. Every call
returns effects, to be carried out in order. No audio may be given while `can_accept` is False.

Samples of all channels are worked off side by side and cut at fixed places of the sample clock, so that what leaves
the core, and in which order, is the same however the audio was cut into messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain

import msgspec

from inference.pool.interface import BLOCK_SAMPLES, Hypothesis, Job, JobError, StreamSpec
from streaming.audio.clock import clock_to_input, samples_to_ms
from streaming.audio.timeline import GapFound
from streaming.protocol.errors import ProtocolError, error_message
from streaming.protocol.messages import (
    Ack,
    Audio,
    ClientMessage,
    Configure,
    Endpointing,
    Finalize,
    Gap,
    GoAway,
    Marker,
    MarkerEcho,
    ModelInfo,
    Ready,
    Start,
    Stop,
    Summary,
)
from streaming.session.channel import Channel
from streaming.session.effects import CloseStream, Effect, Finished, OpenStream, Send, StoreAudio
from streaming.session.intake import Intake
from streaming.session.load import LoadMeter
from streaming.session.settings import SessionSettings
from streaming.session.utterance import Shared
from vad import FRAME_SAMPLES, CommandedEnd, DetectorName, EndpointSettings, Segmenter, SpeechDetector

WORK_SAMPLES = BLOCK_SAMPLES
"""Most audio per channel that one call of `work` takes: 0.5 s."""
GAP_ENDS_SPEECH_SAMPLES = 8_000
"""A client's gap of 0.5 s or more ends open utterances; silence stands for a shorter one."""

DetectorFactory = Callable[[DetectorName], SpeechDetector]


class PendingMarker(msgspec.Struct, frozen=True):
    """A marker that is not echoed yet."""

    id: str
    sample: int
    """At the client's rate."""
    targets: tuple[int, ...]
    """For each channel, at 16 kHz."""


class SessionCore:
    """One session. Raises ProtocolError from `__init__` and `receive` for what the client did wrong."""

    def __init__(
        self,
        session: str,
        start: Start,
        make_detector: DetectorFactory,
        settings: SessionSettings | None = None,
    ) -> None:
        self.session = session
        self.start = start
        self.settings = settings or SessionSettings()
        self.finished = False
        self.lag_ms = 0
        self._endpointing = start.endpointing
        self._make_detector = make_detector
        self._shared = Shared(self.settings, start.interim, start.events)
        self._intake = Intake(start.audio)
        self._channels = [
            self._make_channel(index, endpoint_settings(start.endpointing)) for index in range(start.audio.channels)
        ]
        self._load = LoadMeter(self.settings)
        self._markers: deque[PendingMarker] = deque()
        self._stored_until = 0
        self._gaps = 0
        self._stopping = False
        self._paused = False

    def begin(self, model: ModelInfo, max_message_bytes: int) -> list[Effect]:
        """The first effects: the engine's streams, and `ready`."""
        task = self.start.task
        spec = StreamSpec(language=task.language, task=task.name)
        ready = Ready(
            session=self.session,
            model=model,
            audio=self.start.audio,
            interim=self._shared.interim,
            endpointing=self._endpointing,
            max_message_bytes=max_message_bytes,
        )
        return [*(OpenStream(channel.stream, spec) for channel in self._channels), Send(ready)]

    # -- from the client ------------------------------------------------------------------------------------------

    def receive(self, message: ClientMessage, now: float) -> list[Effect]:
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
            case Marker(id=marker):
                return self._marker(marker, now)
            case Finalize():
                return self._end_segments("finalize", now)
            case Configure():
                return self._configure(message)
            case Stop():
                return self._stop(now)
            case Start():
                raise ProtocolError("already_started", "`start` came twice")

    @property
    def busy(self) -> bool:
        """There is audio in line for `work`."""
        return self._intake.busy

    def work(self, now: float) -> list[Effect]:
        """Takes up to WORK_SAMPLES of the audio in line.

        Raises:
            ProtocolError: the audio is not what `start` declared.
        """
        effects = [effect for gap in self._intake.place_next() for effect in self._gap(gap, now)]
        return [*effects, *self._advance(WORK_SAMPLES, now)]

    def stored(self, ack_sample: int) -> list[Effect]:
        """The audio before a sample (at the client's rate) is in the store."""
        return [*self._load.durable(True), Send(Ack(sample=ack_sample))]

    def store_failed(self) -> list[Effect]:
        """Audio could not be stored: the session goes on, without acks until the store works again."""
        return self._load.durable(False)

    def _gap(self, gap: GapFound, now: float) -> list[Effect]:
        self._gaps += 1
        effects: list[Effect] = [Send(Gap(from_sample=gap.from_input, to_sample=gap.to_input, reason="client"))]
        if gap.to_sample - gap.from_sample >= GAP_ENDS_SPEECH_SAMPLES:
            effects += self._end_segments("gap", now)
        return effects

    def _configure(self, message: Configure) -> list[Effect]:
        if message.endpointing is not None:
            settings = endpoint_settings(message.endpointing)
            another = message.endpointing.detector != self._endpointing.detector
            self._endpointing = message.endpointing
            for channel in self._channels:
                channel.reconfigure(settings, self._make_detector(settings.detector) if another else None)
        if message.interim is not None:
            self._shared.interim = message.interim
        if message.events is not None:
            self._shared.events = message.events
        return []

    def _marker(self, marker: str, now: float) -> list[Effect]:
        if len(self._markers) >= self.settings.max_waiting_markers:
            raise ProtocolError("bad_message", f"more than {self.settings.max_waiting_markers} markers wait")
        targets = tuple(channel.marker_target() for channel in self._channels)
        self._markers.append(PendingMarker(marker, self._intake.expected_sample, targets))
        asked = (channel.ask_until(until, now) for channel, until in zip(self._channels, targets, strict=True))
        return [*chain.from_iterable(asked), *self._echo_markers()]

    def _stop(self, now: float) -> list[Effect]:
        self._stopping = True
        self._intake.flush()
        effects = self._advance(self._intake.available, now)
        effects += self._store_block(self._intake.expected_sample)
        return [*effects, *self._end_segments("stop", now), *self._settle()]

    def _end_segments(self, rule: CommandedEnd, now: float) -> list[Effect]:
        return [effect for channel in self._channels for effect in channel.end_segment(rule, now)]

    # -- the samples ----------------------------------------------------------------------------------------------

    def _advance(self, limit: int, now: float) -> list[Effect]:
        effects: list[Effect] = []
        position = self._channels[0].position
        until = position + min(limit, self._intake.available)
        while position < until:
            cut = min(_next_multiple(position, FRAME_SAMPLES), _next_multiple(position, BLOCK_SAMPLES), until)
            for channel in self._channels:
                effects += channel.feed(self._intake.take(channel.index, cut - position), now)
            position = cut
            if position % BLOCK_SAMPLES == 0:
                effects += self._store_block(clock_to_input(position, self.start.audio.sample_rate))
        return effects

    def _store_block(self, ack_sample: int) -> list[Effect]:
        """What was not stored yet; nothing but the `ack` where the last block was the end."""
        if ack_sample == 0:
            return []
        first, self._stored_until = self._stored_until, self._channels[0].position
        pcm = tuple(channel.read_pcm(first) for channel in self._channels)
        needed_from = min(channel.needed_from for channel in self._channels)
        return [StoreAudio(first, pcm, ack_sample, needed_from)]

    # -- from the engine and the clock ------------------------------------------------------------------------------

    def hypothesis(self, hypothesis: Hypothesis, now: float) -> list[Effect]:
        channel = self._channel(hypothesis.stream)
        effects = channel.hypothesis(hypothesis, now) if channel else []
        return [*effects, *self._settle()]

    def job_failed(self, error: JobError) -> list[Effect]:
        channel = self._channel(error.stream)
        effects = channel.job_failed(error) if channel else []
        return [*effects, *self._settle()]

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
        if self._markers:
            for channel, until in zip(self._channels, self._markers[0].targets, strict=True):
                effects += channel.ask_again(now) + channel.ask_until(until, now)
        return effects

    def refusing(self, refusing: bool) -> list[Effect]:
        """The server takes no more sessions, or takes them again."""
        return self._load.refusing(refusing)

    def go_away(self, deadline_ms: int) -> list[Effect]:
        """The server is about to end the connection."""
        return [Send(GoAway(deadline_ms=deadline_ms))]

    def close(self) -> list[CloseStream]:
        """Gives up the engine's streams, whatever is still open."""
        return [CloseStream(channel.stream) for channel in self._channels]

    def _settle(self) -> list[Effect]:
        """What finals and interims may have set free: markers, and the end."""
        effects = self._echo_markers()
        if self._stopping and not self.finished and not any(channel.waiting_finals for channel in self._channels):
            self.finished = True
            effects.append(Finished(self._summary()))
        return effects

    def _echo_markers(self) -> list[Effect]:
        effects: list[Effect] = []
        while self._markers and self._decoded(self._markers[0].targets):
            marker = self._markers.popleft()
            effects.append(Send(MarkerEcho(id=marker.id, sample=marker.sample)))
        return effects

    def _decoded(self, targets: Iterable[int]) -> bool:
        return all(channel.decoded(until) for channel, until in zip(self._channels, targets, strict=True))

    def _lost(self, channel: int, from_sample: int, to_sample: int) -> list[Effect]:
        """A final was given up: its audio is named, so that nothing is lost in silence."""
        self._gaps += 1
        rate = self.start.audio.sample_rate
        gap = Gap(
            from_sample=clock_to_input(from_sample, rate),
            to_sample=clock_to_input(to_sample, rate),
            reason="lost",
            channel=channel,
        )
        return [Send(gap), Send(error_message("decode_failed", "an utterance could not be decoded; see the gap"))]

    def _summary(self) -> Summary:
        return Summary(
            audio_ms=self._intake.expected_sample * 1000 // self.start.audio.sample_rate,
            speech_ms=samples_to_ms(self._shared.speech_samples),
            utterances=self._shared.utterances,
            words=self._shared.words,
            corrected=self._shared.corrected,
            gaps=self._gaps,
        )

    # -- how much is there --------------------------------------------------------------------------------------------

    @property
    def backlog_samples(self) -> int:
        """Speech without a final, of the channel that has most of it, at 16 kHz."""
        return max(channel.backlog_samples for channel in self._channels)

    @property
    def can_accept(self) -> bool:
        """False from the high-water mark on until the low-water mark is reached again."""
        settings = self.settings
        waiting = max(channel.waiting_finals for channel in self._channels)
        if self._paused:
            below = self.backlog_samples <= settings.low_water_samples and waiting <= settings.max_waiting_finals // 2
            self._paused = not below
        else:
            self._paused = self.backlog_samples >= settings.high_water_samples or waiting >= settings.max_waiting_finals
        return not self._paused

    @property
    def audio_ms(self) -> int:
        """Audio received so far."""
        return self._intake.expected_sample * 1000 // self.start.audio.sample_rate

    def _make_channel(self, index: int, settings: EndpointSettings) -> Channel:
        return Channel(
            index=index,
            stream=f"{self.session}/{index}",
            shared=self._shared,
            segmenter=Segmenter(settings, self._make_detector(settings.detector)),
            on_lost=self._lost,
        )

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
