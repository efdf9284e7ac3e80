"""What a session knows of an utterance, and how the wire says it. Plain records."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from inference.pool.interface import EngineInfo, Hypothesis, Job, JobError, JobKind, SoundsWanted, StreamSpec
from streaming.audio.clock import samples_to_ms
from streaming.protocol.messages import InterimPolicy, LoadLevel, Transcript, Word
from streaming.session.settings import SessionSettings
from streaming.session.tasks import SessionTasks
from streaming.transcript.stabilizer import Stabilizer, StabilizerState, Update
from streaming.transcript.words import TranscriptWord


class Counts(msgspec.Struct, array_like=True):
    """What was given out, and what the summary says, of all channels of a session."""

    last_utterance: int = 0
    last_word: int = 0
    utterances: int = 0
    words: int = 0
    corrected: int = 0
    speech_samples: int = 0
    gaps: int = 0
    last_sound: int = 0
    """Segments of sound have ids below 0."""


@dataclass(slots=True)
class Shared:
    """What the channels of one session have in common."""

    settings: SessionSettings
    interim: InterimPolicy
    events: bool
    tasks: SessionTasks
    """Of the next utterance."""
    opened_with: StreamSpec
    """What the engine's streams were told of the captions."""
    model: EngineInfo
    level: LoadLevel = "normal"
    counts: Counts = field(default_factory=Counts)

    def take_utterance_id(self) -> int:
        self.counts.last_utterance += 1
        return self.counts.last_utterance

    def take_sound_id(self) -> int:
        self.counts.last_sound -= 1
        return self.counts.last_sound

    def take_word_id(self) -> int:
        self.counts.last_word += 1
        return self.counts.last_word


@dataclass(slots=True)
class EarlyFinal:
    """A final that was asked for before its endpoint. Void once somebody speaks again."""

    revision: int
    """Of its job."""
    until_sample: int
    """Where the segment ends if nobody speaks again."""
    answer: Hypothesis | None = None


class SaidFinal(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A final that the client has from before the session was restored, or the gap in its place."""

    words: int = 0
    corrected: int = 0
    lost: bool = False


class UtteranceState(msgspec.Struct, frozen=True, array_like=True):
    """What a snapshot holds of an utterance. Jobs and their answers are not in it: they are asked for again."""

    id: int
    start_sample: int
    appended_until: int
    decoded_until: int
    revision: int
    end_sample: int | None
    speech_until: int | None
    early_samples: int
    said: SaidFinal | None
    words: StabilizerState
    tasks: SessionTasks | None = None
    """None: written before there were others than the session's first."""


@dataclass(slots=True)
class Utterance:
    id: int
    start_sample: int
    stabilizer: Stabilizer
    tasks: SessionTasks
    appended_until: int
    decoded_until: int
    revision: int = 0
    """Of the newest job; each job of an utterance has its own."""
    end_sample: int | None = None
    """None while it is open."""
    speech_until: int | None = None
    """Once it has ended: where its speech did."""
    final_revision: int | None = None
    final_asked_at: float = 0.0
    answer: Hypothesis | JobError | SaidFinal | None = None
    """To its final job, or what stands for it: then it may be open still, and nothing is asked for it."""
    asked_until: int = 0
    """The newest position that an interim or an early final was asked for."""
    asked_at: float | None = None
    """When the oldest interim or early final was asked for that has no answer yet, nor a newer one of them."""
    early: EarlyFinal | None = None
    early_samples: int = 0
    """Audio that its early finals were asked for, added up."""

    def state(self) -> UtteranceState:
        return UtteranceState(
            self.id,
            self.start_sample,
            self.appended_until,
            self.decoded_until,
            self.revision,
            self.end_sample,
            self.speech_until,
            self.early_samples,
            self.answer if isinstance(self.answer, SaidFinal) else None,
            self.stabilizer.state(),
            self.tasks,
        )

    def restore(self, state: UtteranceState) -> None:
        """Goes on where another one was, with nothing asked for. Raises ValueError: the state is damaged."""
        self.appended_until = state.appended_until
        self.decoded_until = self.asked_until = state.decoded_until
        self.revision = state.revision
        self.end_sample = state.end_sample
        self.speech_until = state.speech_until
        self.early_samples = state.early_samples
        self.answer = state.said
        self.tasks = state.tasks or self.tasks
        self.stabilizer.restore(state.words)

    def next_job(
        self,
        stream: str,
        kind: JobKind,
        until_sample: int,
        opened_with: StreamSpec,
        speech_until: int | None = None,
        sounds: SoundsWanted | None = None,
    ) -> Job:
        """A job on it, with a revision of its own. `opened_with`: what its stream was told of the captions."""
        self.revision += 1
        spec = self.tasks.spec
        return Job(
            stream=stream,
            utterance=self.id,
            revision=self.revision,
            kind=kind,
            start_sample=self.start_sample,
            until_sample=until_sample,
            speech_until=speech_until,
            spec=None if spec == opened_with else spec,
            tasks=self.tasks.asked if kind == "answer" else (),
            sounds=sounds,
        )

    def early_final(self) -> Hypothesis | None:
        """The early final's answer, if it is the final: of all the segment's audio, and beginning as a final must."""
        if self.early is None or self.early.answer is None or self.early.until_sample != self.end_sample:
            return None
        bound = self.stabilizer.prefix_tokens("final")
        tokens = tuple(token for word in self.early.answer.words for token in word.tokens)
        if tokens[: len(bound)] != bound:
            return None
        return msgspec.structs.replace(self.early.answer, final=True, revision=self.revision)

    def decoded(self, sample: int, unconfirmed_onset: int | None) -> bool:
        """All of its speech before the position is decoded: it has its final (once it has ended, nobody asks), an
        interim up to there, or an early final after which nobody has spoken."""
        if self.start_sample >= sample or isinstance(self.answer, SaidFinal):
            return True
        if self.end_sample is not None and self.end_sample <= sample:
            return False
        answered = self.early is not None and self.early.answer is not None
        return self.decoded_until >= sample or (answered and self.covered_by_early_final(sample, unconfirmed_onset))

    def covered_by_early_final(self, sample: int, unconfirmed_onset: int | None) -> bool:
        """An early final is asked for, and nobody has spoken between it and the position."""
        return self.early is not None and (unconfirmed_onset is None or sample <= unconfirmed_onset)


def wire_transcript(update: Update, hypothesis: Hypothesis, lag_samples: int) -> Transcript:
    """An update as the client reads it; `lag_samples` at 16 kHz."""
    return Transcript(
        utterance=update.utterance,
        channel=update.channel,
        revision=update.revision,
        from_word=update.from_word,
        words=[wire_word(word) for word in update.words],
        final=update.final,
        text=update.text if update.final else None,
        corrected=update.corrected,
        decoded_until_ms=samples_to_ms(update.decoded_until),
        lag_ms=samples_to_ms(lag_samples),
        language=hypothesis.language,
    )


def wire_word(word: TranscriptWord) -> Word:
    """A word as the client reads it."""
    return Word(
        id=word.id,
        text=word.text,
        start_ms=samples_to_ms(word.start_sample),
        end_ms=samples_to_ms(word.end_sample),
        confidence=round(word.confidence, 3),
        state=word.state,
        glued=word.glued,
    )
