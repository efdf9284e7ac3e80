"""What a session hears beside words: tones at once, sounds by scores of blocks, both in the order of the clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.pool.fake import block_scores
from inference.pool.interface import EngineInfo, Hypothesis, Job, JobError, Sound
from streaming.protocol.messages import AudioFormat, Configure, Event, ServerMessage, Start, Stop, Summary
from streaming.session.core import SessionCore
from streaming.session.effects import Append, Discard, Effect, Send, StoreAudio, Submit
from streaming.session.restore import restore_core
from tests.support.sessions import ENDPOINTING, MODEL, RATE, LoudnessDetector, answer_to, audio, scripted_words, speech
from tests.support.tones import key
from tests.support.tones import pcm as as_pcm

HEARS = EngineInfo(model="fake", device="cpu", dtype="none", sounds=("Speech", "Music", "Bark"))
START = Start(audio=AudioFormat(), endpointing=ENDPOINTING)


def sound(label: str, begin_s: float, end_s: float) -> Sound:
    return Sound(label, round(begin_s * RATE), round(end_s * RATE))


def rustle(*spans_s: tuple[float, float], total_s: float) -> NDArray[np.int16]:
    """Too soft for the loudness detector's speech; loud enough to be heard, and new at any moment."""
    samples = np.random.default_rng(7).integers(-900, 900, round(total_s * RATE)).astype(np.int16)
    level = np.repeat([1, 0.2, 0.6, 0.1], RATE // 2)
    samples = (samples * np.resize(level, len(samples))).astype(np.int16)
    mask = np.zeros(len(samples), bool)
    for begin_s, end_s in spans_s:
        mask[round(begin_s * RATE) : round(end_s * RATE)] = True
    return np.where(mask, samples, 0).astype(np.int16)


def dtmf(name: str, on_ms: float) -> NDArray[np.int16]:
    return as_pcm(key(name, on_ms))


class Listener:
    """A client and a worker, whose answers come when the test says."""

    def __init__(self, heard: Sequence[Sound] = (), start: Start = START, info: EngineInfo = HEARS) -> None:
        self.heard, self.info = heard, info
        self.core = SessionCore("s", start, lambda name: LoudnessDetector(), model=info)
        self.messages: list[ServerMessage] = []
        self.jobs: list[Job] = []
        self.all_jobs: list[Job] = []
        self.pcm: dict[int, list[tuple[int, int]]] = {}
        self.discarded: list[int] = []
        self.stored: StoreAudio | None = None
        self.tail = b""
        self.carry_out(self.core.begin(MODEL, 1 << 20))

    def carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(message):
                    self.messages.append(message)
                case Submit(job):
                    self.jobs.append(job)
                    self.all_jobs.append(job)
                case Append(_, utterance, first, pcm):
                    self.pcm.setdefault(utterance, []).append((first, first + len(pcm) // 2))
                case Discard(_, utterance):
                    self.discarded.append(utterance)
                case StoreAudio():
                    self.stored, self.tail = effect, self.tail + effect.pcm[0]
                    self.carry_out(self.core.stored(effect.ack_sample, effect.commands))
        while self.core.outbox.pop() is not None:
            pass

    def give(self, samples: NDArray[np.int16], first_sample: int = 0) -> None:
        self.carry_out(self.core.receive(audio(samples, first_sample), 0.0))
        self.work()

    def work(self) -> None:
        while self.core.busy:
            self.carry_out(self.core.work(0.0))

    def stop(self) -> None:
        self.carry_out(self.core.receive(Stop(), 0.0))
        self.work()

    def answer(self, job: Job) -> Hypothesis:
        heard = block_scores(job, self.info, self.heard)
        if job.kind == "sounds":
            return Hypothesis(job.stream, job.utterance, job.revision, False, job.until_sample, (), heard=heard)
        return msgspec.structs.replace(answer_to(job, scripted_words(job)), heard=heard)

    def answer_all(self) -> None:
        while self.jobs:
            self.carry_out(self.core.hypothesis(self.answer(self.jobs.pop(0)), 0.0))

    def listen(self, samples: NDArray[np.int16], piece: int = RATE // 2) -> list[Event]:
        """All of it in pieces, each answered before the next."""
        for first in range(0, len(samples), piece):
            self.give(samples[first : first + piece], first)
            self.answer_all()
        self.stop()
        self.answer_all()
        assert self.core.finished
        return self.events()

    def events(self, source: str = "tagger") -> list[Event]:
        return [each for each in self.messages if isinstance(each, Event) and each.source == source]


def spans(events: Iterable[Event]) -> list[tuple[str, str, float, float | None]]:
    return [(e.phase, e.label, e.start_ms / 1000, None if e.end_ms is None else e.end_ms / 1000) for e in events]


def test_a_sound_outside_speech_begins_and_ends() -> None:
    listener = Listener([sound("Music", 2, 6)])
    events = listener.listen(rustle((2, 6), total_s=10))
    assert spans(events) == [("start", "Music", 2, None), ("end", "Music", 2, 6)]
    assert events[0].score == 1.0


def test_a_sound_is_said_one_block_and_its_right_context_after_it_began() -> None:
    listener = Listener([sound("Bark", 2, 6)])
    pcm = rustle((2, 6), total_s=3)
    for first in range(0, len(pcm), RATE // 2):
        listener.give(pcm[first : first + RATE // 2], first)
        listener.answer_all()
    assert spans(listener.events()) == [("start", "Bark", 2, None)]


def test_silence_costs_no_job() -> None:
    listener = Listener()
    listener.listen(np.zeros(20 * RATE, np.int16))
    assert listener.all_jobs == []


def test_during_speech_the_captions_jobs_bring_the_scores_and_the_last_is_asked_in_the_pause() -> None:
    listener = Listener([sound("Music", 1, 4)])
    events = listener.listen(speech((0.5, 4.5), total_s=8))
    assert spans(events) == [("start", "Music", 1, None), ("end", "Music", 1, 4)]
    assert [job.until_sample / RATE for job in listener.all_jobs if job.kind == "sounds"] == [5]


def test_one_sound_from_before_speech_to_after_it_is_one_event() -> None:
    pcm = np.maximum(rustle((0, 12), total_s=14), speech((4, 7), total_s=14))
    listener = Listener([sound("Music", 1, 12)])
    assert [event[:3] for event in spans(listener.listen(pcm))] == [
        ("start", "Music", 1.0),
        ("update", "Music", 1.0),
        ("update", "Music", 1.0),
        ("end", "Music", 1.0),
    ]


def test_what_goes_on_unchanged_is_heard_now_and_then_and_does_not_end() -> None:
    hum = np.resize(rustle((0, 0.5), total_s=0.5), 30 * RATE)
    listener = Listener([sound("Music", 0, 30)])
    events = spans(listener.listen(hum))
    assert (events[0][:2], events[-1][:2]) == (("start", "Music"), ("end", "Music"))
    assert [event[0] for event in events].count("end") == 1
    heard = sum(len(block_scores(job, HEARS, ())) for job in listener.all_jobs)
    assert heard < 30, "of 60 blocks"


def test_a_segment_of_sound_is_given_back_when_it_is_done() -> None:
    listener = Listener([sound("Bark", 1, 2)])
    listener.listen(rustle((1, 2), total_s=6))
    assert set(listener.pcm) == {-1}
    assert listener.discarded == [-1]


def test_long_sound_is_heard_in_segments_that_the_model_can_take() -> None:
    listener = Listener([sound("Music", 0, 60)])
    listener.listen(rustle((0, 60), total_s=60))
    lengths = [pieces[-1][1] - pieces[0][0] for pieces in listener.pcm.values()]
    assert len(lengths) >= 2
    assert max(lengths) <= 28 * RATE


def test_scores_that_nobody_gives_hold_nothing_up() -> None:
    listener = Listener([sound("Music", 1, 4)])
    pcm = rustle((1, 4), total_s=6)
    for first in range(0, len(pcm), RATE // 2):
        listener.give(pcm[first : first + RATE // 2], first)
    listener.stop()
    for job in listener.jobs:
        error = JobError(job.stream, job.utterance, job.revision, "internal", "no")
        listener.carry_out(listener.core.job_failed(error))
    assert listener.core.finished
    assert listener.events() == []


def test_no_events_are_said_or_worked_for_where_nobody_wants_them() -> None:
    listener = Listener([sound("Music", 1, 4)], msgspec.structs.replace(START, events=False))
    assert listener.listen(rustle((1, 4), total_s=6)) == []
    assert listener.all_jobs == []
    listener = Listener([sound("Music", 1, 4)])
    listener.carry_out(listener.core.receive(Configure(events=False), 0.0))
    assert listener.listen(rustle((1, 4), total_s=6)) == []


def test_keys_are_said_as_they_are_pressed() -> None:
    listener = Listener()
    quiet = np.zeros(RATE, np.int16)
    listener.listen(np.concatenate([quiet, dtmf("5", 100), quiet]))
    [start, end] = listener.events("tones")
    assert (start.label, start.phase, start.channel) == ("dtmf_5", "start", 0)
    assert start.start_ms == pytest.approx(1000, abs=15)
    assert (end.phase, end.end_ms) == ("end", pytest.approx(1100, abs=25))


SCENE = np.concatenate(
    [
        np.maximum(rustle((0, 5), total_s=9), speech((2, 4), (6, 7.3), total_s=9)),
        dtmf("7", 200),
        rustle((0.5, 3), total_s=4),
    ]
)
SCENE_SOUNDS = [sound("Music", 0.5, 4.7), sound("Bark", 6.5, 7.5), sound("Music", 10, 12), sound("Speech", 2, 4)]
WHOLE = Listener(SCENE_SOUNDS)
WHOLE.listen(SCENE)
EXPECTED = WHOLE.events(), WHOLE.events("tones")


def test_the_scene_has_events_of_all_kinds() -> None:
    assert {event.label for event in EXPECTED[0]} == {"Music", "Bark"}, "Speech is told of by other messages"
    assert {event.label for event in EXPECTED[1]} == {"dtmf_7"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3 * RATE), st.booleans()), max_size=12))
def test_neither_pieces_nor_late_answers_nor_which_jobs_run_change_an_event(
    pieces: list[tuple[int, bool]],
) -> None:
    """Jobs wait for long, and an interim or a sounds job that a newer one replaces never runs, as in the scheduler."""
    listener = Listener(SCENE_SOUNDS)
    first = 0
    for piece, answered in [*pieces, (len(SCENE), False)]:
        if first < len(SCENE):
            listener.give(SCENE[first : first + piece], first)
        first += piece
        if answered:
            listener.jobs = replaced(listener.jobs)
            listener.answer_all()
    listener.stop()
    listener.jobs = replaced(listener.jobs)
    listener.answer_all()
    assert listener.core.finished
    assert (listener.events(), listener.events("tones")) == EXPECTED


def replaced(jobs: Sequence[Job]) -> list[Job]:
    """What is left of a queue: of each utterance the newest of a kind, and no interim where its final is there."""
    newest = {(job.utterance, job.kind): job for job in jobs}
    finals = {job.utterance for job in jobs if job.kind == "final"}
    left = [job for job in newest.values() if job.utterance not in finals or job.kind not in ("interim", "early_final")]
    return sorted(left, key=lambda job: (job.kind != "final", job.utterance))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, len(SCENE) - 1), st.booleans())
def test_a_restored_session_says_each_event_once(lost_at: int, answered: bool) -> None:
    before = Listener(SCENE_SOUNDS)
    first = 0
    while first < lost_at:
        before.give(SCENE[first : min(first + RATE // 2, lost_at)], first)
        first = min(first + RATE // 2, lost_at)
        if answered:
            before.answer_all()
    if before.stored is None:
        return
    stored, said = before.stored, [each for each in before.messages if isinstance(each, Event)]
    tail = before.tail[2 * stored.needed_from :]
    core = restore_core(
        "s", START, stored.state, stored.needed_from, [tail], [], lambda n: LoudnessDetector(), None, HEARS
    )
    after = Listener(SCENE_SOUNDS)
    after.core, after.jobs, after.messages = core, [], []
    after.carry_out(core.resume(MODEL, 1 << 20, 0.0))
    after.answer_all()
    at = len(before.tail) // 2
    after.give(SCENE[at:], at)
    after.answer_all()
    after.stop()
    after.answer_all()
    again = after.events() + after.events("tones")
    whole = EXPECTED[0] + EXPECTED[1]
    unsaid = [event for event in whole if event not in said]
    assert all(event in again for event in unsaid)
    assert all(event in whole for event in again)
    assert any(isinstance(message, Summary) for message in after.messages) or core.finished
