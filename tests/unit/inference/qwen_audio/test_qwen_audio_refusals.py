"""What Qwen-Audio's engine cannot do, it says of the one job; the others go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from inference.pool.interface import Job, JobKind, StreamSpec
from inference.pool.tasks import Task
from inference.qwen_audio.build import build_qwen_audio
from inference.qwen_audio.engine import QwenAudioEngine
from tests.support.qwen_checkpoints import write_speaking_checkpoint
from tests.support.qwen_engines import (
    LONG,
    SECOND,
    TASKS,
    TWO_CLIPS,
    ask,
    asking,
    caption,
    close_all,
    hear,
    one,
    qwen_engine,
    refused,
)


@pytest.fixture
def base() -> QwenAudioEngine:
    return qwen_engine(False)


@pytest.fixture
def chat() -> QwenAudioEngine:
    return qwen_engine(True)


@pytest.fixture(autouse=True)
def nothing_is_left(base: QwenAudioEngine, chat: QwenAudioEngine) -> Iterator[None]:
    yield
    close_all(base, chat)


@pytest.mark.parametrize(
    "job",
    [
        asking(2 * SECOND),
        asking(2 * SECOND, Task(), chat=TWO_CLIPS),
        asking(2 * SECOND, *[Task()] * 33),
        asking(31 * SECOND, Task()),
        caption(2 * SECOND, prefix=(-1,)),
        msgspec.structs.replace(caption(2 * SECOND), spec=StreamSpec(language="xx")),
        msgspec.structs.replace(caption(2 * SECOND), spec=StreamSpec(language="en", task="translate")),
    ],
)
def test_a_bad_job_says_so_and_touches_nobody(base: QwenAudioEngine, job: Job) -> None:
    hear(base, stream="good")
    alone = one(base, caption(2 * SECOND, "interim", stream="good")).words
    hear(base)
    result = base.step([job, caption(2 * SECOND, "interim", stream="good")])
    assert [(error.stream, error.code) for error in result.errors] == [("s", "bad_job")]
    assert [said.words for said in result.hypotheses] == [alone]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Task(name="question"), "needs a question"),
        (Task(name="question", question=LONG), "at most 1024"),
        (Task(name="caption", target="xx"), "no tag for the language 'xx'"),
    ],
)
def test_a_task_that_cannot_be_asked_says_so_and_the_others_are_answered(
    base: QwenAudioEngine, wrong: Task, said: str
) -> None:
    hear(base)
    alone = ask(base, asking(2 * SECOND, *TASKS))[-1]
    hear(base)
    first, refusal, *others = ask(base, asking(2 * SECOND, TASKS[0], wrong, *TASKS[1:]))[-1]
    assert (first, *others) == alone
    assert refusal.error is not None
    assert said in refusal.error
    assert not refusal.complete
    hear(base)
    ((nothing,),) = ask(base, asking(2 * SECOND, wrong))
    assert nothing.error == refusal.error


def test_the_chat_model_has_no_task_with_times(chat: QwenAudioEngine) -> None:
    hear(chat)
    assert "word_timestamps" not in chat.info.tasks
    captions = msgspec.structs.replace(caption(SECOND), spec=StreamSpec(task="word_timestamps"))
    assert refused(chat, captions).code == "bad_job"
    ((answer,),) = ask(chat, asking(SECOND, Task(name="grounding")))
    assert answer.error is not None
    assert "no task grounding" in answer.error


def test_answers_to_audio_that_is_not_here_are_missing(base: QwenAudioEngine) -> None:
    hear(base)
    assert refused(base, asking(7 * SECOND, *TASKS)).code == "missing_audio"
    assert refused(base, asking(SECOND, *TASKS, stream="nobody")).code == "missing_audio"


@pytest.mark.parametrize("kind", ["interim", "final", "answer"])
def test_without_room_a_job_says_so_and_its_neighbour_goes_on(base: QwenAudioEngine, kind: JobKind) -> None:
    """The neighbour's caches have their room already; audio is kept, and is heard once there is room again."""
    hear(base, stream="good")
    expected = one(base, caption(2 * SECOND, "interim", stream="good")).words
    hear(base)
    job = asking(6 * SECOND, *TASKS) if kind == "answer" else caption(6 * SECOND, kind)
    base.ledger.limit_bytes = base.ledger.bytes + (96 << 10)
    try:
        result = base.step([job, caption(2 * SECOND, "interim", stream="good")])
    finally:
        base.ledger.limit_bytes = None
    assert [(error.stream, error.code) for error in result.errors] == [("s", "out_of_memory")]
    assert [said.words for said in result.hypotheses] == [expected]
    assert base.step([job]).errors == ()


