"""The scheduling policy on a clock that the tests turn by hand."""

from __future__ import annotations

import pytest

from inference.pool.interface import Job, JobKind
from streaming.scheduler.policy import Policy, StreamQueueFullError, Ticket


def job(stream: str, utterance: int, kind: JobKind, revision: int = 1) -> Job:
    return Job(stream, utterance, revision, kind, 0, 8000 * revision)


def interim(stream: str, utterance: int = 0, revision: int = 1) -> Job:
    return job(stream, utterance, "interim", revision)


def final(stream: str, utterance: int = 0) -> Job:
    return job(stream, utterance, "final")


def named(batch: list[Ticket] | None) -> list[tuple[str, int, str]]:
    return [(ticket.job.stream, ticket.job.utterance, ticket.job.kind) for ticket in batch or []]


def run_all(policy: Policy, now: float = 0.0) -> list[list[tuple[str, int, str]]]:
    """Runs batch after batch, each a success."""
    batches = []
    while batch := policy.next_batch(now):
        batches.append(named(batch))
        policy.complete(batch)
    return batches


def test_finals_go_before_interims_whatever_their_deadlines() -> None:
    policy = Policy(max_batch=1)
    policy.submit(interim("a"), now=0, deadline=1)
    policy.submit(final("b"), now=0, deadline=9)
    assert run_all(policy) == [[("b", 0, "final")], [("a", 0, "interim")]]


def test_a_final_removes_an_early_final_that_waits_and_one_in_flight_comes_before_it() -> None:
    policy = Policy()
    policy.submit(job("a", 0, "early_final"), now=0, deadline=0)
    policy.submit(final("a"), now=0, deadline=0)
    assert run_all(policy) == [[("a", 0, "final")]]

    policy.submit(job("a", 1, "early_final"), now=0, deadline=0)
    running = policy.next_batch(0)
    assert running is not None
    policy.submit(final("a", 1), now=0, deadline=0)
    assert policy.next_batch(0) is None
    assert policy.complete(running) == running, "its answer is wanted: it may be the final"
    policy.cancel("a", 1)
    assert run_all(policy) == [], "and then the final need not run"


def answer(stream: str, utterance: int = 0) -> Job:
    return job(stream, utterance, "answer")


def test_answers_come_after_finals_and_beside_interims_by_their_deadlines() -> None:
    policy = Policy(max_batch=1)
    policy.submit(answer("a"), now=0, deadline=1)
    policy.submit(answer("b"), now=0, deadline=10)
    policy.submit(interim("c"), now=0, deadline=5)
    policy.submit(final("d"), now=0, deadline=20)
    assert [batch[0][0] for batch in run_all(policy, now=1)] == ["d", "a", "c", "b"]


def test_of_one_stream_interims_and_answers_take_turns_by_their_deadlines() -> None:
    policy = Policy()
    policy.submit(answer("a", 0), now=0, deadline=10)
    policy.submit(answer("a", 1), now=0, deadline=11)
    policy.submit(interim("a", 2), now=0, deadline=10.5)
    expected = [[("a", 0, "answer")], [("a", 2, "interim")], [("a", 1, "answer")]]
    assert run_all(policy, now=1) == expected


def test_a_newer_interim_or_a_final_leaves_an_answer_where_it_is() -> None:
    policy = Policy()
    policy.submit(answer("a", 0), now=0, deadline=10)
    policy.submit(interim("a", 1), now=0, deadline=1)
    policy.submit(interim("a", 1, revision=2), now=0, deadline=1)
    policy.submit(final("a", 1), now=0, deadline=1)
    assert run_all(policy) == [[("a", 1, "final")], [("a", 0, "answer")]]


def test_an_answer_that_is_lost_is_tried_again_and_goes_with_its_utterance() -> None:
    policy = Policy()
    policy.submit(answer("a", 0), now=0, deadline=0)
    policy.submit(answer("a", 1), now=0, deadline=0)
    assert policy.retry(policy.next_batch(1) or []) == []
    assert policy.queued() == 2
    policy.cancel("a", 0)
    assert policy.counters.cancelled == 1
    assert run_all(policy, now=1) == [[("a", 1, "answer")]]


def test_answers_are_bounded_and_no_measure_of_the_wait_for_captions() -> None:
    policy = Policy(max_finals_per_stream=2)
    for utterance in range(2):
        policy.submit(answer("a", utterance), now=0, deadline=10)
    with pytest.raises(StreamQueueFullError):
        policy.submit(answer("a", 2), now=0, deadline=10)
    assert policy.waits_s(now=9, last_s=5) == []
    run_all(policy, now=9)
    assert policy.waits_s(now=9, last_s=5) == []


def test_an_early_final_that_was_lost_is_not_tried_again_once_its_final_waits() -> None:
    policy = Policy()
    policy.submit(job("a", 0, "early_final"), now=0, deadline=0)
    running = policy.next_batch(0)
    assert running is not None
    policy.submit(final("a"), now=0, deadline=0)
    assert policy.retry(running) == []
    assert run_all(policy) == [[("a", 0, "final")]]


