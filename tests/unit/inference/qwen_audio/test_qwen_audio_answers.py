"""What Qwen-Audio answers in the engine is the model's own decoding; a clip is read once for all that is asked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from torch import Tensor

from inference.pool.tasks import Chat, ChatTurn, Task
from inference.qwen_audio.asking import Conversation
from inference.qwen_audio.cache import held_bytes
from inference.qwen_audio.engine import QwenAudioEngine
from inference.qwen_audio.prompts import ModelTurn, UserTurn, chat_prompt
from inference.qwen_audio.results import read_answer, read_reply
from inference.qwen_audio.writing import STEP_TOKENS
from tests.support.qwen_engines import (
    LONG,
    PCM,
    SECOND,
    TASKS,
    TURNS,
    TWO_CLIPS,
    ask,
    asking,
    by_the_model,
    caption,
    clip,
    close_all,
    hear,
    one,
    qwen_engine,
    refused,
    stopping,
    task_of,
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


@pytest.mark.parametrize("which", ["base", "chat"])
def test_answers_are_those_of_the_models_own_decoding(which: str, request: pytest.FixtureRequest) -> None:
    engine: QwenAudioEngine = request.getfixturevalue(which)
    hear(engine)
    for task, answer in zip(TASKS, ask(engine, asking(2 * SECOND, *TASKS))[-1], strict=True):
        written = by_the_model(engine, task_of(engine, task), [clip(0, 2 * SECOND)], stopping(engine, 256))
        ended = len(written) < 256
        if engine.asker.chats:
            assert answer == read_reply(written, engine.tokenizer, ended=ended, duration_s=2.0)
        else:
            assert answer == read_answer(task, written, engine.tokenizer, ended=ended, duration_s=2.0)


def test_an_answer_grows_in_whole_characters_by_a_few_tokens_with_each_job(chat: QwenAudioEngine) -> None:
    hear(chat)
    said = ask(chat, asking(2 * SECOND, *TASKS))
    for earlier, later in pairwise(said):
        assert all(after.text.startswith(before.text) for before, after in zip(earlier, later, strict=True))
    assert not any(answer.complete for answers in said[:-1] for answer in answers if len(said) > 1 and not answer.text)
    writing = max(len(chat.tokenizer.encode_text(answer.text)) for answer in said[0])
    assert len(said) > 1
    assert writing <= 8 * STEP_TOKENS


def test_the_final_and_all_tasks_share_one_reading_of_the_clip(base: QwenAudioEngine) -> None:
    hear(base)
    final = base.step([caption(4 * SECOND)])
    assert final.stats.encoder_frames == final.stats.encoder_frames_final == 200
    read: list[int] = []
    layers = base.model._layers

    def counted(embedded: Any, *rest: Any) -> Tensor:
        read.append(sum(each.shape[0] for each in embedded))
        return layers(embedded, *rest)

    base.model._layers = counted  # type: ignore[method-assign]
    try:
        steps = [base.step([asking(4 * SECOND, *TASKS)])]
        while steps[-1].hypotheses[0].more:
            steps.append(base.step([asking(4 * SECOND, *TASKS)]))
    finally:
        del base.model._layers
    assert sum(step.stats.encoder_frames for step in steps) == 0
    questions = sum(len(base.asker.after(task)) for task in TASKS)
    assert read[0] == questions < 100, "4 s of audio are 102 positions"
    assert max(read[1:]) <= len(TASKS)
    (utterance,) = base._streams["s"].utterances.values()
    assert utterance.whole is not None
    assert base.ledger.bytes == held_bytes([utterance.whole.cache]), "what was written is given back"


def test_an_answer_without_a_final_before_it_reads_the_clip_itself(base: QwenAudioEngine) -> None:
    """As after the loss of a worker."""
    hear(base)
    one(base, caption(3 * SECOND))
    expected = ask(base, asking(3 * SECOND, *TASKS))
    hear(base)
    assert ask(base, asking(3 * SECOND, *TASKS)) == expected


def test_other_questions_than_the_unfinished_ones_begin_anew(chat: QwenAudioEngine) -> None:
    hear(chat)
    first = one(chat, asking(2 * SECOND, TASKS[0]))
    assert first.more
    one(chat, asking(2 * SECOND, TASKS[1]))
    assert one(chat, asking(2 * SECOND, TASKS[0])).answers == first.answers
    assert len(chat.writer.batch) == 1


def test_answers_wait_while_no_job_asks_for_them(chat: QwenAudioEngine) -> None:
    hear(chat)
    hear(chat, stream="other")
    expected = ask(chat, asking(2 * SECOND, *TASKS))
    begun = one(chat, asking(2 * SECOND, *TASKS))
    for _ in range(3):
        one(chat, caption(3 * SECOND, "interim", stream="other"))
    assert [begun.answers, *ask(chat, asking(2 * SECOND, *TASKS))] == expected


# -- chats --------------------------------------------------------------------------------------------------------


def test_a_chat_of_two_clips_is_the_models_own_decoding_of_its_turns(chat: QwenAudioEngine) -> None:
    encode = chat.tokenizer.encode_text
    turns = [UserTurn(TURNS[0].text, 1), ModelTurn(tuple(encode(TURNS[1].text))), UserTurn(TURNS[2].text, 1)]
    clips = [clip(0, SECOND), clip(SECOND, 3 * SECOND)]
    written = by_the_model(chat, chat_prompt(turns, chat.tokenizer), clips, stopping(chat, 40))
    hear(chat)
    (answer,) = ask(chat, asking(3 * SECOND, chat=TWO_CLIPS))[-1]
    read = read_reply(written, chat.tokenizer, duration_s=2.0)
    assert answer == msgspec.structs.replace(read, complete=len(written) < 40)


def test_an_answer_in_a_chat_that_ends_by_itself_was_not_cut_off_whatever_it_says(chat: QwenAudioEngine) -> None:
    specials = chat.tokenizer.specials
    backwards = [specials.stamp(2.0), specials.stamp(1.0)]
    for tokens in ([], backwards, [specials.id("sil")]):
        assert not read_reply(tokens, chat.tokenizer, ended=True, duration_s=2.0).complete
        assert chat.asker.read(None, tokens, ended=True, duration_s=2.0).complete
        assert not chat.asker.read(None, tokens, ended=False, duration_s=2.0).complete


def test_a_question_is_looked_at_once_however_long_its_answer_is(chat: QwenAudioEngine) -> None:
    hear(chat)
    looked: list[Chat] = []
    conversation = chat.asker.conversation

    def counted(asked: Chat, samples: int) -> Conversation:
        looked.append(asked)
        return conversation(asked, samples)

    chat.asker.conversation = counted  # type: ignore[method-assign]
    try:
        said = ask(chat, asking(3 * SECOND, chat=TWO_CLIPS))
    finally:
        del chat.asker.conversation  # type: ignore[method-assign]
    assert len(said) > 2
    assert len(looked) == 2, "as it is admitted, and as it begins"


def test_a_system_message_temperature_and_seed_are_the_chats_own(chat: QwenAudioEngine) -> None:
    hear(chat)
    hot = msgspec.structs.replace(TWO_CLIPS, temperature=1.5, top_p=0.95, seed=-7)
    other, terse = msgspec.structs.replace(hot, seed=8), msgspec.structs.replace(TWO_CLIPS, system="be terse")
    said = [ask(chat, asking(3 * SECOND, chat=each))[-1] for each in (TWO_CLIPS, hot, hot, other, terse)]
    assert said[1] == said[2]
    assert len({str(each) for each in said}) == 4


def test_clips_longer_than_a_caption_fit_into_a_chat(chat: QwenAudioEngine) -> None:
    limits = chat.info.chat
    assert limits is not None
    assert (limits.turns, limits.clips, limits.audio_s, limits.clip_s) == (True, 7, 210.0, 30.0)
    hear(chat, pcm=PCM * 6)
    two = Chat((ChatTurn("user", "a", 2),), (30 * SECOND, 6 * SECOND), max_tokens=2)
    assert ask(chat, asking(36 * SECOND, chat=two))[-1]
    assert refused(chat, caption(36 * SECOND)).code == "bad_job"


def test_the_base_model_answers_one_question_about_one_clip(base: QwenAudioEngine) -> None:
    hear(base)
    question = Chat((ChatTurn("user", "Who is it?", 1),), (2 * SECOND,))
    (answer,) = ask(base, asking(2 * SECOND, chat=question))[-1]
    (other,) = ask(base, asking(2 * SECOND, Task(name="question", question="Who is it?")))[-1]
    assert (answer.text, answer.words) == (other.text, other.words)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"turns": ()}, "last turn"),
        ({"turns": (*TURNS, ChatTurn("assistant", "a"))}, "last turn"),
        ({"turns": (ChatTurn("user", "a", 1), ChatTurn("assistant", "b", 1), ChatTurn("user", "c"))}, "of the user"),
        ({"turns": (ChatTurn("user", "a", 2), ChatTurn("user", ""))}, "text or a clip"),
        ({"turns": TURNS[:1]}, "1 clips, 2"),
        ({"clip_samples": (SECOND, SECOND)}, "samples"),
        ({"clip_samples": (3 * SECOND, 0)}, "a clip has"),
        ({"turns": (ChatTurn("user", "none"),), "clip_samples": ()}, "1 to 7"),
        ({"turns": (*TURNS[:2], ChatTurn("user", LONG, 1))}, "tokens of text"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"top_p": 0.0}, "top_p"),
        ({"temperature": -1.0}, "temperature"),
    ],
)
def test_a_chat_that_is_none_is_a_bad_job(chat: QwenAudioEngine, wrong: dict[str, Any], said: str) -> None:
    hear(chat)
    error = refused(chat, asking(3 * SECOND, chat=msgspec.structs.replace(TWO_CLIPS, **wrong)))
    assert (error.code, said in error.message) == ("bad_job", True), error.message


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (TWO_CLIPS, "one question"),
        (Chat((ChatTurn("user", "a", 1),), (3 * SECOND,), system="be terse"), "system message"),
    ],
)
def test_a_conversation_needs_the_chat_model(base: QwenAudioEngine, wrong: Chat, said: str) -> None:
    hear(base)
    error = refused(base, asking(3 * SECOND, chat=wrong))
    assert (error.code, said in error.message) == ("bad_job", True), error.message