def test_a_failure_while_writing_is_one_jobs_own(base: QwenAudioEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what was kept of its utterance with it; the others lose nothing."""
    for stream in ("good", "bad", "asked"):
        hear(base, stream=stream)
    expected = one(base, caption(3 * SECOND, stream="good")).words
    answers = ask(base, asking(2 * SECOND, *TASKS, stream="asked"))[0]
    hear(base, stream="good")
    advance = base.model.advance
    passes: list[int] = []

    def breaks(caches: Any, ids: Any) -> Tensor:
        passes.append(len(ids))
        bad = base._streams["bad"].utterances.get(0)
        run = bad.whole.cache.own if bad and bad.whole else None
        if len(passes) > 3 and any(run is shared for cache in caches for shared, _ in cache.shared):
            raise torch.OutOfMemoryError("the card is full")
        return advance(caches, ids)

    monkeypatch.setattr(base.model, "advance", breaks)
    jobs = [caption(3 * SECOND, stream="bad"), caption(3 * SECOND, stream="good")]
    result = base.step([*jobs, asking(2 * SECOND, *TASKS, stream="asked")])
    assert [(error.stream, error.code) for error in result.errors] == [("bad", "out_of_memory")]
    said = {hypothesis.stream: hypothesis for hypothesis in result.hypotheses}
    assert (said["good"].words, said["asked"].answers) == (expected, answers)
    assert refused(base, caption(3 * SECOND, stream="bad")).code == "missing_audio"


def test_it_says_what_it_is(base: QwenAudioEngine, chat: QwenAudioEngine) -> None:
    assert (base.info.answers, chat.info.answers) == (True, True)
    assert base.info.languages == base.info.targets == chat.info.targets
    assert len(base.info.tasks) > len(chat.info.tasks) > 10
    assert base.info.chat is not None
    assert (base.info.chat.turns, base.info.chat.clips, base.info.chat.audio_s) == (False, 1, 30.0)


def test_a_model_without_room_for_a_conversation_says_so(base: QwenAudioEngine) -> None:
    config = replace(base.model.config, seq_length=512, max_position_embeddings=1024)
    model = base.model
    model.config = config
    try:
        small = QwenAudioEngine(model, base.tokenizer, name="small", chats=True)
    finally:
        model.config = replace(config, seq_length=2048, max_position_embeddings=8192)
    assert small.info.chat is None
    hear(small)
    assert refused(small, asking(3 * SECOND, chat=TWO_CLIPS)).code == "bad_job"


def test_the_checkpoint_says_which_of_the_two_it_is(tmp_path: Path) -> None:
    folder = write_speaking_checkpoint(tmp_path / "Qwen-Audio-Chat")
    assert not build_qwen_audio(str(folder), "cpu", 1).asker.chats, "generation_config.json says raw"
    (folder / "generation_config.json").unlink()
    assert build_qwen_audio(str(folder), "cpu", 1).asker.chats, "by its name"
    (folder / "generation_config.json").write_text(json.dumps({"chat_format": "chatml"}))
    assert build_qwen_audio(str(folder), "cpu", 1).asker.chats
