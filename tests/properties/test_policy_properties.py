"""Whatever is submitted, cancelled and lost in whatever order: the policy's laws hold."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inference.pool.interface import Job, JobKind
from streaming.scheduler.policy import Policy, StreamQueueFullError, Ticket

STREAMS = st.sampled_from(["a", "b", "c"])
DEADLINES = st.integers(0, 5)
MAX_FINALS = 3
MAX_TRIES = 3
MAX_WAIT_S = 0.010


class Model:
    """What one stream should still see, kept apart from the policy."""

    def __init__(self) -> None:
        self.open_utterance = 0
        self.revision = 0
        self.asked = 0
        self.finals_due: list[int] = []
        """Submitted finals that are neither answered, given up nor cancelled, in the order of submission."""
        self.answers_due: list[tuple[int, int]] = []
        """(utterance, revision) of answer jobs, the same."""


class PolicyMachine(RuleBasedStateMachine):
    """Sessions submit at random; one or two batches at a time succeed, fail or are lost."""

    @initialize(max_batch=st.integers(1, 4))
    def begin(self, max_batch: int) -> None:
        self.policy = Policy(max_batch, max_wait_s=MAX_WAIT_S, max_finals_per_stream=MAX_FINALS, max_tries=MAX_TRIES)
        self.now = 0.0
        self.models: dict[str, Model] = {}
        self.in_flight: list[list[Ticket]] = []
        self.answered: set[int] = set()

    @rule(stream=STREAMS, deadline=DEADLINES)
    def submit_interim(self, stream: str, deadline: int) -> None:
        model = self.models.setdefault(stream, Model())
        model.revision += 1
        self.policy.submit(self._job(stream, model, final=False), self.now, self.now + deadline)

    @rule(stream=STREAMS, deadline=DEADLINES)
    def submit_final(self, stream: str, deadline: int) -> None:
        """A final is refused only where as many as allowed are waiting; then the session keeps it."""
        model = self.models.setdefault(stream, Model())
        waiting = self.policy.queued_finals(stream)
        try:
            self.policy.submit(self._job(stream, model, final=True), self.now, self.now + deadline)
        except StreamQueueFullError:
            assert waiting >= MAX_FINALS
            return
        model.finals_due.append(model.open_utterance)
        model.open_utterance += 1
        model.revision = 0

    @rule(stream=STREAMS, deadline=DEADLINES)
    def submit_answer(self, stream: str, deadline: int) -> None:
        """About an utterance that had its final, again and again."""
        model = self.models.setdefault(stream, Model())
        model.asked += 1
        utterance = max(0, model.open_utterance - 1)
        job = Job(stream, utterance, model.asked, "answer", 0, 8000)
        try:
            self.policy.submit(job, self.now, self.now + deadline)
        except StreamQueueFullError:
            assert len(model.answers_due) >= MAX_FINALS
            return
        model.answers_due.append((utterance, model.asked))

    @rule(stream=STREAMS)
    def cancel_the_oldest_final(self, stream: str) -> None:
        model = self.models.get(stream)
        if model is not None and model.finals_due:
            utterance = model.finals_due.pop(0)
            self.policy.cancel(stream, utterance)
            model.answers_due = [due for due in model.answers_due if due[0] != utterance]

    @rule(stream=STREAMS)
    def drop_stream(self, stream: str) -> None:
        self.policy.drop_stream(stream)
        self.models.pop(stream, None)

    @precondition(lambda self: len(self.in_flight) < 2)
    @rule()
    def start_batch(self) -> None:
        self._start()

    @precondition(lambda self: self.in_flight)
    @rule(newest=st.booleans())
    def batch_succeeds(self, newest: bool) -> None:
        batch = self.in_flight.pop(-1 if newest else 0)
        wanted = [ticket for ticket in batch if self.policy.wanted(ticket)]
        assert self.policy.complete(batch) == wanted
        for ticket in wanted:
            self._settle(ticket)

    @precondition(lambda self: self.in_flight)
    @rule(alone=st.booleans())
    def batch_is_lost(self, alone: bool) -> None:
        for ticket in self.policy.retry(self.in_flight.pop(), alone=alone):
            assert ticket.tries == MAX_TRIES - 1
            self._settle(ticket)

    @rule(seconds=st.sampled_from([0.001, MAX_WAIT_S, 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def queues_are_bounded(self) -> None:
        """One final or answer may be in flight and come back, beside those that wait; one interim at most."""
        if hasattr(self, "policy"):
            for stream in self.models:
                assert self.policy.queued_finals(stream) <= MAX_FINALS + 1
            assert self.policy.queued() <= len(self.models) * (2 * MAX_FINALS + 2)

    @invariant()
    def a_wait_is_never_longer_than_its_limit(self) -> None:
        if hasattr(self, "policy") and (wake_at := self.policy.wake_at()) is not None:
            assert wake_at <= self.now + MAX_WAIT_S

    def teardown(self) -> None:
        """When all goes well from here on, every final that is due comes, once, and the policy is empty."""
        if not hasattr(self, "policy"):
            return
        for batch in self.in_flight:
            for ticket in self.policy.complete(batch):
                self._settle(ticket)
        self.in_flight.clear()
        self.now += 1.0
        while self._start():
            for ticket in self.policy.complete(self.in_flight.pop()):
                self._settle(ticket)
        assert self.policy.idle
        assert all(not model.finals_due and not model.answers_due for model in self.models.values())

    def _job(self, stream: str, model: Model, *, final: bool) -> Job:
        kind: JobKind = "final" if final else "early_final" if model.revision % 2 else "interim"
        return Job(stream, model.open_utterance, model.revision, kind, 0, 8000)

    def _start(self) -> bool:
        batch = self.policy.next_batch(self.now)
        if batch is None:
            return False
        self._check(batch)
        self.in_flight.append(batch)
        return True

    def _check(self, batch: list[Ticket]) -> None:
        """What must hold of every batch at its start."""
        assert 1 <= len(batch) <= self.policy.max_batch
        assert len({ticket.job.stream for ticket in batch}) == len(batch)
        assert len(batch) == 1 or not any(ticket.alone for ticket in batch)
        running = [t.job.stream for other in self.in_flight for t in other if self.policy.wanted(t)]
        assert not {ticket.job.stream for ticket in batch} & set(running)
        others = [ticket.job.kind != "final" for ticket in batch]
        assert others == sorted(others), "finals first"
        for other in (False, True):
            deadlines = [ticket.deadline for ticket in batch if (ticket.job.kind != "final") is other]
            assert deadlines == sorted(deadlines)
        for ticket in batch:
            due = self.models[ticket.job.stream].finals_due
            if ticket.job.kind == "final":
                assert due[0] == ticket.job.utterance
            else:
                assert not due

    def _settle(self, ticket: Ticket) -> None:
        assert ticket.serial not in self.answered
        self.answered.add(ticket.serial)
        model = self.models[ticket.job.stream]
        if ticket.job.kind == "final":
            assert model.finals_due.pop(0) == ticket.job.utterance
        if ticket.job.kind == "answer":
            assert model.answers_due.pop(0) == (ticket.job.utterance, ticket.job.revision)


TestPolicyLaws = PolicyMachine.TestCase
TestPolicyLaws.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
