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

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.pool.interface import BLOCK_SAMPLES, FRAME_SAMPLES, Hypothesis, Job, JobError, JobKind
from streaming.audio.clock import ms_to_samples, samples_to_ms
from streaming.audio.ring import PcmRing
from streaming.protocol.messages import Event, LoadLevel, Speech
from streaming.session.effects import Append, Discard, Effect, Send, Submit
from streaming.session.settings import SessionSettings
from streaming.session.utterance import EarlyFinal, Shared, Utterance, wire_transcript
from streaming.transcript.stabilizer import Stabilizer
from vad import (
    CommandedEnd,
    EndpointSettings,
    NoSpeech,
    SegmentEnded,
    Segmenter,
    SegmentEvent,
    SegmentPaused,
    SegmentResumed,
    SegmentStarted,
    SpeechDetector,
)

RING_SAMPLES = ms_to_samples(60_000)
"""An open segment (29 s at most), what may still become its pre-roll, and room."""
_SLOWER: dict[LoadLevel, int] = {"normal": 1, "slow_interims": 2, "finals_only": 0, "refusing": 0}


def interim_blocks(level: LoadLevel, settings: SessionSettings) -> int:
    """Blocks from one interim to the next at a level of load; 0: no interims."""
    return _SLOWER[level] * settings.interim_blocks


