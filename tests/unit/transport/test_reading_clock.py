"""What a client is given time for, and what it is not."""

import pytest

from streaming.transport.reading_clock import ReadingClock


class Hand:
    at = 100.0

    def __call__(self) -> float:
        return self.at


def test_time_passes_while_the_client_is_listened_to() -> None:
    hand = Hand()
    clock = ReadingClock(hand)
    assert clock() == 100.0
    hand.at = 112.0
    assert clock() == 112.0


def test_it_stands_still_while_the_client_is_made_to_wait() -> None:
    """A minute of audio at once may take a minute to work off; nobody was silent in that time."""
    hand = Hand()
    clock = ReadingClock(hand)
    with clock.stopped():
        hand.at = 160.0
        assert clock() == 100.0
    assert clock() == 100.0
    hand.at = 165.0
    assert clock() == 105.0


def test_it_goes_on_after_an_error() -> None:
    hand = Hand()
    clock = ReadingClock(hand)

    def fail() -> None:
        with clock.stopped():
            hand.at = 101.0
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        fail()
    hand.at = 103.0
    assert clock() == 102.0