def test_among_equals_the_earliest_deadline_goes_first_then_the_order_of_submission() -> None:
    policy = Policy(max_batch=1)
    for stream, deadline in [("late", 3), ("first", 1), ("early", 1)]:
        policy.submit(final(stream), now=0, deadline=deadline)
    assert [batch[0][0] for batch in run_all(policy)] == ["first", "early", "late"]


def test_jobs_of_several_streams_share_a_batch_up_to_its_size() -> None:
    policy = Policy(max_batch=2, max_wait_s=0)
    for stream in "abc":
        policy.submit(interim(stream), now=0, deadline=0)
    assert [len(batch) for batch in run_all(policy)] == [2, 1]


def test_one_stream_never_has_two_jobs_in_flight() -> None:
    policy = Policy()
    policy.submit(interim("a"), now=0, deadline=0)
    batch = policy.next_batch(0)
    assert batch is not None
    policy.submit(final("a"), now=0, deadline=0)
    assert policy.next_batch(0) is None
    assert policy.wake_at() is None
    policy.complete(batch)
    assert named(policy.next_batch(0)) == [("a", 0, "final")]


def test_a_newer_interim_replaces_the_queued_one_and_keeps_its_place() -> None:
    policy = Policy(max_batch=1)
    policy.submit(interim("a", revision=1), now=0, deadline=1)
    policy.submit(interim("b"), now=0, deadline=2)
    policy.submit(interim("a", revision=2), now=0, deadline=3)
    batch = policy.next_batch(0)
    assert batch is not None
    assert (batch[0].job.stream, batch[0].job.revision) == ("a", 2)
    assert policy.counters.coalesced == 1


def test_a_final_takes_the_queued_interims_of_its_utterance_out() -> None:
    policy = Policy()
    policy.submit(interim("a"), now=0, deadline=0)
    policy.submit(final("a"), now=0, deadline=0)
    assert run_all(policy) == [[("a", 0, "final")]]
    assert policy.counters.coalesced == 1


def test_an_interim_that_comes_after_its_final_does_not_run() -> None:
    policy = Policy()
    policy.submit(final("a", 4), now=0, deadline=0)
    policy.submit(interim("a", 4), now=0, deadline=0)
    policy.submit(interim("a", 3), now=0, deadline=0)
    assert run_all(policy) == [[("a", 4, "final")]]


def test_an_utterances_final_runs_before_the_next_utterances_jobs() -> None:
    policy = Policy()
    policy.submit(final("a", 0), now=0, deadline=9)
    policy.submit(interim("a", 1), now=0, deadline=1)
    policy.submit(final("a", 1), now=0, deadline=1)
    policy.submit(interim("a", 2), now=0, deadline=0)
    assert run_all(policy) == [[("a", 0, "final")], [("a", 1, "final")], [("a", 2, "interim")]]


def test_too_many_finals_of_one_stream_are_refused_and_others_are_not() -> None:
    policy = Policy(max_finals_per_stream=2)
    policy.submit(final("a", 0), now=0, deadline=0)
    policy.submit(final("a", 1), now=0, deadline=0)
    with pytest.raises(StreamQueueFullError):
        policy.submit(final("a", 2), now=0, deadline=0)
    policy.submit(final("b", 0), now=0, deadline=0)
    assert (policy.queued_finals("a"), policy.queued_finals("b"), policy.queued_finals("c")) == (2, 1, 0)
    batch = policy.next_batch(0)
    assert batch is not None
    policy.complete(batch)
    policy.submit(final("a", 2), now=0, deadline=0)
    assert policy.queued_finals("a") == 2


def test_a_second_final_of_an_utterance_is_an_error() -> None:
    policy = Policy()
    policy.submit(final("a", 3), now=0, deadline=0)
    with pytest.raises(ValueError, match="utterance 3 is not newer than the last final 3"):
        policy.submit(final("a", 3), now=0, deadline=0)


def test_a_lone_interim_waits_for_company_only_where_the_last_batch_had_company() -> None:
    policy = Policy(max_wait_s=0.010)
    for stream in "ab":
        policy.submit(interim(stream), now=0, deadline=0)
    assert [len(batch) for batch in run_all(policy, now=0)] == [2]
    policy.submit(interim("a"), now=1.0, deadline=1)
    assert policy.next_batch(1.0) is None
    assert policy.wake_at() == pytest.approx(1.010)
    assert policy.next_batch(1.009) is None
    assert [len(batch) for batch in run_all(policy, now=1.010)] == [1]
    policy.submit(interim("a"), now=2.0, deadline=2)
    assert policy.wake_at() == 2.0
    assert [len(batch) for batch in run_all(policy, now=2.0)] == [1]


def test_company_that_arrives_ends_the_wait() -> None:
    policy = Policy(max_wait_s=0.010)
    for stream in "ab":
        policy.submit(interim(stream), now=0, deadline=0)
    run_all(policy)
    policy.submit(interim("a"), now=1.0, deadline=1)
    assert policy.next_batch(1.001) is None
    policy.submit(interim("b"), now=1.002, deadline=1)
    assert [len(batch) for batch in run_all(policy, now=1.002)] == [2]


