"""What one channel hears beside words: telephone tones, and sounds by the tagger. Pure.

Tones are found here, sample by sample. Sounds are scored in the worker, by blocks of the sample clock, in the passes
that captions need anyhow; who scores a block is settled by the clock alone, when all of its right context is there:

    nothing to hear       ──▶ silence
    an utterance is open  ──▶ that utterance: its interims and its final bring the scores, or a sounds job
    the gate hears news   ──▶ a segment of audio of its own, for which sounds jobs are asked
    the same as before    ──▶ the scores of the block before

Scores are taken in the order of the clock, whenever they come; so the events are a function of the samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from inference.pool.interface import BLOCK_SAMPLES, BlockScores, EngineInfo, Hypothesis, Job, SoundsWanted
from inference.tagging.gate import GateState, SoundGate, Verdict
from inference.tagging.hysteresis import EventTracker, TagEvent, Threshold, TrackerSettings, TrackerState
from streaming.audio.clock import SAMPLE_RATE, samples_to_ms
from streaming.protocol.messages import Event, SoundScore
from streaming.session.effects import Append, Discard, Effect, Send, Submit

SEGMENT_SAMPLES = 24 * SAMPLE_RATE
"""A segment of sound is followed by another after this; the model's window is 30 s."""
MAX_WAITING = 240
"""Blocks that wait for their scores, two minutes; the oldest ones are given up then."""
SPEECH = "Speech"
"""Is told of by `speech` messages and words, and by no event."""
LEAST_SCORE = 0.05
"""Labels that were never surer are not in the summary."""
SOUNDS_DEADLINE_S = 1.0
"""Behind interims, which have half a second."""

ReadPcm = Callable[[int, int], bytes]


class Waiting(msgspec.Struct, array_like=True):
    """A block that was assigned, in the order of the clock."""

    first_sample: int
    until_sample: int
    home: int = 0
    """The utterance, or segment, whose audio it is; 0: none."""
    verdict: Verdict = "active"
    scores: tuple[float, ...] | None = None
    unknown: bool = False
    """Nobody will say what it scores."""


class Segment(msgspec.Struct, array_like=True):
    """Audio in which nobody speaks, as an utterance of the engine's."""

    id: int
    """Below 0."""
    start_sample: int
    appended_until: int
    revision: int = 0
    """Of its newest job: -1, -2 ..."""
    done: bool = False
    """No more audio of it comes."""


class SoundsState(msgspec.Struct, frozen=True, array_like=True):
    gate: GateState
    tracker: TrackerState
    waiting: list[Waiting]
    segments: list[Segment]
    last: tuple[float, ...] | None
    verdicts: list[Verdict]
    assigned_until: int
    revision: int
    highest: list[float]


