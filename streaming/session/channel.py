"""One channel of a session: from samples on the clock to speech, jobs, words and finals. Pure.

    samples   ──▶ ring ──▶ segmenter ──▶ segment started ──▶ utterance: audio to the engine, interims on the grid
                                     ├─▶ segment paused  ──▶ early final, in case that nobody goes on speaking
                                     └─▶ segment ended   ──▶ final job ──▶ finals leave in the order of the utterances

An early final is a final that is worked out during the silence before its endpoint. If the segment then ends where it
was expected to, its answer is the final, word for word what a final job would have answered; if speech goes on, it is
forgotten.

What is asked of the engine is a function of the samples: an interim at each multiple of BLOCK_SAMPLES inside speech,
an early final at its pauses, the final up to its end. Which interims and early finals run is up to the scheduler,
where a newer one replaces one that waits, and to the load; the scheduler asks `prefix_tokens` as a job starts, when
all earlier answers are in.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.pool.interface import BLOCK_SAMPLES, FRAME_SAMPLES, Hypothesis, Job, JobError, JobKind
from inference.tagging.tones import ToneState
from streaming.audio.clock import ms_to_samples, samples_to_ms
from streaming.audio.ring import PcmRing
from streaming.protocol.messages import Event, LoadLevel, SoundScore, Speech
from streaming.session.calling import Calling
from streaming.session.effects import Append, Effect, Send, Submit
from streaming.session.live import LiveUtterances
from streaming.session.said import SaidBefore
from streaming.session.settings import SessionSettings
from streaming.session.sounds import ChannelSounds, SoundsState
from streaming.session.tones import ChannelTones
from streaming.session.utterance import EarlyFinal, Shared, Utterance, UtteranceState
from vad import (
    CommandedEnd,
    EndpointSettings,
    NoSpeech,
    SegmentEnded,
    Segmenter,
    SegmenterState,
    SegmentEvent,
    SegmentPaused,
    SegmentResumed,
    SegmentStarted,
    SpeechDetector,
)

MAX_UNSTORED_SAMPLES = ms_to_samples(10_000)
"""Most audio behind the newest snapshot ..."""
ROOM_SAMPLES = ms_to_samples(20_000)
"""... and what beside that, and the audio without a final, a ring must have room for: what may still become
pre-roll, what comes in before a mark is seen to be reached."""
_SLOWER: dict[LoadLevel, int] = {"normal": 1, "slow_interims": 2, "finals_only": 0, "refusing": 0}


def interim_blocks(level: LoadLevel, settings: SessionSettings) -> int:
    """Blocks from one interim to the next at a level of load; 0: no interims."""
    return _SLOWER[level] * settings.interim_blocks


class ChannelState(msgspec.Struct, frozen=True, array_like=True):
    """What a snapshot holds of a channel; its audio from `needed_from` on goes with it."""

    segmenter: SegmenterState
    open: UtteranceState | None
    ended: list[UtteranceState]
    analysed: list[UtteranceState] = []
    tones: ToneState | None = None
    sounds: SoundsState | None = None


class Channel:
    """Order of calls: `feed` with samples that follow one another, in pieces that end at every multiple of
    TONE_SAMPLES; `hypothesis` and `job_failed` with answers to the jobs asked for; `end_segment` at any time;
    `trim` where nothing before it is needed any more.
    """

    def __init__(
        self,
        index: int,
        stream: str,
        rate: int,
        shared: Shared,
        segmenter: Segmenter,
        said: SaidBefore,
        calling: Calling,
        on_lost: Callable[[int, int, int], list[Effect]],
    ) -> None:
        """
        Args:
            rate: of the client's audio.
            calling: is told of speech as it begins and ends.
            on_lost: takes (channel, from_sample, to_sample) of a final that was given up.
        """
        self.index = index
        self.stream = stream
        listens = bool(shared.model.sounds)
        self._sounds = ChannelSounds(index, stream, shared.model, shared.take_sound_id) if listens else None
        self._tones = ChannelTones(index)
        self.live = LiveUtterances(index, stream, shared, on_lost, self._sounds)
        self._rate = rate
        self._shared = shared
        self._segmenter = segmenter
        self._said = said
        self._calling = calling
        self._capacity = shared.settings.high_water_samples + MAX_UNSTORED_SAMPLES + ROOM_SAMPLES
        self._ring = PcmRing(self._capacity)

    @property
    def position(self) -> int:
        """First sample not yet here, 16 kHz."""
        return self.live.position

    # -- audio --------------------------------------------------------------------------------------------------

    def feed(self, pcm: NDArray[np.int16], now: float) -> list[Effect]:
        """Takes int16 (n,) at 16 kHz, which must not reach beyond the next multiple of TONE_SAMPLES."""
        self._ring.append(pcm)
        self.live.position += len(pcm)
        effects = self._segment_events(self._segmenter.feed(pcm), now)
        effects += self._heard(self._tones.feed(pcm, self.position))
        if self.position % BLOCK_SAMPLES == 0:
            effects += self._block_due(now)
        return effects

    def finish(self, now: float) -> list[Effect]:
        """No more audio comes, and the last utterance has ended."""
        effects = self._heard(self._tones.finish())
        return effects + self._heard(self._sounds.finish(self.position, self.read_pcm, now) if self._sounds else [])

    def ended(self) -> list[Effect]:
        """After `finish`, when nothing waits any more."""
        return self._heard(self._sounds.ended(self.position)) if self._sounds else []

    def end_segment(self, rule: CommandedEnd, now: float) -> list[Effect]:
        """Ends the open utterance here; nothing if there is none."""
        return self._segment_events(self._segmenter.finish(rule), now)

    def reconfigure(self, settings: EndpointSettings, detector: SpeechDetector | None = None) -> None:
        """From the next frame on; None keeps the detector."""
        self._segmenter.reconfigure(settings, detector)

    def read_pcm(self, first: int, until: int) -> bytes:
        """Samples that are not trimmed, as s16le."""
        return self._ring.read_bytes(first, until)

    def trim(self, before: int) -> None:
        """Gives up the samples before a position, at most `needed_from`."""
        self._ring.trim(before)

    def _heard(self, effects: list[Effect]) -> list[Effect]:
        """Nobody is told of sounds who does not want to be."""
        if self._shared.events:
            return effects
        return [effect for effect in effects if not isinstance(effect, Send)]

    def _segment_events(self, events: list[SegmentEvent], now: float) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            match event:
                case SegmentStarted():
                    effects += self._segment_started(event)
                case SegmentPaused():
                    effects += self._segment_paused(event, now)
                case SegmentResumed():
                    self._segment_resumed()
                case SegmentEnded():
                    effects += self._segment_ended(event, now)
                case NoSpeech(at_sample=at_sample) if self._shared.events:
                    at_ms = samples_to_ms(at_sample)
                    effects.append(
                        Send(Event(label="no_speech", channel=self.index, start_ms=at_ms, source="endpointing"))
                    )
        return effects

    def _segment_started(self, event: SegmentStarted) -> list[Effect]:
        self._calling.speech_started(self.index, event.onset_sample)
        at_ms = samples_to_ms(event.onset_sample)
        said = self._said.utterance(self.index, at_ms)
        utterance = self.live.begin(said or self._shared.take_utterance_id(), event.start_sample)
        self._said.recall(utterance, self.index, self._rate)
        return [Send(Speech(channel=self.index, state="started", utterance=utterance.id, at_ms=at_ms))]

    def _segment_paused(self, event: SegmentPaused, now: float) -> list[Effect]:
        """Asks for the final that it would be if the pause were the end; not where load makes interims rare.

        All early finals of an utterance together have at most twice its audio, however often it pauses.
        """
        utterance, settings, end_sample = self._open, self._shared.settings, event.end_sample
        if utterance is None or not settings.early_finals or self._shared.level != "normal":
            return []
        length = end_sample - utterance.start_sample
        if utterance.early_samples > length:
            return []
        utterance.early_samples += length
        utterance.asked_until = max(utterance.asked_until, end_sample)
        utterance.asked_at = now if utterance.asked_at is None else utterance.asked_at
        job = self._job(utterance, "early_final", end_sample, event.offset_sample)
        utterance.early = EarlyFinal(job.revision, end_sample)
        return [*self._append(utterance, end_sample), Submit(job, now + settings.final_deadline_s)]

    def _segment_resumed(self) -> None:
        if self._open is not None:
            self._open.early = None

    def _segment_ended(self, event: SegmentEnded, now: float) -> list[Effect]:
        self._calling.speech_ended(self.index, event.offset_sample)
        utterance = self.live.end(event.end_sample, event.offset_sample)
        utterance.final_asked_at = now
        self._shared.counts.speech_samples += event.end_sample - utterance.start_sample
        at_ms = samples_to_ms(event.at_sample)
        ended = Speech(channel=self.index, state="ended", utterance=utterance.id, at_ms=at_ms, rule=event.rule)
        if utterance.answer is not None:
            return [Send(ended), *self.live.settle()]
        return [Send(ended), *self._append(utterance, event.end_sample), *self._ask_final(utterance, now)]

    # -- what is asked of the engine ------------------------------------------------------------------------------

    def ask_until(self, sample: int, now: float) -> list[Effect]:
        """Asks for an interim up to a position even where none is due; for a marker inside open speech.

        In a pause the early final is enough, unless speech may have begun again before the position.
        """
        utterance = self._open
        if utterance is None or utterance.covered_by_early_final(sample, self._segmenter.unconfirmed_onset):
            return []
        if sample <= max(utterance.decoded_until, utterance.asked_until):
            return []
        return [*self._append(utterance, sample), self._interim(utterance, sample, now)]

    def ask_again(self, now: float) -> list[Effect]:
        """After a failed interim: asks for the same once more."""
        utterance = self._open
        if utterance is None or utterance.asked_at is not None or utterance.early is not None:
            return []
        if utterance.asked_until <= utterance.decoded_until:
            return []
        return [self._interim(utterance, utterance.asked_until, now)]

    def _block_due(self, now: float) -> list[Effect]:
        return [*self._listen(now), *self._interim_due(now), *self._ask_sounds(now)]

    def _listen(self, now: float) -> list[Effect]:
        if self._sounds is None:
            return []
        utterance = self._open
        span = None if utterance is None else (utterance.id, utterance.start_sample)
        return self._heard(self._sounds.block(self.position, span, self.read_pcm, now, listening=self._shared.events))

    def _ask_sounds(self, now: float) -> list[Effect]:
        """In an utterance for which no interim was asked that brings them; under load the next job does."""
        utterance = self._open
        if self._sounds is None or utterance is None or self._shared.level != "normal":
            return []
        if utterance.asked_until >= self.position:
            return []
        return self._sounds.ask(utterance.id, utterance.start_sample, utterance.appended_until, now)

    def _interim_due(self, now: float) -> list[Effect]:
        utterance = self._open
        if utterance is None or self.position <= utterance.start_sample:
            return []
        effects = self._append(utterance, self.position)
        every = interim_blocks(self._shared.level, self._shared.settings)
        if self._shared.interim == "off" or not every or self.position // BLOCK_SAMPLES % every:
            return effects
        if utterance.early is not None:
            return effects  # nothing but silence came since, and the early final covers what was before it
        return [*effects, self._interim(utterance, self.position, now)]

    def _interim(self, utterance: Utterance, until_sample: int, now: float) -> Effect:
        if utterance.early is not None and utterance.early.answer is None:
            utterance.early = None  # it may be replaced in the queue
        utterance.asked_until = until_sample
        utterance.asked_at = now if utterance.asked_at is None else utterance.asked_at
        job = self._job(utterance, "interim", until_sample)
        return Submit(job, now + self._shared.settings.interim_deadline_s)

    def _ask_final(self, utterance: Utterance, now: float) -> list[Effect]:
        """Of an utterance that has ended; nothing is asked where the early final is it."""
        assert utterance.end_sample is not None
        job = self._job(utterance, "final", utterance.end_sample, utterance.speech_until)
        utterance.final_revision = job.revision
        if (final := self.live.early_final(utterance)) is not None:
            return self.live.resolve(utterance, final)
        return [Submit(job, now + self._shared.settings.final_deadline_s)]

    def _job(self, utterance: Utterance, kind: JobKind, until_sample: int, speech_until: int | None = None) -> Job:
        sounds = self._sounds.wanted(utterance.id) if self._sounds else None
        if sounds is not None and sounds.until_sample > utterance.appended_until:
            sounds = None
        return utterance.next_job(self.stream, kind, until_sample, self._shared.opened_with, speech_until, sounds)

    def _append(self, utterance: Utterance, until: int) -> list[Effect]:
        first = utterance.appended_until
        if until <= first:
            return []
        utterance.appended_until = until
        return [Append(self.stream, utterance.id, first, self._ring.read_bytes(first, until))]

    @property
    def _open(self) -> Utterance | None:
        """The open utterance, unless its final was said already."""
        utterance = self.live.open
        return utterance if utterance is not None and utterance.answer is None else None

    # -- what the engine answers ----------------------------------------------------------------------------------

    def hypothesis(self, hypothesis: Hypothesis, now: float) -> list[Effect]:
        """Takes an answer; one to a job that is not asked for any more is dropped."""
        heard = self._heard(self._sounds.heard(hypothesis, last=hypothesis.final)) if self._sounds else []
        return heard if hypothesis.revision < 0 else [*heard, *self.live.hypothesis(hypothesis, now)]

    def job_failed(self, error: JobError) -> list[Effect]:
        """A job was given up. A later interim covers a failed one; a failed final becomes a gap."""
        final = (found := self.live.find(error.utterance)) is not None and error.revision == found.final_revision
        heard = (
            self._heard(self._sounds.failed(error.utterance)) if self._sounds and (final or error.revision < 0) else []
        )
        return heard if error.revision < 0 else [*heard, *self.live.job_failed(error)]

    def prefix_tokens(self, job: Job) -> tuple[int, ...]:
        """What the answer to a job that starts now must begin with."""
        return self.live.prefix_tokens(job)

    # -- what is there --------------------------------------------------------------------------------------------

    def decoded(self, sample: int) -> bool:
        """True when all speech before the position is decoded: finals are there, open speech has an interim of it."""
        return self.live.decoded(sample, self._segmenter.unconfirmed_onset)

    @property
    def speech_decided_until(self) -> int:
        """Whether there is speech is known up to here."""
        return self._segmenter.decided_until

    def segment_pcm(self, utterance: int) -> tuple[int, bytes] | None:
        """(first sample, s16le PCM) of an utterance that is not done: what the engine was given of it."""
        if self._sounds and (span := self._sounds.segment_span(utterance)) is not None:
            return span[0], self._ring.read_bytes(*span)
        found = self.live.find(utterance)
        if found is None:
            return None
        until = found.appended_until if found.end_sample is None else found.end_sample
        wanted = self._sounds.wanted(utterance) if self._sounds else None
        if wanted is not None:  # sounds are heard behind its end, too
            until = max(until, min(wanted.until_sample, found.appended_until))
        return found.start_sample, self._ring.read_bytes(found.start_sample, until)

    @property
    def waiting_finals(self) -> int:
        return len(self.live.ended)

    @property
    def waiting_answers(self) -> int:
        """Utterances that are still being analysed."""
        return len(self.live.analysed)

    @property
    def sound_scores(self) -> list[SoundScore]:
        """How sure the tagger was of each label at most."""
        return self._sounds.highest if self._sounds is not None and self._shared.events else []

    @property
    def waiting_sounds(self) -> bool:
        """Scores of sounds are still to come."""
        return self._sounds is not None and self._sounds.waiting

    @property
    def backlog_samples(self) -> int:
        """Audio since the begin of the oldest utterance that has no final yet, or is analysed, at 16 kHz."""
        start = self.live.start_sample
        return 0 if start is None else self.position - start

    @property
    def needed_from(self) -> int:
        """Audio before this is needed for nothing that is still to come, and for no restore."""
        start, segmenter = self.live.start_sample, self._segmenter
        first = segmenter.keep_from if start is None else start
        sounds = [self._sounds.needed_from] if self._sounds else []
        return min([first, segmenter.recent_from, self._tones.recent_from, *sounds])

    @property
    def asked_at(self) -> float | None:
        """When the oldest job that is still with the engine was asked for."""
        return self.live.asked_at

    def marker_target(self) -> int:
        """The newest position on the encoder's frames: what a marker at this moment waits for."""
        return self.position // FRAME_SAMPLES * FRAME_SAMPLES

    # -- snapshots ------------------------------------------------------------------------------------------------

    def state(self) -> ChannelState:
        opened = self.live.open
        return ChannelState(
            self._segmenter.state(),
            opened.state() if opened is not None else None,
            [utterance.state() for utterance in self.live.ended],
            [utterance.state() for utterance in self.live.analysed.values()],
            self._tones.state(),
            self._sounds.state() if self._sounds else None,
        )

    def restore(self, state: ChannelState, recent: NDArray[np.int16]) -> None:
        """Goes on where another channel was; for a new one with its settings. `refill` comes next.

        Args:
            recent: int16 (n,), its audio from its `needed_from`, or from earlier on, up to its position.

        Raises:
            ValueError: the state is damaged, or the audio is not all there.
        """
        self._segmenter.restore(state.segmenter, recent)
        self.live.position = state.segmenter.position
        if state.tones is not None:
            self._tones.restore(state.tones, recent)
        if self._sounds is not None and state.sounds is not None:
            self._sounds.restore(state.sounds)
        self.live.restore(state.open, state.ended, state.analysed)
        if (self.live.open is None) is not (self._segmenter.open_segment is None):
            raise ValueError("a segment is open without its utterance, or the other way round")
        for utterance in self.live:
            self._said.recall(utterance, self.index, self._rate)

    def refill(self, first_sample: int, pcm: NDArray[np.int16]) -> None:
        """Takes int16 (n,), the audio from a position, at most `needed_from`, up to this one."""
        self._ring = PcmRing(self._capacity, first_sample)
        self._ring.append(pcm)

    def resume(self, now: float) -> list[Effect]:
        """After a restore: what the engine must have and do again."""
        effects: list[Effect] = []
        if self._sounds is not None:
            asked = [utterance.id for utterance in self.live if utterance.answer is None]
            effects += self._heard(self._sounds.resume(asked, self.read_pcm, now))
        for utterance in self.live:
            utterance.final_asked_at = now
            if utterance.answer is None and (segment := self.segment_pcm(utterance.id)) is not None:
                effects.append(Append(self.stream, utterance.id, *segment))
                effects += self._ask_final(utterance, now) if utterance.end_sample is not None else []
        return [*effects, *self.live.analyse_again(now), *self.live.settle()]
