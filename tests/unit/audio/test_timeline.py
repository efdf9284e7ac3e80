import numpy as np
import pytest

from streaming.audio.formats import AudioFormatError
from streaming.audio.timeline import ChannelTimelines, GapFound, GapTooLongError, Placed
from streaming.protocol.messages import AudioFormat, SampleRate


def pcm(*values: int) -> bytes:
    return np.array(values, "<i2").tobytes()


def placed_values(events: list[Placed], channel: int = 0) -> list[int]:
    return [int(v) for e in events if e.channel == channel for v in e.pcm]


def test_messages_follow_each_other_on_the_clock() -> None:
    timelines = ChannelTimelines(AudioFormat())
    first, second = *timelines.receive(0, pcm(1, 2)), *timelines.receive(2, pcm(3))
    assert (first.first_sample, first.pcm.tolist()) == (0, [1, 2])
    assert (second.first_sample, second.pcm.tolist()) == (2, [3])
    assert timelines.expected_sample == timelines.position() == 3


def test_two_channels_come_apart_with_one_clock() -> None:
    events = ChannelTimelines(AudioFormat(channels=2)).receive(0, pcm(1, -1, 2, -2))
    assert placed_values(events, 0) == [1, 2]
    assert placed_values(events, 1) == [-1, -2]


def test_a_gap_is_found_and_silence_keeps_the_clock() -> None:
    timelines = ChannelTimelines(AudioFormat())
    timelines.receive(0, pcm(1, 2))
    assert timelines.gap_before(2) is None
    assert timelines.gap_before(1) is None
    assert timelines.gap_before(5) == GapFound(from_sample=2, to_sample=5, from_input=2, to_input=5)
    assert placed_values([*timelines.silence(3), *timelines.receive(5, pcm(6))]) == [0, 0, 0, 6]
    assert timelines.expected_sample == 6


def test_a_gap_at_another_rate_is_told_on_both_clocks() -> None:
    timelines = ChannelTimelines(AudioFormat(sample_rate=48000))
    timelines.receive(0, bytes(2 * 4800))
    assert timelines.gap_before(9600) == GapFound(from_sample=1600, to_sample=3200, from_input=4800, to_input=9600)


def test_a_gap_beyond_the_bound_is_refused_and_changes_nothing() -> None:
    timelines = ChannelTimelines(AudioFormat(sample_rate=8000))
    assert timelines.gap_before(60 * 8000) is not None
    with pytest.raises(GapTooLongError, match="at most 60 s"):
        timelines.gap_before(60 * 8000 + 1)
    assert timelines.expected_sample == 0


def test_audio_that_is_sent_again_counts_once() -> None:
    timelines = ChannelTimelines(AudioFormat())
    timelines.receive(0, pcm(1, 2, 3))
    assert timelines.receive(0, pcm(1, 2)) == []
    assert placed_values(timelines.receive(1, pcm(2, 3, 4))) == [4]
    assert timelines.expected_sample == 4


def test_bytes_that_are_no_samples_change_nothing() -> None:
    timelines = ChannelTimelines(AudioFormat())
    with pytest.raises(AudioFormatError):
        timelines.receive(0, b"abc")
    assert timelines.expected_sample == 0


def test_flushing_brings_every_channel_to_the_clock() -> None:
    timelines = ChannelTimelines(AudioFormat(sample_rate=44100, channels=2))
    timelines.receive(0, bytes(4 * 44100))
    held_back = 16000 - timelines.position(0)
    assert 0 < held_back < 400
    assert [(p.channel, len(p.pcm)) for p in timelines.flush()] == [(0, held_back), (1, held_back)]
    assert timelines.position(0) == timelines.position(1) == 16000


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_restored_timelines_go_on_to_the_bit(rate: SampleRate) -> None:
    samples = np.random.default_rng(rate).integers(-20_000, 20_000, 2 * rate).astype("<i2").tobytes()
    one, other = ChannelTimelines(AudioFormat(sample_rate=rate)), ChannelTimelines(AudioFormat(sample_rate=rate))
    cut = one.lookahead + rate // 2
    one.receive(0, samples[: 2 * cut])
    assert one.position() == 8_000
    other.restore(cut, 8_000, one.histories())
    for placed in zip(
        [*one.receive(cut, samples[2 * cut :]), *one.flush()],
        [*other.receive(cut, samples[2 * cut :]), *other.flush()],
        strict=True,
    ):
        assert placed[0].first_sample == placed[1].first_sample
        assert np.array_equal(placed[0].pcm, placed[1].pcm)


@pytest.mark.parametrize(("histories", "rate"), [([], 8000), ([b"abc"], 8000), ([bytes(4000)], 8000)])
def test_damaged_histories_are_refused(histories: list[bytes], rate: SampleRate) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        ChannelTimelines(AudioFormat(sample_rate=rate)).restore(0, 0, histories)
