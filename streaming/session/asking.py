"""Asks the engine questions about what a live session heard, beside its captions.

Each question is a stream of its own in the fleet, with the clips as its only utterance and an `answer` job at a time,
until the answer is done. It never raises: what goes wrong is an answer with an error.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence

from inference.pool.interface import EngineInfo, EngineStartError, Hypothesis, Job, JobError, StreamSpec
from inference.pool.tasks import Answer as Written
from streaming.protocol.messages import Answer, AnswerCode, AnswerError, Ask, Transcript
from streaming.scheduler.fleet import Fleet
from streaming.scheduler.listener import StreamClosedError
from streaming.scheduler.policy import StreamQueueFullError
from streaming.session.analysis import timed_words
from streaming.session.effects import StoreAudio
from streaming.session.questions import Clip, Question, QuestionError, Recent, make_question

log = logging.getLogger(__name__)

MAX_OPEN = 4
"""Questions of one session at once."""
DEADLINE_S = 5.0
"""Beside interims, a piece of an answer has its turn when it is due before them."""

Say = Callable[[Answer], None]


class Asking:
    """Order of calls: `hear` and `read` as the session goes on, `ask` at any time, `end` once."""

    def __init__(
        self, fleet: Fleet, clock: Callable[[], float], info: EngineInfo, seconds: float, channels: int,
        labels: Sequence[str] = (), recent: Recent | None = None, refusal: str | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            seconds: of audio to be kept, where the model can be asked.
            recent: what the session heard before its connection was lost.
            refusal: why it takes no questions; then nothing is kept either.
        """
        self._fleet = fleet
        self._clock = clock
        self._info = info
        self._refusal = refusal
        most_s = info.chat.audio_s if info.chat is not None and refusal is None else 0.0
        self._keeps = min(seconds, most_s)
        self._recent = recent or Recent(self._keeps, labels, channels)
        self._open: dict[str, _Asked] = {}
        self._over = False

    @property
    def recent(self) -> Recent | None:
        """What is kept, for the session's next connection."""
        return self._recent if self._keeps > 0 else None

    def hear(self, block: StoreAudio) -> None:
        """Audio of the session, as it is stored."""
        if self._keeps > 0:
            self._recent.hear(block.first_sample, block.pcm)

    def read(self, message: object) -> None:
        """What the session says."""
        if self._keeps > 0 and isinstance(message, Transcript):
            self._recent.read(message)

    def ask(self, ask: Ask, say: Say, own: Sequence[Clip] = ()) -> Callable[[], None]:
        """Puts a question; `say` is called with the pieces of its answer, at last with one that is `done`.

        Args:
            own: clips that the asker brings.

        Returns:
            what gives the question up; nothing is said after that.
        """
        try:
            return self._put(ask, say, own)
        except QuestionError as error:
            say(failed(ask.id, error.code, str(error)))
        return lambda: None

    def end(self) -> None:
        """The session is over: open questions are answered by that."""
        self._over = True
        for asked in list(self._open.values()):
            asked.fail("session_over", "the session ended before the answer was there")

    def _put(self, ask: Ask, say: Say, own: Sequence[Clip]) -> Callable[[], None]:
        if self._refusal is not None:
            raise QuestionError(self._refusal)
        if self._info.chat is None:
            raise QuestionError(
                f"the model {self._info.model} writes captions only and cannot be asked; Qwen-Audio-Chat can"
            )
        if self._over:
            say(failed(ask.id, "session_over", "the session is over"))
            return lambda: None
        if any(asked.id == ask.id for asked in self._open.values()):
            say(failed(ask.id, "duplicate_id", "a question with this id is open already; give each its own"))
            return lambda: None
        if len(self._open) >= MAX_OPEN:
            say(failed(ask.id, "too_many", f"{MAX_OPEN} questions are open already; wait for an answer"))
            return lambda: None
        asked = _Asked(ask.id, make_question(ask, self._recent, self._info.chat, own), say, self)
        self._open[asked.stream] = asked
        try:
            self._fleet.open(asked.stream, StreamSpec(), asked)
        except EngineStartError as error:
            asked.fail("engine_unavailable", str(error))
            return lambda: None
        self._fleet.append(asked.stream, 0, 0, asked.question.pcm)
        asked.go_on()

        def give_up() -> None:
            self.leave(asked)

        return give_up

    def submit(self, job: Job) -> None:
        """Raises StreamClosedError, StreamQueueFullError."""
        self._fleet.submit(job, self._clock() + DEADLINE_S)

    def is_open(self, asked: _Asked) -> bool:
        return asked.stream in self._open

    def leave(self, asked: _Asked) -> bool:
        """The question is answered, or nobody waits for its answer any more. False: it was left before, and nothing
        more may be said of it."""
        if self._open.pop(asked.stream, None) is None:
            return False
        self._fleet.close(asked.stream)
        return True


