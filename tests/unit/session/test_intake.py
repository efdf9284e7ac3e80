"""Messages become placed samples in pieces of half a second."""

import numpy as np
import pytest

from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Audio, AudioFormat
from streaming.session.intake import Intake


def test_a_long_message_is_worked_off_in_pieces_and_nothing_is_changed() -> None:
    samples = np.arange(20_000, dtype=np.int16)
    intake = Intake(AudioFormat())
    intake.put(Audio(first_sample=0, data=samples.tobytes()))
    taken = []
    while intake.busy:
        assert intake.place_next() is None
        assert intake.available <= 8_000
        assert intake.place_next() is None, "the next piece waits until this one is taken"
        taken += [intake.take(0, 100), intake.take(0, intake.available)]
    assert np.array_equal(np.concatenate(taken), samples)


def test_channels_are_taken_side_by_side() -> None:
    stereo = np.stack([np.arange(1_000), -np.arange(1_000)], axis=1).astype("<i2")
    intake = Intake(AudioFormat(channels=2))
    intake.put(Audio(first_sample=0, data=stereo.tobytes()))
    intake.place_next()
    assert intake.take(0, 600)[-1] == 599
    assert intake.available == 400
    assert intake.take(1, 600)[-1] == -599
    assert intake.expected_sample == 1_000


def test_a_gap_is_found_with_the_piece_after_it() -> None:
    intake = Intake(AudioFormat(sample_rate=8000))
    intake.put(Audio(first_sample=4_000, data=bytes(2)))
    gap = intake.place_next()
    assert gap is not None
    assert (gap.from_input, gap.to_input, gap.to_sample) == (0, 4_000, 8_000)


def test_a_torn_message_is_refused_whole_and_one_too_far_ahead_drops_the_line() -> None:
    intake = Intake(AudioFormat())
    with pytest.raises(ProtocolError, match="multiple of 2 bytes"):
        intake.put(Audio(first_sample=0, data=bytes(16_001)))
    assert not intake.busy
    intake.put(Audio(first_sample=10_000_000, data=bytes(40_000)))
    with pytest.raises(ProtocolError, match="60 s"):
        intake.place_next()
    assert not intake.busy


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
def test_at_each_half_second_nothing_is_left_over(rate: int) -> None:
    """Not where a message ends, but where all that is needed for the half second is there; also in a gap."""
    intake = Intake(AudioFormat(sample_rate=rate))  # type: ignore[arg-type]
    intake.put(Audio(first_sample=0, data=bytes(2 * 3 * rate)))
    intake.put(Audio(first_sample=5 * rate + 7, data=bytes(2 * rate)))
    position, ends = 0, []
    while intake.busy:
        intake.place_next()
        position += len(intake.take(0, intake.available)) if intake.available else 0
        if position % 8_000 == 0:
            ends.append((position, intake.state().expected_sample))
    lookahead = ends[0][1] - (rate // 2 if ends[0][0] else 0)
    assert 0 <= lookahead < rate * 0.01
    first = ends[0][0] // 8_000
    assert ends == [(n * 8_000, n * (rate // 2) + lookahead) for n in range(first, first + len(ends))]


def test_a_gap_is_filled_piece_by_piece_and_counts_as_received() -> None:
    intake = Intake(AudioFormat())
    intake.put(Audio(first_sample=20_000, data=bytes(2)))
    assert intake.place_next() is not None
    assert (intake.available, intake.expected_sample) == (8_000, 20_000)
    intake.take(0, 8_000)
    other = Intake(AudioFormat())
    other.restore(intake.state(), 8_000)
    lengths = []
    while other.busy:
        assert other.place_next() is None, "it was told"
        lengths.append(len(other.take(0, other.available)))
    assert lengths == [8_000, 4_000]
    assert other.expected_sample == 20_000
