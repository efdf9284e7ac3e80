import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.audio.ring import NotHeldError, PcmRing, RingFullError


def count(first: int, until: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.arange(first, until).astype(np.int16)


def test_samples_are_read_by_their_position_across_the_seam() -> None:
    ring = PcmRing(10, first_sample=100)
    ring.append(count(100, 108))
    ring.trim(105)
    ring.append(count(108, 114))
    assert (ring.start, ring.end, len(ring)) == (105, 114, 9)
    assert ring.read(106, 113).tolist() == list(range(106, 113))
    assert ring.read_bytes(113, 114) == b"\x71\x00"


def test_a_full_ring_refuses_and_stays_as_it_was() -> None:
    ring = PcmRing(10)
    ring.append(count(0, 8))
    with pytest.raises(RingFullError, match="8 of 10"):
        ring.append(count(8, 11))
    assert ring.read(0, 8).tolist() == list(range(8))


@pytest.mark.parametrize(("first", "until"), [(1, 4), (4, 9), (7, 6)])
def test_what_is_not_held_cannot_be_read(first: int, until: int) -> None:
    ring = PcmRing(10)
    ring.append(count(0, 8))
    ring.trim(3)
    with pytest.raises(NotHeldError):
        ring.read(first, until)


def test_trimming_is_bounded_by_what_is_held() -> None:
    ring = PcmRing(10)
    ring.append(count(0, 8))
    ring.trim(100)
    assert (ring.start, ring.end) == (8, 8)
    ring.trim(2)
    assert ring.start == 8
    assert len(ring.read(8, 8)) == 0


def test_what_was_read_does_not_change_with_the_ring() -> None:
    ring = PcmRing(4)
    ring.append(count(0, 4))
    read = ring.read(0, 4)
    ring.trim(4)
    ring.append(count(50, 54))
    assert read.tolist() == [0, 1, 2, 3]


def test_a_ring_needs_room() -> None:
    with pytest.raises(ValueError, match="at least one"):
        PcmRing(0)


@settings(deadline=None)
@given(
    st.integers(1, 200_000),
    st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 70_000)), max_size=12),
)
def test_whatever_is_appended_and_trimmed_the_rest_is_held_in_no_more_memory_than_it_takes(
    capacity: int, turns: list[tuple[int, int]]
) -> None:
    ring, held, end = PcmRing(capacity), np.zeros(0, np.int16), 0
    for samples, given_up in turns:
        pcm = count(end, end + samples)
        if len(held) + samples <= capacity:
            ring.append(pcm)
            held, end = np.concatenate((held, pcm)), end + samples
        ring.trim(end - len(held) + given_up)
        held = held[min(given_up, len(held)) :]
        assert np.array_equal(ring.read(ring.start, ring.end), held)
        assert ring.nbytes <= max(2 * 17_408, 16 * 2 * len(held))


def test_after_a_long_utterance_the_memory_is_given_back() -> None:
    ring = PcmRing(960_000)
    ring.append(count(0, 400_000))
    ring.trim(399_000)
    assert ring.nbytes < 100_000
    assert ring.read(399_000, 400_000).tolist() == count(399_000, 400_000).tolist()