class _Asked:
    """A question on its way. Implements the fleet's listener."""

    def __init__(self, question_id: str, question: Question, say: Say, asking: Asking) -> None:
        self.stream = f"ask:{secrets.token_urlsafe(9)}"
        self.question = question
        self.id = question_id
        self._say = say
        self._asking = asking
        self._revision = 0
        self._said = ""

    def go_on(self) -> None:
        """Asks for the first piece, or the next one."""
        if not self._asking.is_open(self):
            return
        self._revision += 1
        job = Job(
            stream=self.stream,
            utterance=0,
            revision=self._revision,
            kind="answer",
            start_sample=0,
            until_sample=len(self.question.pcm) // 2,
            chat=self.question.chat,
        )
        try:
            self._asking.submit(job)
        except (StreamClosedError, StreamQueueFullError) as error:
            log.error("a question could not be put: %r", error)
            self.fail("engine_unavailable", "the engine takes no question at the moment")

    def fail(self, code: AnswerCode, message: str) -> None:
        if self._asking.leave(self):
            self._say(failed(self.id, code, message))

    def on_hypothesis(self, hypothesis: Hypothesis) -> None:
        if hypothesis.revision != self._revision or not self._asking.is_open(self):
            return
        written = hypothesis.answers[0] if hypothesis.answers else Written("", complete=False)
        if hypothesis.more:
            self._show(written.text)
            self.go_on()
        else:
            self._finish(written)

    def on_job_error(self, job: Job, error: JobError) -> None:
        if error.code == "bad_job":
            self.fail("unsupported", error.message)
        else:
            self.fail("answer_failed", "the model failed while it answered; ask again")

    def on_rebuilt(self, utterance: int) -> None:
        """The answer begins anew, with the same words: what was shown is not shown again."""

    def on_stream_failed(self, reason: str) -> None:
        self.fail("engine_unavailable", reason)

    def segment_pcm(self, utterance: int) -> tuple[int, bytes] | None:
        return 0, self.question.pcm

    def prefix_tokens(self, job: Job) -> tuple[int, ...]:
        return ()

    def _show(self, text: str) -> None:
        """What goes beyond what was shown; nothing while an answer that began anew has not come so far again."""
        if not text.startswith(self._said):
            if not self._said.startswith(text):
                self._fail_garbled()
        elif len(text) > len(self._said):
            delta, self._said = text[len(self._said) :], text
            self._say(Answer(id=self.id, delta=delta))

    def _fail_garbled(self) -> None:
        self.fail("answer_failed", "the worker was lost, and another one answered in other words; ask again")

    def _finish(self, written: Written) -> None:
        if not written.text.startswith(self._said):
            self._fail_garbled()
            return
        self._asking.leave(self)
        begin_ms = self.question.words_from_ms
        self._say(
            Answer(
                id=self.id,
                delta=written.text[len(self._said) :],
                done=True,
                text=written.text,
                words=[] if begin_ms is None else timed_words(written, begin_ms),
                finish="stop" if written.complete else "length",
                from_ms=self.question.from_ms,
                to_ms=self.question.to_ms,
            )
        )


def failed(question_id: str, code: AnswerCode, message: str) -> Answer:
    """The last piece of an answer that there is not."""
    return Answer(id=question_id, done=True, finish="error", error=AnswerError(code=code, message=message))
