"""Audio that is kept until the server has it."""

import pytest
from tympan_client.ring import UnacknowledgedAudio


def test_it_is_bounded_in_samples() -> None:
    ring = UnacknowledgedAudio(10)
    ring.append(0, 8, b"a")
    assert ring.fits(2)
    assert not ring.fits(3)
    with pytest.raises(ValueError, match="do not fit"):
        ring.append(8, 3, b"b")


def test_a_chunk_is_kept_until_all_of_it_is_acknowledged() -> None:
    ring = UnacknowledgedAudio(10)
    ring.append(0, 4, b"a")
    ring.append(4, 4, b"b")
    ring.acknowledge(6)
    assert ring.since(0) == [(4, b"b")]
    ring.acknowledge(8)
    assert ring.held_samples == 0


def test_chunks_follow_one_another() -> None:
    ring = UnacknowledgedAudio(10)
    ring.append(0, 4, b"a")
    with pytest.raises(ValueError, match="begins at 5"):
        ring.append(5, 1, b"b")