@dataclass(slots=True)
class ChannelSounds:
    """Order of calls: `block` at each multiple of BLOCK_SAMPLES; `wanted` and `ask` as jobs on utterances are made;
    `heard`, `failed` with answers; `finish` at the stream's end, after its last utterance has ended.
    """

    channel: int
    stream: str
    model: EngineInfo
    take_id: Callable[[], int]
    """A number below 0, never given before."""
    _gate: SoundGate = field(default_factory=SoundGate)
    _waiting: deque[Waiting] = field(default_factory=deque)
    _segments: dict[int, Segment] = field(default_factory=dict)
    _last: tuple[float, ...] | None = None
    _verdicts: deque[Verdict] = field(default_factory=deque)
    """Of the blocks from `_assigned_until` on."""
    _assigned_until: int = 0
    _revision: int = 0
    """Of the newest sounds job on an utterance: -1, -2 ... Other jobs have revisions above 0."""
    _highest: list[float] = field(init=False)
    _tracker: EventTracker = field(init=False)

    def __post_init__(self) -> None:
        thresholds = {label: Threshold(*each) for label, each in self.model.sound_thresholds.items()}
        self._highest = [0.0] * len(self.model.sounds)
        self._tracker = EventTracker(self.model.sounds, TrackerSettings(thresholds))

    # -- the clock ------------------------------------------------------------------------------------------------

    def block(
        self, position: int, utterance: tuple[int, int] | None, read: ReadPcm, now: float, *, listening: bool = True
    ) -> list[Effect]:
        """A block is whole.

        Args:
            position: its end, a multiple of BLOCK_SAMPLES.
            utterance: (id, first sample) of the open one that still has jobs.
            read: s16le between two positions.
            listening: somebody wants to know; else it counts as silence.
        """
        pcm = np.frombuffer(read(position - BLOCK_SAMPLES, position), "<i2")
        self._verdicts.append(self._gate.judge(pcm) if listening else "quiet")
        due = False
        while self._assigned_until + BLOCK_SAMPLES + self.model.sound_context_samples <= position:
            due |= self._assign(utterance)
        effects = self._append(position, read, now) if due else []
        return [*effects, *self._take()]

    def wanted(self, utterance: int) -> SoundsWanted | None:
        """What a job on an utterance should bring; None: nothing that is not known."""
        blocks = [block for block in self._waiting if block.home == utterance and _is_open(block)]
        if not blocks:
            return None
        return SoundsWanted(blocks[0].first_sample, blocks[-1].until_sample + self.model.sound_context_samples)

    def ask(self, utterance: int, start_sample: int, appended_until: int, now: float) -> list[Effect]:
        """Asks for what `wanted` says, where no other job on the utterance does."""
        wanted = self.wanted(utterance)
        if wanted is None or wanted.until_sample > appended_until:
            return []
        self._revision -= 1
        job = self._job(utterance, self._revision, start_sample, wanted.until_sample, wanted)
        return [Submit(job, now + SOUNDS_DEADLINE_S)]

    def finish(self, end_sample: int, read: ReadPcm, now: float) -> list[Effect]:
        """No more audio comes: what is left is heard with what is there."""
        effects: list[Effect] = []
        for segment in self._segments.values():
            if not segment.done and end_sample > segment.appended_until:
                effects += self._ask_segment(segment, end_sample, read, now, rest=True)
        self._close_segments()
        return [*effects, *self._take()]

    def ended(self, end_sample: int) -> list[Effect]:
        """After `finish`, when `waiting` is False: the sounds that still went on."""
        return self._say(self._tracker.finish(end_sample))

    def _assign(self, utterance: tuple[int, int] | None) -> bool:
        """Settles who scores the next block. True where a segment of sound does."""
        first, self._assigned_until = self._assigned_until, self._assigned_until + BLOCK_SAMPLES
        block = Waiting(first, self._assigned_until, verdict=self._verdicts.popleft())
        self._waiting.append(block)
        if len(self._waiting) > MAX_WAITING:
            self._waiting[0].unknown = True
        if block.verdict == "quiet":
            self._close_segments()
            return False
        if utterance is not None and utterance[1] < block.until_sample:
            block.home = utterance[0]
            self._close_segments()
            return False
        if block.verdict == "steady":
            self._close_segments()
            return False
        block.home = self._open_segment(first).id
        return True

    def _open_segment(self, first: int) -> Segment:
        for segment in self._segments.values():
            if not segment.done and first - segment.start_sample < SEGMENT_SAMPLES:
                return segment
        self._close_segments()
        opened = Segment(self.take_id(), first, first)
        self._segments[opened.id] = opened
        return opened

    def _close_segments(self) -> None:
        for segment in self._segments.values():
            segment.done = True

    def _append(self, position: int, read: ReadPcm, now: float) -> list[Effect]:
        for segment in self._segments.values():
            if not segment.done:
                return self._ask_segment(segment, position, read, now)
        return []

    def _ask_segment(self, segment: Segment, until: int, read: ReadPcm, now: float, rest: bool = False) -> list[Effect]:
        effects: list[Effect] = []
        if until > segment.appended_until:
            pcm = read(segment.appended_until, until)
            effects.append(Append(self.stream, segment.id, segment.appended_until, pcm))
            segment.appended_until = until
        if rest:
            for first in range(self._assigned_until, until, BLOCK_SAMPLES):
                self._waiting.append(Waiting(first, min(first + BLOCK_SAMPLES, until), segment.id))
            self._assigned_until = until
        wanted = self.wanted(segment.id)
        if wanted is not None:
            wanted = msgspec.structs.replace(wanted, until_sample=until, rest=rest)
            segment.revision -= 1
            job = self._job(segment.id, segment.revision, segment.start_sample, until, wanted)
            effects.append(Submit(job, now + SOUNDS_DEADLINE_S))
        return effects

    def _job(self, utterance: int, revision: int, start: int, until: int, wanted: SoundsWanted) -> Job:
        return Job(self.stream, utterance, revision, "sounds", start, until, sounds=wanted)

    # -- answers --------------------------------------------------------------------------------------------------

    def heard(self, hypothesis: Hypothesis, *, last: bool = False) -> list[Effect]:
        """Takes the scores that came with an answer; `last`: of this utterance there will be no others."""
        self._score(hypothesis.utterance, hypothesis.heard)
        segment = self._segments.get(hypothesis.utterance)
        if last or (segment is not None and segment.done and hypothesis.revision == segment.revision):
            return self.failed(hypothesis.utterance)
        return self._take()

    def failed(self, home: int) -> list[Effect]:
        """No more scores come of this utterance, or segment."""
        for block in self._waiting:
            if block.home == home and _is_open(block):
                block.unknown = True
        return self._take()

    def _score(self, home: int, heard: Sequence[BlockScores]) -> None:
        by_end = {scores.until_sample: scores for scores in heard}
        for block in self._waiting:
            if block.home == home and _is_open(block) and (found := by_end.get(block.until_sample)) is not None:
                block.scores = found.scores

    def _take(self) -> list[Effect]:
        """Gives the tracker all blocks up to the first that still waits."""
        effects: list[Effect] = []
        while self._waiting and not _is_open(self._waiting[0]):
            block = self._waiting.popleft()
            if block.scores is not None:
                self._last = block.scores
                self._highest = [max(pair) for pair in zip(self._highest, block.scores, strict=True)]
            elif block.verdict == "quiet":
                self._last = None
            effects += self._say(self._tracker.blocks(block.first_sample, block.until_sample, self._last))
        asked = {block.home for block in self._waiting if _is_open(block)}
        for segment in [each for each in self._segments.values() if each.done and each.id not in asked]:
            del self._segments[segment.id]
            effects.append(Discard(self.stream, segment.id))
        return effects

    def _say(self, events: Iterable[TagEvent]) -> list[Effect]:
        return [
            Send(
                Event(
                    label=event.label,
                    channel=self.channel,
                    start_ms=samples_to_ms(event.start_sample),
                    end_ms=None if event.end_sample is None else samples_to_ms(event.end_sample),
                    score=round(event.score, 3),
                    phase=event.phase,
                )
            )
            for event in events
            if event.label != SPEECH
        ]

    @property
    def highest(self) -> list[SoundScore]:
        """How sure it was of each label at most, where it was at all; the surest first."""
        found = zip(self.model.sounds, self._highest, strict=True)
        said = [SoundScore(label=label, channel=self.channel, score=round(score, 3)) for label, score in found]
        return sorted((each for each in said if each.score >= LEAST_SCORE), key=lambda each: -each.score)

    # -- what is there --------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Scores are still to come."""
        return any(_is_open(block) for block in self._waiting)

    @property
    def needed_from(self) -> int:
        """Audio before this is of no segment that is or may still be heard."""
        return min([self._assigned_until, *(segment.start_sample for segment in self._segments.values())])

    def segment_span(self, home: int) -> tuple[int, int] | None:
        """(first, until) of what the engine was given of a segment."""
        segment = self._segments.get(home)
        return (segment.start_sample, segment.appended_until) if segment is not None else None

    # -- snapshots ------------------------------------------------------------------------------------------------

    def state(self) -> SoundsState:
        copied = msgspec.msgpack.encode((list(self._waiting), list(self._segments.values())))
        waiting, segments = msgspec.msgpack.decode(copied, type=tuple[list[Waiting], list[Segment]])
        return SoundsState(
            self._gate.state(),
            self._tracker.state(),
            waiting,
            segments,
            self._last,
            list(self._verdicts),
            self._assigned_until,
            self._revision,
            list(self._highest),
        )

    def restore(self, state: SoundsState) -> None:
        """Goes on where another one was; `resume` comes next. Raises ValueError: the state is damaged."""
        self._gate.restore(state.gate)
        self._tracker.restore(state.tracker)
        self._waiting = deque(state.waiting)
        self._segments = {segment.id: segment for segment in state.segments}
        self._last, self._verdicts = state.last, deque(state.verdicts)
        self._assigned_until, self._revision = state.assigned_until, state.revision
        self._highest = state.highest
        if any(segment.start_sample > segment.appended_until for segment in state.segments):
            raise ValueError("a segment of sound ends before it begins")

    def resume(self, utterances: Iterable[int], read: ReadPcm, now: float) -> list[Effect]:
        """What the engine must have and do again. `utterances`: those that still have jobs."""
        homes = {*utterances, *self._segments}
        for block in self._waiting:
            block.unknown |= block.home not in homes and _is_open(block)
        effects: list[Effect] = []
        for segment in list(self._segments.values()):
            span = (segment.start_sample, segment.appended_until)
            effects.append(Append(self.stream, segment.id, segment.start_sample, read(*span)))
            wanted = self.wanted(segment.id)
            if wanted is None:
                continue
            until = segment.appended_until
            rest = wanted.until_sample > until
            wanted = msgspec.structs.replace(wanted, until_sample=until, rest=rest)
            segment.revision -= 1
            job = self._job(segment.id, segment.revision, segment.start_sample, until, wanted)
            effects.append(Submit(job, now + SOUNDS_DEADLINE_S))
        return [*effects, *self._take()]


def _is_open(block: Waiting) -> bool:
    return block.home != 0 and block.scores is None and not block.unknown