def test_a_final_waits_for_nobody() -> None:
    policy = Policy(max_wait_s=0.010)
    for stream in "ab":
        policy.submit(interim(stream), now=0, deadline=0)
    run_all(policy)
    policy.submit(final("a"), now=1.0, deadline=1)
    assert named(policy.next_batch(1.0)) == [("a", 0, "final")]


def test_a_cancelled_utterances_jobs_are_gone_and_its_answer_is_not_wanted() -> None:
    policy = Policy(max_batch=1)
    policy.submit(final("a", 0), now=0, deadline=0)
    [ticket] = policy.next_batch(0) or []
    policy.submit(final("a", 1), now=0, deadline=0)
    policy.submit(interim("a", 2), now=0, deadline=0)
    assert policy.wanted(ticket)
    for utterance in (0, 1, 2):
        policy.cancel("a", utterance)
    assert not policy.wanted(ticket)
    assert policy.complete([ticket]) == []
    assert policy.idle
    assert policy.counters.cancelled == 2


def test_a_dropped_streams_ticket_never_stands_for_the_next_stream_of_that_name() -> None:
    policy = Policy()
    policy.submit(final("a"), now=0, deadline=0)
    [old] = policy.next_batch(0) or []
    policy.drop_stream("a")
    policy.submit(final("a"), now=0, deadline=0)
    [new] = policy.next_batch(0) or []
    assert policy.complete([old]) == []
    assert policy.retry([old]) == []
    assert policy.complete([new]) == [new]


def test_a_failed_final_is_tried_again_before_the_streams_later_ones() -> None:
    policy = Policy()
    policy.submit(final("a", 0), now=0, deadline=0)
    [ticket] = policy.next_batch(0) or []
    policy.submit(final("a", 1), now=0, deadline=0)
    assert policy.retry([ticket]) == []
    assert run_all(policy) == [[("a", 0, "final")], [("a", 1, "final")]]
    assert policy.counters.retried == 1


def test_a_failed_interim_that_a_newer_job_covers_is_not_tried_again() -> None:
    policy = Policy()
    policy.submit(interim("a", 0, revision=1), now=0, deadline=0)
    policy.submit(interim("b", 0, revision=1), now=0, deadline=0)
    batch = policy.next_batch(0) or []
    policy.submit(interim("a", 0, revision=2), now=0, deadline=0)
    policy.submit(final("b", 0), now=0, deadline=0)
    assert policy.retry(batch) == []
    [ran] = [policy.next_batch(0) or []]
    assert sorted((ticket.job.stream, ticket.job.kind, ticket.job.revision) for ticket in ran) == [
        ("a", "interim", 2),
        ("b", "final", 1),
    ]


def test_a_job_told_to_run_alone_shares_no_batch_and_the_others_run_together() -> None:
    policy = Policy(max_wait_s=0)
    for stream in "abcd":
        policy.submit(final(stream), now=0, deadline=0)
    batch = policy.next_batch(0) or []
    policy.retry(batch[:2], alone=True)
    policy.complete(batch[2:])
    for stream in "cd":
        policy.submit(final(stream, 1), now=0, deadline=5)
    assert [[stream for stream, _, _ in names] for names in run_all(policy)] == [["a"], ["b"], ["c", "d"]]


def test_after_its_last_try_a_job_is_given_back() -> None:
    policy = Policy(max_tries=2)
    policy.submit(final("a"), now=0, deadline=0)
    assert policy.retry(policy.next_batch(0) or []) == []
    [given_up] = policy.retry(policy.next_batch(0) or [])
    assert given_up.job == final("a")
    assert policy.idle
    assert policy.counters.given_up == 1


def test_draining_all_hands_back_what_is_still_wanted_and_leaves_nothing() -> None:
    policy = Policy(max_batch=1)
    policy.submit(interim("c"), now=0, deadline=0)
    policy.submit(final("a"), now=0, deadline=0)
    policy.submit(final("b"), now=0, deadline=1)
    policy.next_batch(0)
    policy.cancel("a", 0)
    assert named(policy.drain_all()) == [("b", 0, "final"), ("c", 0, "interim")]
    assert policy.idle
    assert policy.queued() == 0


def test_counters_tell_occupancy_and_queue_delay() -> None:
    policy = Policy(max_batch=4, max_wait_s=0)
    policy.submit(final("a"), now=1.0, deadline=0)
    policy.submit(final("b"), now=1.5, deadline=0)
    policy.complete(policy.next_batch(2.0) or [])
    assert policy.counters.occupancy == 0.5
    assert list(policy.queue_delays_s) == [1.0, 0.5]


@pytest.mark.parametrize(
    "settings", [{"max_batch": 0}, {"max_finals_per_stream": 0}, {"max_tries": 0}, {"max_wait_s": -1}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Policy(**settings)
