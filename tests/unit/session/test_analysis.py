"""Further tasks: asked once for each utterance after its final, answered in order, never in the captions' way."""

from __future__ import annotations

import msgspec
import pytest

from inference.pool.interface import EngineInfo, Hypothesis, Job, JobError, StreamSpec
from inference.pool.tasks import Answer, TimedWord
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Analysis, Configure, Marker, MarkerEcho, Start, Stop, Summary, Task, Transcript
from streaming.protocol.messages import TimedWord as WireWord
from streaming.session.core import SessionCore
from streaming.session.effects import Discard, OpenStream
from streaming.session.settings import SessionSettings
from tests.support.sessions import ENDPOINTING, Driver, LoudnessDetector, audio, make_core, scripted_words, speech

TASKS = [Task(language="en"), Task(name="emotion"), Task(name="word_timestamps")]
START = Start(endpointing=ENDPOINTING, task=TASKS)
SENTENCE = speech((1.0, 3.0), total_s=5.0)
SETTINGS = SessionSettings(early_finals=False)


def answered(job: Job, *answers: Answer, more: bool = False) -> Hypothesis:
    return Hypothesis(
        job.stream, job.utterance, job.revision, False, job.until_sample, (), answers=tuple(answers), more=more
    )


def heard(start: Start = START) -> Driver:
    """One utterance, whose final is there."""
    driver = Driver(make_core(start, SETTINGS))
    driver.give(audio(SENTENCE))
    final = driver.jobs[-1]
    assert final.kind == "final"
    driver.reply(final, *scripted_words(final))
    return driver


def discards(driver: Driver) -> list[int]:
    return [effect.utterance for effect in driver.effects if isinstance(effect, Discard)]


def test_all_tasks_are_asked_in_one_job_once_the_final_is_there() -> None:
    driver = heard()
    job = driver.jobs[-1]
    assert job.kind == "answer"
    assert [task.name for task in job.tasks] == ["emotion", "word_timestamps"]
    assert (job.utterance, job.spec) == (1, None)
    assert discards(driver) == []


def test_without_further_tasks_nothing_is_asked() -> None:
    driver = heard(Start(endpointing=ENDPOINTING))
    assert [job.kind for job in driver.jobs if job.kind == "answer"] == []
    assert discards(driver) == [1]