@dataclass(slots=True)
class Channel:
    """Order of calls: `feed` with samples that follow one another, in pieces that end at every multiple of
    BLOCK_SAMPLES; `hypothesis` and `job_failed` with answers to the jobs asked for; `end_segment` at any time.
    """

    index: int
    stream: str
    shared: Shared
    segmenter: Segmenter
    on_lost: Callable[[int, int, int], list[Effect]]
    """(channel, from_sample, to_sample) of a final that was given up, in its place among the finals."""
    position: int = 0
    """First sample not yet here, 16 kHz."""
    _ring: PcmRing = field(default_factory=lambda: PcmRing(RING_SAMPLES))
    _open: Utterance | None = None
    _ended: deque[Utterance] = field(default_factory=deque)
    """Those whose final has not left, oldest first."""

    # -- audio --------------------------------------------------------------------------------------------------

    def feed(self, pcm: NDArray[np.int16], now: float) -> list[Effect]:
        """Takes int16 (n,) at 16 kHz, which must not reach beyond the next multiple of BLOCK_SAMPLES."""
        self._ring.append(pcm)
        self.position += len(pcm)
        effects = self._segment_events(self.segmenter.feed(pcm), now)
        if self.position % BLOCK_SAMPLES == 0:
            effects += self._block_due(now)
        first_open = self._open.start_sample if self._open else self.segmenter.keep_from
        self._ring.trim(min(first_open, self.position - BLOCK_SAMPLES))
        return effects

    def end_segment(self, rule: CommandedEnd, now: float) -> list[Effect]:
        """Ends the open utterance here; nothing if there is none."""
        return self._segment_events(self.segmenter.finish(rule), now)

    def reconfigure(self, settings: EndpointSettings, detector: SpeechDetector | None = None) -> None:
        """From the next frame on; None keeps the detector."""
        self.segmenter.reconfigure(settings, detector)

    def read_pcm(self, first: int) -> bytes:
        """The samples from a position at most BLOCK_SAMPLES back up to the newest one, as s16le."""
        return self._ring.read_bytes(first, self.position)

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
                case NoSpeech(at_sample=at_sample) if self.shared.events:
                    at_ms = samples_to_ms(at_sample)
                    effects.append(
                        Send(Event(label="no_speech", channel=self.index, start_ms=at_ms, source="endpointing"))
                    )
        return effects

    def _segment_started(self, event: SegmentStarted) -> list[Effect]:
        shared, settings = self.shared, self.shared.settings
        utterance = shared.take_utterance_id()
        stabilizer = Stabilizer(
            utterance,
            self.index,
            shared.interim,
            shared.take_word_id,
            agreement=settings.agreement,
            patient_agreement=settings.patient_agreement,
            hold_back_samples=settings.hold_back_samples,
            min_confidence=settings.min_confidence,
            unsure_confidence=settings.unsure_confidence,
            not_before_sample=event.start_sample,
        )
        self._open = Utterance(
            id=utterance,
            start_sample=event.start_sample,
            stabilizer=stabilizer,
            appended_until=event.start_sample,
            decoded_until=event.start_sample,
        )
        at_ms = samples_to_ms(event.onset_sample)
        return [Send(Speech(channel=self.index, state="started", utterance=utterance, at_ms=at_ms))]

    def _segment_paused(self, event: SegmentPaused, now: float) -> list[Effect]:
        """Asks for the final that it would be if the pause were the end; not where load makes interims rare.

        All early finals of an utterance together have at most twice its audio, however often it pauses.
        """
        utterance, settings, end_sample = self._open, self.shared.settings, event.end_sample
        if utterance is None or not settings.early_finals or self.shared.level != "normal":
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
        utterance = self._open
        assert utterance is not None, "a segment ended that never started"
        self._open = None
        self._ended.append(utterance)
        effects: list[Effect] = [
            Send(
                Speech(
                    channel=self.index,
                    state="ended",
                    utterance=utterance.id,
                    at_ms=samples_to_ms(event.at_sample),
                    rule=event.rule,
                )
            ),
            *self._append(utterance, event.end_sample),
        ]
        utterance.end_sample = event.end_sample
        utterance.pcm = self._ring.read_bytes(utterance.start_sample, event.end_sample)
        self.shared.speech_samples += event.end_sample - utterance.start_sample
        job = self._job(utterance, "final", event.end_sample, event.offset_sample)
        utterance.final_revision, utterance.final_asked_at = job.revision, now
        if (final := utterance.early_final()) is not None:
            return [*effects, *self._resolve(utterance, final)]
        return [*effects, Submit(job, now + self.shared.settings.final_deadline_s)]

    # -- what is asked of the engine ------------------------------------------------------------------------------

    def ask_until(self, sample: int, now: float) -> list[Effect]:
        """Asks for an interim up to a position even where none is due; for a marker inside open speech.

        In a pause the early final is enough, unless speech may have begun again before the position.
        """
        utterance = self._open
        if utterance is None or utterance.covered_by_early_final(sample, self.segmenter.unconfirmed_onset):
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

    def prefix_tokens(self, job: Job) -> tuple[int, ...]:
        """What the answer to a job that starts now must begin with."""
        utterance = self._find(job.utterance)
        return utterance.stabilizer.prefix_tokens(job.kind) if utterance else ()

    def _block_due(self, now: float) -> list[Effect]:
        utterance = self._open
        if utterance is None or self.position <= utterance.start_sample:
            return []
        effects = self._append(utterance, self.position)
        every = interim_blocks(self.shared.level, self.shared.settings)
        if self.shared.interim == "off" or not every or self.position // BLOCK_SAMPLES % every:
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
        return Submit(job, now + self.shared.settings.interim_deadline_s)

    def _job(self, utterance: Utterance, kind: JobKind, until_sample: int, speech_until: int | None = None) -> Job:
        utterance.revision += 1
        return Job(
            stream=self.stream,
            utterance=utterance.id,
            revision=utterance.revision,
            kind=kind,
            start_sample=utterance.start_sample,
            until_sample=until_sample,
            speech_until=speech_until,
        )

    def _append(self, utterance: Utterance, until: int) -> list[Effect]:
        first = utterance.appended_until
        if until <= first:
            return []
        utterance.appended_until = until
        return [Append(self.stream, utterance.id, first, self._ring.read_bytes(first, until))]

    # -- what the engine answers ----------------------------------------------------------------------------------

    def hypothesis(self, hypothesis: Hypothesis, now: float) -> list[Effect]:
        """Takes an answer; one to a job that is not asked for any more is dropped."""
        utterance = self._find(hypothesis.utterance)
        if utterance is None:
            return []
        if hypothesis.final:
            return self._resolve(utterance, hypothesis)
        utterance.asked_at = None if hypothesis.revision == utterance.revision else now
        if hypothesis.early:
            return self._early_answered(utterance, hypothesis)
        utterance.decoded_until = max(utterance.decoded_until, hypothesis.decoded_until)
        return list(self._updates(utterance, hypothesis))

    def _early_answered(self, utterance: Utterance, hypothesis: Hypothesis) -> list[Effect]:
        """Keeps the answer, unless speech has gone on, and sends it if the endpoint has fired.

        It is not shown before: interims are decoded from other states, and the next one would take its words back.
        """
        early = utterance.early
        if early is None or early.revision != hypothesis.revision:
            return []
        early.answer = hypothesis
        if (final := utterance.early_final()) is not None:
            return self._resolve(utterance, final)
        utterance.decoded_until = max(utterance.decoded_until, early.until_sample)
        return []

    def job_failed(self, error: JobError) -> list[Effect]:
        """A job was given up. A later interim covers a failed one; a failed final becomes a gap."""
        utterance = self._find(error.utterance)
        if utterance is None:
            return []
        if error.revision == utterance.final_revision:
            return self._resolve(utterance, error)
        if utterance.early is None or utterance.early.revision == error.revision:
            utterance.early, utterance.asked_at = None, None
        return []

    def _resolve(self, utterance: Utterance, answer: Hypothesis | JobError) -> list[Effect]:
        if utterance.final_revision is None or answer.revision != utterance.final_revision:
            return []
        utterance.answer = answer
        effects: list[Effect] = []
        while self._ended and self._ended[0].answer is not None:
            effects += self._finish(self._ended.popleft())
        return effects

    def _finish(self, utterance: Utterance) -> list[Effect]:
        """The final leaves: everything before it has left."""
        assert utterance.end_sample is not None
        self.shared.utterances += 1
        forget = Discard(self.stream, utterance.id)
        if not isinstance(utterance.answer, Hypothesis):
            return [*self.on_lost(self.index, utterance.start_sample, utterance.end_sample), forget]
        return [*self._updates(utterance, utterance.answer), *self._sounds(utterance.answer), forget]

    def _updates(self, utterance: Utterance, hypothesis: Hypothesis) -> Iterator[Effect]:
        update = utterance.stabilizer.hypothesis(hypothesis)
        if update is None:
            return
        if update.final:
            self.shared.words += len(utterance.stabilizer.words)
            self.shared.corrected += update.corrected
        lag_samples = max(0, self.position - hypothesis.decoded_until)
        yield Send(wire_transcript(update, hypothesis, lag_samples))

    def _sounds(self, hypothesis: Hypothesis) -> Iterator[Effect]:
        if not self.shared.events:
            return
        for sound in hypothesis.sounds:
            yield Send(
                Event(
                    label=sound.label,
                    channel=self.index,
                    start_ms=samples_to_ms(sound.start_sample),
                    end_ms=samples_to_ms(sound.end_sample),
                    source="description",
                )
            )

    # -- what is there --------------------------------------------------------------------------------------------

    def decoded(self, sample: int) -> bool:
        """True when all speech before the position is decoded: finals are there, open speech has an interim of it."""
        onset = self.segmenter.unconfirmed_onset
        return all(utterance.decoded(sample, onset) for utterance in self._live())

    def segment_pcm(self, utterance: int) -> tuple[int, bytes] | None:
        """(first sample, s16le PCM) of an utterance that is not done: what the engine was given of it."""
        found = self._find(utterance)
        if found is None:
            return None
        if found.end_sample is not None:
            return found.start_sample, found.pcm
        return found.start_sample, self._ring.read_bytes(found.start_sample, found.appended_until)

    @property
    def waiting_finals(self) -> int:
        return len(self._ended)

    @property
    def backlog_samples(self) -> int:
        """Speech that has no final yet, at 16 kHz."""
        ended = sum(len(utterance.pcm) // 2 for utterance in self._ended)
        return ended + (self.position - self._open.start_sample if self._open else 0)

    @property
    def needed_from(self) -> int:
        """Audio before this is needed for nothing that is still to come."""
        first = next(self._live(), None)
        return first.start_sample if first else self.segmenter.keep_from

    @property
    def asked_at(self) -> float | None:
        """When the oldest job that is still with the engine was asked for."""
        asked = [utterance.final_asked_at for utterance in self._ended if utterance.answer is None]
        if self._open is not None and self._open.asked_at is not None:
            asked.append(self._open.asked_at)
        return min(asked, default=None)

    def marker_target(self) -> int:
        """The newest position on the encoder's frames: what a marker at this moment waits for."""
        return self.position // FRAME_SAMPLES * FRAME_SAMPLES

    def _find(self, utterance: int) -> Utterance | None:
        return next((known for known in self._live() if known.id == utterance), None)

    def _live(self) -> Iterator[Utterance]:
        yield from self._ended
        if self._open is not None:
            yield self._open
