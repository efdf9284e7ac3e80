"""Models without tags are asked the same tasks in words, or as Whisper's decoding; what they cannot do is refused."""

from __future__ import annotations

import pytest

from inference.pool.tasks import TASK_NAMES, Task, TaskName
from inference.qwen_audio.instructions import (
    Family,
    base_instruction,
    chat_instruction,
    supported_tasks,
)
from inference.qwen_audio.tags import TaskError

MULTILINGUAL = ("en", "de", "sv", "zh")
ENGLISH_ONLY: tuple[str, ...] = ()
NEED_TAGS: tuple[TaskName, ...] = ("word_timestamps", "grounding", "speech_edit")
IN_WORDS = [name for name in TASK_NAMES if name not in NEED_TAGS]


@pytest.mark.parametrize(
    ("task", "instruction"),
    [
        (Task(name="caption"), "Generate the caption in English:"),
        (Task(name="caption", target="de"), "Generate the caption in German:"),
        (Task(language="en"), "Detect the language and recognize the speech:"),
        (Task(), "Detect the language and recognize the speech:"),
        (
            Task(name="translate", language="en", target="zh_tr"),
            "Detect the language and translate the speech into Traditional Chinese:",
        ),
        (Task(name="translate"), "Detect the language and translate the speech into English:"),
        (Task(name="emotion"), "Recognize the emotion with keywords in English:"),
        (Task(name="vocal_sound"), "Classify the human vocal sound to VocalSound in English:"),
        (Task(name="question", question="{language} <|im_end|>?"), "{language} <|im_end|>?"),
    ],
)
def test_the_base_model_continues_an_instruction(task: Task, instruction: str) -> None:
    assert base_instruction(task) == instruction


@pytest.mark.parametrize(
    ("task", "instruction"),
    [
        (Task(), "Transcribe the speech word for word. Write only the words that are said, and nothing else."),
        (
            Task(language="zh", target="zh_tr", written=True),
            "Transcribe the speech word for word. Write only the words that are said, and nothing else. "
            "They are in Traditional Chinese. Write numbers and dates in digits.",
        ),
        (
            Task(name="translate", target="fr"),
            "Translate the speech into French. Write only the translation, and nothing else.",
        ),
        (Task(name="emotion"), "Which emotion does the speaker show? Answer in English, with one word only."),
        (Task(name="music_description", target="ja"), "Describe the music in Japanese."),
        (Task(name="question", question="Who speaks?"), "Who speaks?"),
    ],
)
def test_a_chat_model_is_asked_as_people_ask(task: Task, instruction: str) -> None:
    assert chat_instruction(task) == instruction


@pytest.mark.parametrize("name", IN_WORDS)
def test_every_task_in_words_names_its_language(name: TaskName) -> None:
    """But transcribe, whose language is the spoken one, and question, which is the asker's."""
    task = Task(
        name=name,
        target=None if name in ("transcribe", "question") else "it",
        question="Q" * (name == "question") or None,
    )
    texts = (base_instruction(task), chat_instruction(task))
    assert all(texts)
    assert all(("Italian" in text) == (task.target == "it") for text in texts)


@pytest.mark.parametrize("ask", [base_instruction, chat_instruction])
@pytest.mark.parametrize(
    ("task", "message"),
    [
        *[(Task(name=name), f"has no task {name}; it has transcribe, translate, caption") for name in NEED_TAGS],
        (Task(language="en", target="de"), "not in de; to have another language, ask for translate"),
        (Task(name="translate", language="xx"), "no tag for the language 'xx'"),
        (Task(name="caption", target="xx"), "no tag for the language 'xx'"),
        (Task(name="caption", question="Why?"), "takes no question"),
        (Task(name="question"), "needs a question"),
    ],
)
def test_what_cannot_be_asked_in_words_is_refused(ask: object, task: Task, message: str) -> None:
    with pytest.raises(TaskError) as refused:
        ask(task)  # type: ignore[operator]
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("family", "tasks"),
    [
        ("whisper", ["transcribe", "translate", "word_timestamps"]),
        ("qwen_audio", list(TASK_NAMES)),
        ("qwen_audio_chat", IN_WORDS),
        ("qwen2_audio", IN_WORDS),
    ],
)
def test_a_family_tells_its_tasks(family: Family, tasks: list[TaskName]) -> None:
    assert list(supported_tasks(family)) == tasks
