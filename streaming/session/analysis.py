"""What the engine answered about an utterance, as the client reads it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from inference.pool.interface import ErrorCode, JobError
from inference.pool.tasks import Answer
from streaming.audio.clock import samples_to_ms
from streaming.protocol.messages import Analysis, Task, TimedWord
from streaming.session.utterance import Utterance

NO_ANSWER = "the model gave no answer"
_REASONS: dict[ErrorCode, str] = {
    "out_of_memory": "the device has no memory left for it",
    "missing_audio": "its audio is there no longer",
    "internal": "the model failed",
}


def wire_analyses(utterance: Utterance, channel: int, answers: Sequence[Answer]) -> list[Analysis]:
    """One message for each of the utterance's further tasks, in their order. Times of words are the session's."""
    tasks = utterance.tasks.others
    if len(answers) != len(tasks):
        return _none(utterance, channel, NO_ANSWER)
    return [_said(utterance, channel, place, each) for place, each in enumerate(answers)]


def failed_analyses(utterance: Utterance, channel: int, error: JobError) -> list[Analysis]:
    """The same where there are no answers."""
    return _none(utterance, channel, _REASONS.get(error.code, error.message))


def _none(utterance: Utterance, channel: int, reason: str) -> list[Analysis]:
    tasks = enumerate(utterance.tasks.others)
    return [_about(utterance, channel, place, task, complete=False, error=reason) for place, task in tasks]


def _said(utterance: Utterance, channel: int, place: int, answer: Answer) -> Analysis:
    begin_ms = samples_to_ms(utterance.start_sample)
    task = utterance.tasks.others[place]
    message = _about(utterance, channel, place, task, complete=answer.complete, error=answer.error)
    message.text = answer.text
    message.labels = list(answer.labels)
    message.fields = dict(answer.fields)
    message.words = timed_words(answer, begin_ms)
    return message


def timed_words(answer: Answer, begin_ms: int) -> list[TimedWord]:
    """On the session's clock, of which the answer's audio begins at `begin_ms`."""
    return [
        TimedWord(
            text=word.text,
            start_ms=begin_ms + round(word.start_s * 1000),
            end_ms=begin_ms + round(word.end_s * 1000),
        )
        for word in answer.words
    ]


def _about(
    utterance: Utterance, channel: int, place: int, task: Task, *, complete: bool, error: str | None = None
) -> Analysis:
    assert utterance.end_sample is not None
    return Analysis(
        utterance=utterance.id,
        channel=channel,
        task=task.name,
        index=place,
        start_ms=samples_to_ms(utterance.start_sample),
        end_ms=samples_to_ms(utterance.end_sample),
        complete=complete,
        error=error,
    )