def test_each_task_has_its_message_with_the_sessions_times() -> None:
    driver = heard()
    job = driver.jobs[-1]
    words = (TimedWord("alpha", 0.25, 0.5),)
    answers = (Answer("happy", labels=("happy",)), Answer("alpha", words=words, fields={"a": "b"}, complete=False))
    driver.carry_out(driver.core.hypothesis(answered(job, *answers), 0.0))
    first, second = driver.sent(Analysis)
    start_ms = job.start_sample // 16
    assert (first.utterance, first.channel, first.task, first.index) == (1, 0, "emotion", 0)
    assert (first.start_ms, first.end_ms) == (start_ms, job.until_sample // 16)
    assert (first.text, first.labels, first.complete) == ("happy", ["happy"], True)
    assert (second.task, second.index, second.complete) == ("word_timestamps", 1, False)
    assert second.words == [WireWord(text="alpha", start_ms=start_ms + 250, end_ms=start_ms + 500)]
    assert second.fields == {"a": "b"}
    assert discards(driver) == [1]


def test_an_answer_that_is_not_done_is_asked_on_for_and_not_said() -> None:
    driver = heard()
    job = driver.jobs[-1]
    driver.carry_out(driver.core.hypothesis(answered(job, Answer("ha"), Answer(""), more=True), 0.0))
    again = driver.jobs[-1]
    assert again == msgspec.structs.replace(job, revision=job.revision + 1)
    assert driver.sent(Analysis) == []
    driver.carry_out(driver.core.hypothesis(answered(job, Answer("old"), Answer("old")), 0.0))
    assert driver.sent(Analysis) == [], "the answer to an older job says nothing"
    driver.carry_out(driver.core.hypothesis(answered(again, Answer("happy"), Answer("")), 0.0))
    assert [said.text for said in driver.sent(Analysis)] == ["happy", ""]


@pytest.mark.parametrize(
    ("code", "said"),
    [("internal", "the model failed"), ("out_of_memory", "no memory left"), ("bad_job", "why")],
)
def test_what_cannot_be_answered_is_said_for_every_task(code: str, said: str) -> None:
    driver = heard()
    job = driver.jobs[-1]
    error = JobError(job.stream, job.utterance, job.revision, code, "why")  # type: ignore[arg-type]
    driver.carry_out(driver.core.job_failed(error))
    analyses = driver.sent(Analysis)
    assert [(one.task, one.complete) for one in analyses] == [("emotion", False), ("word_timestamps", False)]
    assert all(one.error is not None and said in one.error for one in analyses)
    assert discards(driver) == [1]


def test_a_task_that_cannot_be_asked_fails_alone() -> None:
    driver = heard()
    answers = (Answer("", complete=False, error="too long"), Answer("alpha"))
    driver.carry_out(driver.core.hypothesis(answered(driver.jobs[-1], *answers), 0.0))
    assert [(one.error, one.text) for one in driver.sent(Analysis)] == [("too long", ""), (None, "alpha")]


def test_too_few_answers_are_none() -> None:
    driver = heard()
    driver.carry_out(driver.core.hypothesis(answered(driver.jobs[-1], Answer("happy")), 0.0))
    assert [one.error for one in driver.sent(Analysis)] == ["the model gave no answer"] * 2


def test_the_summary_waits_for_answers_and_markers_do_not() -> None:
    driver = heard()
    job = driver.jobs[-1]
    driver.give(Marker(id="m"), Stop())
    assert len(driver.sent(MarkerEcho)) == 1
    assert driver.sent(Summary) == []
    driver.carry_out(driver.core.hypothesis(answered(job, Answer("happy"), Answer("")), 0.0))
    assert isinstance(driver.messages[-1], Summary)


def test_a_lost_utterance_is_not_analysed() -> None:
    driver = Driver(make_core(START, SETTINGS))
    driver.give(audio(SENTENCE))
    final = driver.jobs[-1]
    driver.carry_out(driver.core.job_failed(JobError("s/0", 1, final.revision, "internal", "no")))
    assert driver.jobs[-1] is final
    assert discards(driver) == [1]


def test_the_audio_is_there_while_it_is_analysed_and_counts_as_backlog() -> None:
    driver = heard()
    job = driver.jobs[-1]
    driver.give(audio(speech(total_s=50.0), len(SENTENCE)))
    segment = driver.core.segment_pcm(1)
    assert segment is not None
    assert (segment[0], len(segment[1])) == (job.start_sample, 2 * (job.until_sample - job.start_sample))
    assert driver.core.backlog_samples == 55 * 16_000 - job.start_sample
    driver.carry_out(driver.core.hypothesis(answered(job, Answer(""), Answer("")), 0.0))
    assert driver.core.segment_pcm(1) is None
    assert driver.core.backlog_samples == 0


def test_configured_tasks_are_those_of_the_next_utterance() -> None:
    driver = Driver(make_core(START, SETTINGS))
    driver.give(audio(SENTENCE[: 2 * 16_000]), Configure(task=[Task(language="de"), Task(name="scene")]))
    driver.give(audio(SENTENCE[2 * 16_000 :], 2 * 16_000), audio(SENTENCE, len(SENTENCE)), Stop())
    (opened,) = [effect.spec for effect in driver.effects if isinstance(effect, OpenStream)]
    assert opened == StreamSpec(language="en")
    specs = {job.utterance: job.spec for job in driver.jobs}
    assert specs == {1: None, 2: StreamSpec(language="de")}
    for final in [job for job in driver.jobs if job.kind == "final"]:
        driver.reply(final, *scripted_words(final))
    asked = [[task.name for task in job.tasks] for job in driver.jobs if job.kind == "answer"]
    assert asked == [["emotion", "word_timestamps"], ["scene"]]


def test_configure_is_held_against_the_model() -> None:
    core = SessionCore("s", START, lambda name: LoudnessDetector(), model=EngineInfo("tiny.en", "cpu", "int8"))
    with pytest.raises(ProtocolError, match=r"tiny\.en has no task scene"):
        core.receive(Configure(task=Task(name="scene")), 0.0)


def test_the_final_comes_before_its_analysis() -> None:
    driver = heard()
    driver.carry_out(driver.core.hypothesis(answered(driver.jobs[-1], Answer(""), Answer("")), 0.0))
    kinds = [type(message) for message in driver.messages if isinstance(message, Transcript | Analysis)]
    assert kinds[-3:] == [Transcript, Analysis, Analysis]
