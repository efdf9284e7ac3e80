import numpy as np
import pytest

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
