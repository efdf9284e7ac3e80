"""Audio and commands that are kept until the server has them."""

import pytest
from tympan_client.commands import Command, UnacknowledgedCommands
from tympan_client.ring import UnacknowledgedAudio


def test_it_is_bounded_in_samples() -> None:
    ring = UnacknowledgedAudio(10)
    ring.append(8, b"a")
    assert ring.fits(2)
    assert not ring.fits(3)
    with pytest.raises(ValueError, match="do not fit"):
        ring.append(3, b"b")


def test_a_chunk_is_kept_until_all_of_it_is_acknowledged() -> None:
    ring = UnacknowledgedAudio(10)
    ring.append(4, b"a")
    ring.append(4, b"b")
    ring.acknowledge(6)
    assert ring.chunk_at(0) == (4, 8, b"b")
    ring.acknowledge(8)
    assert (ring.held_samples, ring.first_sample, ring.chunk_at(0)) == (0, 8, None)


@pytest.mark.parametrize(("sample", "chunk"), [(0, b"a"), (3, b"a"), (4, b"b"), (11, b"c"), (12, None)])
def test_the_chunk_that_comes_next_is_found(sample: int, chunk: bytes | None) -> None:
    ring = UnacknowledgedAudio(20)
    for data in (b"a", b"b", b"c"):
        ring.append(4, data)
    found = ring.chunk_at(sample)
    assert (found and found[2]) == chunk


def test_dropping_makes_room_at_the_old_end() -> None:
    ring = UnacknowledgedAudio(8)
    ring.append(4, b"a")
    ring.append(4, b"b")
    ring.drop_oldest()
    ring.append(4, b"c")
    assert [ring.first_sample, ring.chunk_at(0), ring.chunk_at(8)] == [4, (4, 8, b"b"), (8, 12, b"c")]


def test_commands_are_counted_over_the_session() -> None:
    commands = UnacknowledgedCommands(capacity=3)
    for place in range(3):
        commands.append(Command(place, b""))
    assert commands.is_full
    commands.acknowledge(2)
    assert commands.numbered(1) is None
    assert commands.numbered(2) == Command(2, b"")
    assert commands.numbered(3) is None


def test_commands_line_up_with_a_server_that_has_fewer_than_were_forgotten() -> None:
    commands = UnacknowledgedCommands(capacity=3)
    for place in range(3):
        commands.append(Command(place, b""))
    commands.drop_oldest()
    commands.line_up(0)
    assert commands.numbered(0) == Command(1, b"")
