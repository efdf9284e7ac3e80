"""Room for another session: full when jobs wait long, and only after a while of short waits free again."""

from __future__ import annotations

from inference.pool.interface import Job, JobKind
from streaming.scheduler.admission import RECOVER_AFTER_S, Admission
from streaming.scheduler.policy import Policy


def job(stream: str, utterance: int = 0, kind: JobKind = "interim", revision: int = 1) -> Job:
    return Job(stream, utterance, revision, kind, 0, 8_000 * revision)


def test_it_is_full_above_the_limit_and_not_at_it() -> None:
    admission = Admission(0.75)
    assert not admission.measure(0.75, now=0.0)
    assert admission.measure(0.76, now=0.5)


def test_it_is_free_again_once_waits_have_been_short_for_a_while() -> None:
    admission = Admission(1.0)
    admission.measure(2.0, now=0.0)
    assert admission.measure(0.6, now=1.0)
    assert admission.measure(0.6, now=1.0 + RECOVER_AFTER_S - 0.1)
    assert not admission.measure(0.6, now=1.0 + RECOVER_AFTER_S)


def test_between_the_thresholds_nothing_changes_and_the_while_begins_anew() -> None:
    admission = Admission(1.0)
    admission.measure(2.0, now=0.0)
    admission.measure(0.6, now=1.0)
    assert admission.measure(0.9, now=2.0)
    assert admission.measure(0.6, now=3.0)
    assert admission.measure(0.6, now=2.9 + RECOVER_AFTER_S)
    assert not admission.measure(0.6, now=3.0 + RECOVER_AFTER_S)


def test_a_job_waits_from_its_submission_to_its_start_or_until_now() -> None:
    policy = Policy(1, max_wait_s=0)
    policy.submit(job("a"), now=0.0, deadline=0.0)
    policy.submit(job("b"), now=0.0, deadline=1.0)
    policy.next_batch(0.1)
    assert sorted(policy.waits_s(now=0.5, last_s=5)) == [0.1, 0.5]


def test_an_interim_that_replaces_another_has_waited_since_that_one_came() -> None:
    policy = Policy(1, max_wait_s=0)
    policy.submit(job("a"), now=0.0, deadline=0.0)
    policy.submit(job("a", revision=2), now=0.5, deadline=0.5)
    assert policy.waits_s(now=1.0, last_s=5) == [1.0]


def test_what_a_stream_waits_behind_its_own_jobs_is_not_counted() -> None:
    """A file that is sent as fast as possible queues many finals: no other stream has to wait for that."""
    policy = Policy(1, max_wait_s=0)
    for utterance in range(10):
        policy.submit(job("file", utterance, "final"), now=0.0, deadline=0.0)
    for second in range(10):
        batch = policy.next_batch(float(second))
        assert batch is not None
        policy.complete(batch)
    assert max(policy.waits_s(now=9.0, last_s=100)) <= 1.0


def test_waits_of_long_ago_do_not_count() -> None:
    policy = Policy(1, max_wait_s=0)
    policy.submit(job("a"), now=0.0, deadline=0.0)
    policy.next_batch(9.0)
    assert policy.waits_s(now=10.0, last_s=5) == [9.0]
    assert policy.waits_s(now=20.0, last_s=5) == []
