"""A dialect and a session's core talk to each other, without a socket, a clock or a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.pool.interface import Hypothesis, Job, JobError
from streaming.protocol.dialect import Close, Dialect, Encoded, Handshake, Outcome, Payload, Reply
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Audio, Endpointing, ServerMessage, Start, Summary
from streaming.session.core import SessionCore
from streaming.session.effects import Effect
from tests.support.sessions import Driver, answer_to, make_core, scripted_words, speech

UNIX_S = 1_700_000_000.25
WORDS = ["Hello,", "world.", "Don't", "panic", "now"]


def handshake(path: str = "/", query: Iterable[tuple[str, str]] | str = (), **fields: Any) -> Handshake:
    pairs = [tuple(pair.split("=", 1)) for pair in query.split("&") if pair] if isinstance(query, str) else list(query)
    fields.setdefault("id", "6a0c3b1e-0000-4000-8000-000000000001")
    return Handshake(path=path, query=pairs, unix_s=UNIX_S, **fields)  # type: ignore[arg-type]


Answers = Callable[[Job], list[str]]


class Reader(Driver):
    """Reads the core's outbox as a client would: in the order in which things were said."""

    def __init__(self, core: SessionCore, *, answer: bool) -> None:
        self.read: list[ServerMessage] = []
        pop = core.outbox.pop

        def pop_and_keep() -> ServerMessage | None:
            message = pop()
            if message is not None:
                self.read.append(message)
            return message

        core.outbox.pop = pop_and_keep  # type: ignore[method-assign]
        super().__init__(core, answer=answer)

    def carry_out(self, effects: Iterable[Effect]) -> None:
        super().carry_out(effects)
        self.read += [message for message in self.messages if isinstance(message, Summary) and message not in self.read]


class Talk:
    """What a client sends, and all that it hears. Jobs are answered after each message, unless `hold`."""

    def __init__(self, dialect: Dialect, answers: Answers = scripted_words, *, at_once: bool = False) -> None:
        """`at_once`: jobs are answered the moment they are asked for, by scripted words."""
        self.dialect = dialect
        self.heard: list[Payload] = []
        self.closed: Close | None = None
        self.driver: Reader | None = None
        self.hold = False
        self.now = 0.0
        self._answers = answers
        self._at_once = at_once
        self._said = 0
        self._answered = 0
        self._held: list[Job] = []
        self._decoded = 0
        if dialect.start is not None:
            self._begin(dialect.start)
        self._carry_out(dialect.opened(self.now))

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.heard]

    def of_type(self, *kinds: str) -> list[dict[str, Any]]:
        return [message for message in self.json if message.get("type") in kinds]

    def send(self, *payloads: Payload | dict[str, Any]) -> None:
        for payload in payloads:
            text = json.dumps(payload) if isinstance(payload, dict) else payload
            try:
                self._carry_out(self.dialect.receive(text, self.now))
            except ProtocolError as error:
                self._fail(error)
                return

    def send_audio(self, pcm: NDArray[np.int16] | bytes, step_bytes: int = 3200) -> None:
        data = pcm if isinstance(pcm, bytes) else pcm.astype("<i2").tobytes()
        for at in range(0, len(data), step_bytes):
            self.send(data[at : at + step_bytes])

    def wait(self, seconds: float) -> None:
        """Nothing comes for so long."""
        until = self.now + seconds
        while (deadline := self.dialect.deadline) is not None and deadline <= until and self.closed is None:
            self.now = deadline
            try:
                self._carry_out(self.dialect.timeout(self.now))
            except ProtocolError as error:
                self._fail(error)
                return
        self.now = until

    def answer(self) -> None:
        """What was held."""
        held, self._held = self._held, []
        assert self.driver is not None
        for job in held:
            self.driver.carry_out(self.driver.core.hypothesis(self._hypothesis(job), self.now))
        self._listen()

    def lose(self) -> None:
        """Held jobs fail for good."""
        held, self._held = self._held, []
        assert self.driver is not None
        for job in held:
            failed = JobError(job.stream, job.utterance, job.revision, "internal", "scripted")
            self.driver.carry_out(self.driver.core.job_failed(failed))
        self._listen()

    def _begin(self, start: Start) -> None:
        start = msgspec.structs.replace(start, endpointing=_loud(start.endpointing))
        self.driver = Reader(make_core(start), answer=self._at_once)
        self._listen()

    def _carry_out(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            match outcome:
                case Reply(payload):
                    self.heard.append(payload)
                case Close():
                    self.closed = outcome
                case Encoded(data):
                    # Whatever it is, it is taken for s16le at 16 kHz.
                    assert self.driver is not None
                    self.driver.give(Audio(first_sample=self._decoded, data=data))
                    self._decoded += len(data) // 2
                case Start() if self.driver is None:
                    self._begin(outcome)
                case message:
                    assert self.driver is not None, f"{type(message).__name__} before start"
                    self.driver.give(message)  # type: ignore[arg-type]
            self._listen()

    def _listen(self) -> None:
        assert self.driver is not None or not self._said
        if self.driver is None:
            return
        moved = True
        while moved:
            moved = False
            while self._said < len(self.driver.read):
                message, moved = self.driver.read[self._said], True
                self._said += 1
                self.heard += self.dialect.say(message)
                if isinstance(message, Summary):
                    self.closed = self.dialect.goodbye(1000, "")
            while not self._at_once and self._answered < len(self.driver.jobs):
                job, moved = self.driver.jobs[self._answered], True
                self._answered += 1
                if self.hold:
                    self._held.append(job)
                else:
                    self.driver.carry_out(self.driver.core.hypothesis(self._hypothesis(job), self.now))

    def _hypothesis(self, job: Job) -> Hypothesis:
        return answer_to(job, self._answers(job))

    def _fail(self, error: ProtocolError) -> None:
        self.heard += self.dialect.say(error.as_message())
        self.closed = self.dialect.goodbye(error.close_code or 1000, error.code)


def _loud(endpointing: Endpointing) -> Endpointing:
    """The test's detector hears at once."""
    return msgspec.structs.replace(endpointing, min_speech_ms=64)


def sentence(job: Job) -> list[str]:
    """A word for each half second of the segment's speech."""
    return [WORDS[n % len(WORDS)] for n in range(max(1, (job.until_sample - job.start_sample) // 8_000))]


__all__ = ["Talk", "handshake", "sentence", "speech"]
