"""When the client connects again, and when it gives up: with a clock and chances of the test's own."""

import pytest
from tympan_client import ConnectionLost, TympanError
from tympan_client.reconnect import STEADY_S, ReconnectPolicy, closed, leave_after_s

LOST = ConnectionLost("gone")


def policy(*chances: float, window_s: float = 60.0) -> ReconnectPolicy:
    """`chances` come one after the other, then 1.0 (the longest delay) for ever."""
    left = list(chances)
    return ReconnectPolicy(window_s, lambda: left.pop(0) if left else 1.0, base_s=0.2, cap_s=5.0)


def test_delays_double_up_to_the_cap() -> None:
    lost = policy()
    assert [lost.delay_s(LOST, 0.0) for _ in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_the_jitter_is_full() -> None:
    lost = policy(0.0, 0.5, 0.25)
    assert [lost.delay_s(LOST, 0.0) for _ in range(3)] == [0.0, 0.2, 0.2]


def test_the_server_says_how_long_to_wait_at_least() -> None:
    refusal = TympanError("overloaded", "full", retryable=True, retry_after_ms=2000)
    assert policy(0.5).delay_s(refusal, 0.0) == 2.1


def test_it_gives_up_when_the_window_is_over() -> None:
    lost = policy(window_s=10.0)
    assert lost.delay_s(LOST, 100.0) == 0.2
    assert lost.delay_s(LOST, 109.9) == pytest.approx(0.1)  # once more, at its end
    assert lost.delay_s(LOST, 110.0) is None


def test_it_does_not_wait_for_what_comes_after_the_window() -> None:
    refusal = TympanError("overloaded", "full", retryable=True, retry_after_ms=11_000)
    assert policy(window_s=10.0).delay_s(refusal, 0.0) is None


def test_without_a_window_there_is_no_second_attempt() -> None:
    assert policy(window_s=0.0).delay_s(LOST, 5.0) is None


@pytest.mark.parametrize("code", ["no_session", "taken_over", "unauthorized", "bad_audio", "bad_message", "internal"])
def test_what_will_not_change_is_not_tried_again(code: str) -> None:
    assert policy().delay_s(TympanError(code, "no"), 0.0) is None


def test_a_connection_that_held_begins_a_new_outage_when_it_is_lost() -> None:
    lost = policy(window_s=20.0)
    for _ in range(4):
        lost.delay_s(LOST, 0.0)
    lost.connected(5.0)
    assert lost.delay_s(LOST, 5.0 + STEADY_S) == 0.2
    assert lost.delay_s(LOST, 30.0) == 0.4  # inside its own window


def test_a_connection_that_breaks_at_once_goes_on_with_the_outage() -> None:
    """Else a session that no server can hold would be resumed for ever, without a pause."""
    lost = policy(window_s=20.0)
    for time_s in (0.0, 6.0, 12.0, 18.0):
        assert lost.delay_s(LOST, time_s)
        lost.connected(time_s + 1.0)
    assert lost.delay_s(LOST, 20.0) is None


def test_a_session_that_got_on_begins_a_new_outage_however_short_its_connections_are() -> None:
    """Else one that is lost every few seconds, and resumed each time, would be given up."""
    lost = policy(window_s=20.0)
    for time_s in range(0, 100, 5):
        assert lost.delay_s(LOST, float(time_s)) == 0.2
        lost.connected(time_s + 1.0)
        lost.acknowledged()


def test_clients_leave_a_server_over_half_of_the_time_it_gives() -> None:
    assert [leave_after_s(30_000, chance) for chance in (0.0, 0.5, 0.99)] == [0.0, 7.5, 14.85]


@pytest.mark.parametrize("code", [None, 1000, 1001, 1006, 1011, 1012, 1013])
def test_a_close_without_a_word_is_a_loss(code: int | None) -> None:
    assert isinstance(closed(code, ""), ConnectionLost)


@pytest.mark.parametrize(
    ("code", "reason", "retryable"),
    [(4409, "taken_over", False), (4429, "slow_reader", True), (4999, "news", False), (1009, "", False)],
)
def test_other_close_codes_are_fatal_unless_the_table_says_otherwise(code: int, reason: str, retryable: bool) -> None:
    error = closed(code, reason)
    assert (error.code, error.retryable) == (reason or "connection_lost", retryable)
    assert str(code) in error.message
