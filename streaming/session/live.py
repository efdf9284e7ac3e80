"""The utterances of one channel whose final has not left, and what the engine's answers do to them. Pure.

open ──▶ interims ──▶ its segment ends ──▶ ended ──▶ its final is there, and all finals before it have left
     ──▶ analysed, where the session has tasks beside its captions ──▶ their answers are there ──▶ gone
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from inference.pool.interface import Hypothesis, Job, JobError
from streaming.audio.clock import samples_to_ms
from streaming.protocol.messages import Event
from streaming.session.analysis import failed_analyses, wire_analyses
from streaming.session.effects import Discard, Effect, Send, Submit
from streaming.session.sounds import ChannelSounds
from streaming.session.utterance import SaidFinal, Shared, Utterance, UtteranceState, wire_transcript
from streaming.transcript.stabilizer import Stabilizer


@dataclass(slots=True)
class LiveUtterances:
    """Order of calls: `begin`, `end`, `settle` in turns; `hypothesis` and `job_failed` at any time."""

    channel: int
    stream: str
    shared: Shared
    on_lost: Callable[[int, int, int], list[Effect]]
    """(channel, from_sample, to_sample) of a final that was given up, in its place among the finals."""
    sounds: ChannelSounds | None = None
    """None: nobody listens."""
    position: int = 0
    """First sample of the channel not yet here, 16 kHz."""
    open: Utterance | None = None
    ended: deque[Utterance] = field(default_factory=deque)
    """Oldest first."""
    analysed: dict[int, Utterance] = field(default_factory=dict)
    """By id, oldest first: their finals have left. Not among those that are iterated over."""

    def __iter__(self) -> Iterator[Utterance]:
        yield from self.ended
        if self.open is not None:
            yield self.open

    def find(self, utterance: int) -> Utterance | None:
        return self.analysed.get(utterance) or next((known for known in self if known.id == utterance), None)

    def begin(self, utterance: int, start_sample: int) -> Utterance:
        """The new open utterance."""
        self.open = self._make(utterance, start_sample)
        return self.open

    def end(self, end_sample: int, speech_until: int) -> Utterance:
        """The utterance that was open until now."""
        utterance = self.open
        assert utterance is not None, "a segment ended that never started"
        self.open = None
        self.ended.append(utterance)
        utterance.end_sample, utterance.speech_until = end_sample, speech_until
        return utterance

    # -- what the engine answers ----------------------------------------------------------------------------------

    def hypothesis(self, hypothesis: Hypothesis, now: float) -> list[Effect]:
        """Takes an answer; one to a job that is not asked for any more is dropped."""
        if (analysed := self.analysed.get(hypothesis.utterance)) is not None:
            return self._analysis(analysed, hypothesis)
        utterance = self.find(hypothesis.utterance)
        if utterance is None or isinstance(utterance.answer, SaidFinal):
            return []
        if hypothesis.final:
            return self.resolve(utterance, hypothesis)
        utterance.asked_at = None if hypothesis.revision == utterance.revision else now
        if hypothesis.early:
            return self._early_answered(utterance, hypothesis)
        utterance.decoded_until = max(utterance.decoded_until, hypothesis.decoded_until)
        return list(self._updates(utterance, hypothesis))

    def job_failed(self, error: JobError) -> list[Effect]:
        """A job was given up. A later interim covers a failed one; a failed final becomes a gap; of a failed analysis
        it is said that there is none."""
        if (analysed := self.analysed.get(error.utterance)) is not None:
            return self._no_analysis(analysed, error)
        utterance = self.find(error.utterance)
        if utterance is None or isinstance(utterance.answer, SaidFinal):
            return []
        if error.revision == utterance.final_revision:
            return self.resolve(utterance, error)
        if utterance.early is None or utterance.early.revision == error.revision:
            utterance.early, utterance.asked_at = None, None
        return []

    def resolve(self, utterance: Utterance, answer: Hypothesis | JobError) -> list[Effect]:
        """Takes the final, or that there will be none."""
        if utterance.final_revision is None or answer.revision != utterance.final_revision:
            return []
        utterance.answer = answer
        return self.settle()

    def settle(self) -> list[Effect]:
        """Finals leave that wait for none before them."""
        effects: list[Effect] = []
        while self.ended and self.ended[0].answer is not None:
            effects += self._finish(self.ended.popleft())
        return effects

    def early_final(self, utterance: Utterance) -> Hypothesis | None:
        """The early final's answer, if it is the final, and no scores of sounds are left for a final to bring."""
        if self.sounds is not None and self.sounds.wanted(utterance.id) is not None:
            return None
        return utterance.early_final()

    def _early_answered(self, utterance: Utterance, hypothesis: Hypothesis) -> list[Effect]:
        """Keeps the answer, unless speech has gone on, and sends it if the endpoint has fired.

        It is not shown before: interims are decoded from other states, and the next one would take its words back.
        """
        early = utterance.early
        if early is None or early.revision != hypothesis.revision:
            return []
        early.answer = hypothesis
        if (final := self.early_final(utterance)) is not None:
            return self.resolve(utterance, final)
        utterance.decoded_until = max(utterance.decoded_until, early.until_sample)
        return []

    def _finish(self, utterance: Utterance) -> list[Effect]:
        """The final leaves: everything before it has left.

        What comes with it leaves before it, since a final that was said is not worked out again.
        """
        assert utterance.end_sample is not None
        self.shared.counts.utterances += 1
        forget = Discard(self.stream, utterance.id)
        match utterance.answer:
            case Hypothesis():
                effects = [*self._sounds(utterance.answer), *self._updates(utterance, utterance.answer)]
                return [*effects, *(self._analyse(utterance) if utterance.tasks.others else [forget])]
            case SaidFinal(lost=False, words=words, corrected=corrected):
                self.shared.counts.words += words
                self.shared.counts.corrected += corrected
                return self._analyse(utterance) if utterance.tasks.others else [forget]
        return [*self.on_lost(self.channel, utterance.start_sample, utterance.end_sample), forget]

    # -- what is asked beside the words -----------------------------------------------------------------------------

    def _analyse(self, utterance: Utterance) -> list[Effect]:
        self.analysed[utterance.id] = utterance
        return [self._ask(utterance)]

    def _ask(self, utterance: Utterance) -> Submit:
        assert utterance.end_sample is not None
        job = utterance.next_job(self.stream, "answer", utterance.end_sample, self.shared.opened_with)
        return Submit(job, utterance.final_asked_at + self.shared.settings.answer_deadline_s)

    def _analysis(self, utterance: Utterance, hypothesis: Hypothesis) -> list[Effect]:
        """Goes on asking until the answers are whole."""
        if hypothesis.revision != utterance.revision:
            return []
        if hypothesis.more:
            return [self._ask(utterance)]
        del self.analysed[utterance.id]
        said = wire_analyses(utterance, self.channel, hypothesis.answers)
        return [*(Send(message) for message in said), Discard(self.stream, utterance.id)]

    def _no_analysis(self, utterance: Utterance, error: JobError) -> list[Effect]:
        if error.revision != utterance.revision:
            return []
        del self.analysed[utterance.id]
        said = failed_analyses(utterance, self.channel, error)
        return [*(Send(message) for message in said), Discard(self.stream, utterance.id)]

    def analyse_again(self, now: float) -> list[Effect]:
        """After a restore."""
        for utterance in self.analysed.values():
            utterance.final_asked_at = now
        return [self._ask(utterance) for utterance in self.analysed.values()]

    def _updates(self, utterance: Utterance, hypothesis: Hypothesis) -> Iterator[Effect]:
        update = utterance.stabilizer.hypothesis(hypothesis)
        if update is None:
            return
        if update.final:
            self.shared.counts.words += len(utterance.stabilizer.words)
            self.shared.counts.corrected += update.corrected
        lag_samples = max(0, self.position - hypothesis.decoded_until)
        yield Send(wire_transcript(update, hypothesis, lag_samples))

    def _sounds(self, hypothesis: Hypothesis) -> Iterator[Effect]:
        if not self.shared.events:
            return
        for sound in hypothesis.sounds:
            yield Send(
                Event(
                    label=sound.label,
                    channel=self.channel,
                    start_ms=samples_to_ms(sound.start_sample),
                    end_ms=samples_to_ms(sound.end_sample),
                    source="description",
                )
            )

    # -- what is there --------------------------------------------------------------------------------------------

    def prefix_tokens(self, job: Job) -> tuple[int, ...]:
        """What the answer to a job that starts now must begin with."""
        utterance = self.find(job.utterance)
        if utterance is None or job.kind == "answer":
            return ()
        return utterance.stabilizer.prefix_tokens(job.kind)

    def decoded(self, sample: int, unconfirmed_onset: int | None) -> bool:
        """True when all speech before the position is decoded: finals are there, open speech has an interim of it."""
        return all(utterance.decoded(sample, unconfirmed_onset) for utterance in self)

    @property
    def asked_at(self) -> float | None:
        """When the oldest job that is still with the engine was asked for."""
        asked = [utterance.final_asked_at for utterance in self.ended if utterance.answer is None]
        if self.open is not None and self.open.asked_at is not None:
            asked.append(self.open.asked_at)
        return min(asked, default=None)

    @property
    def start_sample(self) -> int | None:
        """Of the oldest one, those that are analysed among them."""
        first = next(iter((*self.analysed.values(), *self)), None)
        return first.start_sample if first else None

    # -- snapshots ------------------------------------------------------------------------------------------------

    def restore(
        self, opened: UtteranceState | None, ended: list[UtteranceState], analysed: list[UtteranceState]
    ) -> None:
        """Goes on with the utterances of another one. Raises ValueError: they are damaged."""
        for state in [*analysed, *ended, *([opened] if opened else [])]:
            utterance = self._make(state.id, state.start_sample)
            utterance.restore(state)
            until = utterance.appended_until if utterance.end_sample is None else utterance.end_sample
            if not 0 <= utterance.start_sample <= until <= self.position:
                raise ValueError("an utterance's positions contradict each other")
            if (utterance.end_sample is None) is not (state is opened):
                raise ValueError("only the newest utterance can be open")
            if state is opened:
                self.open = utterance
            elif any(state is one for one in analysed):
                self.analysed[utterance.id] = utterance
            else:
                self.ended.append(utterance)

    def _make(self, utterance: int, start_sample: int) -> Utterance:
        shared, settings = self.shared, self.shared.settings
        stabilizer = Stabilizer(
            utterance,
            self.channel,
            shared.interim,
            shared.take_word_id,
            agreement=settings.agreement,
            patient_agreement=settings.patient_agreement,
            hold_back_samples=settings.hold_back_samples,
            min_confidence=settings.min_confidence,
            unsure_confidence=settings.unsure_confidence,
            not_before_sample=start_sample,
        )
        return Utterance(
            id=utterance,
            start_sample=start_sample,
            stabilizer=stabilizer,
            tasks=shared.tasks,
            appended_until=start_sample,
            decoded_until=start_sample,
        )
