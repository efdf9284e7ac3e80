"""Answers that are being written: what was shown of one stays, in whole characters."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.pool.tasks import TASK_NAMES, Task
from inference.qwen_audio.asking import Asker
from inference.qwen_audio.generate import Progress
from inference.qwen_audio.replies import Reply, Writing, whole_characters
from tests.support.qwen_audio import spell, tokenizer
from tests.support.qwen_checkpoints import speaking_config

TOKENIZER = tokenizer()
SPECIALS = TOKENIZER.specials
ASKERS = {chats: Asker(TOKENIZER, speaking_config(TOKENIZER), chats) for chats in (False, True)}
WRITTEN = [
    *TOKENIZER.encode_text("the a, b; 你 hello\n\n👋 é ."),
    *(SPECIALS.id(name) for name in ("sil", "delim", "startofword", "pitch", "scenario", "startofentityvalue")),
    *(SPECIALS.stamp(seconds) for seconds in (0.5, 1.0, 2.5)),
]


@settings(max_examples=200, deadline=None)
@given(
    written=st.lists(st.sampled_from(WRITTEN), max_size=24),
    cuts=st.lists(st.integers(0, 24), max_size=4).map(sorted),
    name=st.sampled_from(TASK_NAMES),
    chats=st.booleans(),
)
def test_what_is_shown_of_an_answer_is_the_begin_of_it(
    written: list[int], cuts: list[int], name: str, chats: bool
) -> None:
    task = Task(name=name)  # type: ignore[arg-type]
    reply = Reply(task, Writing(0))
    shown = [""]
    for first, until in zip([0, *cuts], [*cuts, len(written)], strict=True):
        last = until >= len(written)
        reply.writing.take(Progress(tuple(written[first:until]), "stop" if last else None))
        shown.append(reply.answer(ASKERS[chats], 3.0).text)
        if last:
            break
    assert all(later.startswith(earlier) for earlier, later in pairwise(shown))
    assert reply.writing.tokens == written


def test_half_a_character_is_not_shown_until_it_is_whole() -> None:
    first, second = "你".encode()[:2], "你".encode()[2:]
    halves = [next(t for t in range(SPECIALS.base) if TOKENIZER.piece(t) == piece) for piece in (first, second)]
    letters = spell("ab", TOKENIZER)
    assert whole_characters([*letters, halves[0]], TOKENIZER) == len(letters)
    assert whole_characters([*letters, *halves], TOKENIZER) == len(letters) + 2
    assert whole_characters([halves[0], SPECIALS.stamp(1.0)], TOKENIZER) == 2, "it was cut off for good"


@pytest.mark.parametrize(("finish", "complete"), [(None, False), ("length", False), ("stop", True)])
def test_an_answer_is_complete_once_the_model_ended_it(finish: str | None, complete: bool) -> None:
    reply = Reply(Task(name="caption"), Writing(0))
    reply.writing.take(Progress(tuple(spell("hello", TOKENIZER)), finish))  # type: ignore[arg-type]
    answer = reply.answer(ASKERS[False], 3.0)
    assert (answer.text, answer.complete) == ("hello", complete)
