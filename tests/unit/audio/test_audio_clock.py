import pytest

from streaming.audio import clock


def test_milliseconds_become_samples_and_back_rounded_down() -> None:
    assert clock.ms_to_samples(32) == 512
    assert clock.samples_to_ms(512) == 32
    assert clock.samples_to_ms(511) == 31


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
def test_an_hour_of_input_is_an_hour_on_the_clock_at_every_rate(rate: int) -> None:
    assert clock.input_to_clock(3600 * rate, rate) == 3600 * 16_000
    assert clock.clock_to_input(3600 * 16_000, rate) == 3600 * rate


def test_positions_between_two_ticks_round_down() -> None:
    assert clock.input_to_clock(2, 44100) == 0
    assert clock.input_to_clock(3, 44100) == 1
    assert clock.clock_to_input(1, 44100) == 2


def test_bytes_follow_the_encoding_and_the_channels() -> None:
    assert clock.frame_bytes("s16le", 2) == 4
    assert clock.frame_bytes("f32le", 1) == 4
    assert clock.frame_bytes("mulaw", 2) == 2
    assert clock.frame_bytes("alaw", 1) == 1
