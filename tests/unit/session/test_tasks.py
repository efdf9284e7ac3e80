"""What a session may ask of a model, and which of its tasks makes the captions."""

from __future__ import annotations

import pytest

from inference.pool.interface import EngineInfo, StreamSpec
from inference.pool.tasks import TASK_NAMES
from inference.pool.tasks import Task as PoolTask
from streaming.protocol import messages
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Task
from streaming.session.tasks import check_tasks, session_tasks

WHISPER = EngineInfo("tiny.en", "cpu", "int8", tasks=("transcribe", "word_timestamps"))
QWEN = EngineInfo(
    "qwen",
    "cpu",
    "float32",
    languages=("en", "zh", "de"),
    tasks=TASK_NAMES,
    answers=True,
    targets=("en", "zh", "de", "zh_tr"),
)


def test_the_wire_has_the_tasks_of_the_pool() -> None:
    assert set(messages.TaskName.__args__) == set(TASK_NAMES)  # type: ignore[attr-defined]


def test_the_first_task_that_writes_words_makes_the_captions() -> None:
    emotion, german, english = Task(name="emotion"), Task(name="translate", target="de"), Task()
    tasks = session_tasks([emotion, german, english])
    assert tasks.captions == german
    assert tasks.every == [german, emotion, english]
    assert tasks.spec == StreamSpec(task="translate", target="de")


def test_without_one_speech_is_transcribed_in_the_language_that_is_named() -> None:
    tasks = session_tasks([Task(name="emotion"), Task(name="scene", language="de")])
    assert tasks.captions == Task(language="de")
    assert [task.name for task in tasks.others] == ["emotion", "scene"]


def test_the_engine_is_asked_with_all_fields() -> None:
    question = Task(name="question", language="zh", question="Who speaks?")
    caption = Task(name="caption", style="audiocaps", target="de")
    assert session_tasks([question, caption]).asked == (
        PoolTask(name="question", language="zh", question="Who speaks?"),
        PoolTask(name="caption", style="audiocaps", target="de"),
    )


@pytest.mark.parametrize(
    "task",
    [
        Task(),
        Task(language="de", target="de"),
        Task(language="zh", target="zh_tr"),
        Task(name="word_timestamps"),
        Task(name="translate", language="en", target="zh"),
        Task(name="translate", language="zh"),
        Task(name="caption", style="plain", target="de"),
        Task(written=True),
        Task(name="question", question="Who speaks?", language="de", target="de"),
        [Task(), Task(name="transcribe", written=True), Task(name="song")],
    ],
)
def test_what_goes_together_is_taken(task: Task | list[Task]) -> None:
    check_tasks(task, QWEN)


@pytest.mark.parametrize(
    ("task", "info", "said"),
    [
        (Task(name="emotion"), WHISPER, "tiny.en has no task emotion; it has transcribe, word_timestamps"),
        (Task(name="translate"), WHISPER, "no task translate; it knows English only"),
        ([Task(), Task(name="word_timestamps")], WHISPER, "writes captions only: one of transcribe, word_timestamps"),
        (Task(language="fr"), QWEN, r"\$.task.language: the model qwen does not know it; known: en, zh, de"),
        ([Task(), Task(name="scene", language="fr")], QWEN, r"\$.task\[1\].language"),
        (Task(name="scene", target="fr"), QWEN, r"\$.task.target: the model qwen does not know it"),
        (Task(language="de", target="de_tr"), QWEN, r"\$.task.target: the model qwen does not know it"),
        (Task(language="en", target="de"), QWEN, "writes in the language that is spoken; ask for translate"),
        (Task(name="translate", language="en"), QWEN, "English is spoken already"),
        (Task(name="translate", language="de", target="de"), QWEN, "is what is spoken"),
        (Task(name="question"), QWEN, r"\$.task.question: is needed"),
        (Task(name="scene", question="Where?"), QWEN, "belongs to the task `question` only"),
        (Task(name="question", question="Who?", target="de"), QWEN, "the language that it is asked in"),
        (Task(name="scene", style="plain"), QWEN, r"\$.task.style"),
        (Task(name="scene", written=True), QWEN, r"\$.task.written"),
    ],
)
def test_what_does_not_is_refused_with_what_would_be_right(
    task: Task | list[Task], info: EngineInfo, said: str
) -> None:
    with pytest.raises(ProtocolError, match=said) as error:
        check_tasks(task, info)
    assert error.value.code == "unsupported"
