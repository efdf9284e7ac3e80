"""Texts that are being decoded: captions, which one step writes to their end, and answers, which take several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from inference.pool.tasks import Answer, Chat, Task
from inference.qwen_audio.asking import Asker
from inference.qwen_audio.generate import Finish, GenerationBatch, Progress
from inference.qwen_audio.tokenizer import Detokenizer, QwenTokenizer

Question = tuple[tuple[Task, ...], Chat | None, int]
"""The tasks, or the chat, of an answer job, and how many samples they are about."""


@dataclass(eq=False, slots=True)
class Writing:
    """A sequence of the batch, and what it has brought."""

    key: int
    tokens: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    finish: Finish | None = None

    def take(self, progress: Progress) -> None:
        self.tokens += progress.ids
        self.probabilities += progress.probabilities
        self.finish = progress.finish


@dataclass(eq=False, slots=True)
class Reply:
    """To a task; to a chat where that is None."""

    task: Task | None
    writing: Writing | None
    refused: str | None = None
    """Why the task cannot be asked; then nothing is written."""

    @property
    def done(self) -> bool:
        return self.writing is None or self.writing.finish is not None

    def answer(self, asker: Asker, duration_s: float) -> Answer:
        """As far as it is written: while it goes on, up to the last whole character."""
        if self.writing is None:
            return Answer("", complete=False, error=self.refused)
        tokens, finish = self.writing.tokens, self.writing.finish
        if finish is None:
            tokens = tokens[: whole_characters(tokens, asker.tokenizer)]
        return asker.read(self.task, tokens, ended=finish == "stop", duration_s=duration_s)


@dataclass(eq=False, slots=True)
class Asked:
    """An answer job that goes on until all of its replies are written."""

    question: Question
    duration_s: float
    """Of its longest clip."""
    replies: list[Reply] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return all(reply.done for reply in self.replies)

    @property
    def writings(self) -> list[Writing]:
        return [reply.writing for reply in self.replies if reply.writing is not None]

    def answers(self, asker: Asker) -> tuple[Answer, ...]:
        return tuple(reply.answer(asker, self.duration_s) for reply in self.replies)

    def leave(self, batch: GenerationBatch) -> None:
        for writing in self.writings:
            batch.leave(writing.key)


def whole_characters(tokens: Sequence[int], tokenizer: QwenTokenizer) -> int:
    """How many of the tokens end with a whole character: what comes next does not change their text."""
    detokenizer = Detokenizer(tokenizer)
    whole = 0
    for count, token in enumerate(tokens, start=1):
        detokenizer.push(token)
        if detokenizer.whole:
            whole = count
    return whole
