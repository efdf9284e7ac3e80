"""The segmenter with a scripted detector: samples louder than 500 are speech, 32 ms a frame."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from vad import (
    EndpointSettings,
    NoSpeech,
    SegmentEnded,
    Segmenter,
    SegmentEvent,
    SegmentPaused,
    SegmentResumed,
    SegmentStarted,
)

FRAME = 512
SECOND_FRAMES = 31  # 0.992 s
SETTINGS = EndpointSettings(
    min_speech_ms=96, min_silence_ms=320, max_utterance_ms=4_000, no_speech_ms=0, pre_roll_ms=100, pad_ms=100
)


class LoudnessDetector:
    frame_samples = FRAME

    def probability(self, frame: NDArray[np.int16]) -> float:
        return float(np.mean(frame > 500))

    def reset(self) -> None: ...

    def state(self) -> bytes:
        return b""

    def restore(self, state: bytes, recent: NDArray[np.int16]) -> None: ...


def audio(*pieces: tuple[int, int]) -> NDArray[np.int16]:
    """(frames, level) after each other."""
    return np.concatenate([np.full(frames * FRAME, level, np.int16) for frames, level in pieces])


def segmenter(settings: EndpointSettings = SETTINGS, origin_sample: int = 0) -> Segmenter:
    return Segmenter(settings, LoudnessDetector(), origin_sample)


def ended(events: list[SegmentEvent]) -> list[SegmentEnded]:
    return [event for event in events if isinstance(event, SegmentEnded)]


def test_speech_between_silences_becomes_one_segment_with_pre_roll_and_padding() -> None:
    """Onset 10 * 512 = 5120, less 1600 is 3520 = 11 * 320. Offset 20 * 512 = 10240, and 1600 is 11840 = 37 * 320."""
    events = segmenter().feed(audio((10, 0), (10, 900), (20, 0)))
    assert events == [
        SegmentStarted(start_sample=3520, onset_sample=5120, at_sample=13 * FRAME),
        SegmentPaused(end_sample=11840, offset_sample=10240, at_sample=24 * FRAME),
        SegmentEnded(start_sample=3520, end_sample=11840, offset_sample=10240, at_sample=30 * FRAME, rule="silence"),
    ]


def test_a_short_pause_does_not_end_the_segment() -> None:
    (end,) = ended(segmenter().feed(audio((10, 900), (9, 0), (10, 900), (20, 0))))
    assert end.offset_sample == 29 * FRAME


def test_speech_that_resumes_just_before_the_endpoint_holds_it_off() -> None:
    """Two frames of speech after nine of silence are not confirmed yet when ten frames have passed, but then are."""
    (end,) = ended(segmenter().feed(audio((10, 900), (9, 0), (3, 900), (20, 0))))
    assert end.offset_sample == 22 * FRAME


def test_a_segment_pauses_after_a_share_of_the_silence_that_ends_it_and_resumes_with_speech() -> None:
    """0.4 of it is four frames. Speech is confirmed by its third frame. The second pause is the end."""
    events = segmenter().feed(audio((10, 900), (9, 0), (10, 900), (20, 0)))
    assert events[1:-1] == [
        SegmentPaused(end_sample=6_720, offset_sample=5_120, at_sample=14 * FRAME),
        SegmentResumed(at_sample=22 * FRAME),
        SegmentPaused(end_sample=16_640, offset_sample=14_848, at_sample=33 * FRAME),
    ]
    assert ended(events)[0].end_sample == 16_640


def test_a_click_in_the_pause_is_no_resumption() -> None:
    events = segmenter().feed(audio((10, 900), (6, 0), (2, 900), (20, 0)))
    assert [type(event) for event in events] == [SegmentStarted, SegmentPaused, SegmentEnded]


def test_a_pause_is_said_only_once_all_of_the_padding_is_there() -> None:
    """Of 320 ms of silence 280 are kept: nine frames are enough for that, and ten end the segment."""
    settings = EndpointSettings(min_speech_ms=96, min_silence_ms=320, pad_ms=280)
    events = segmenter(settings).feed(audio((10, 900), (20, 0)))
    paused, end = events[1:]
    assert isinstance(paused, SegmentPaused)
    assert isinstance(end, SegmentEnded)
    assert (paused.at_sample, end.at_sample) == (19 * FRAME, 20 * FRAME)
    assert paused.end_sample == end.end_sample


def test_a_segment_whose_padding_is_as_long_as_its_silence_does_not_pause() -> None:
    events = segmenter(EndpointSettings(min_silence_ms=320, pad_ms=400)).feed(audio((10, 900), (20, 0)))
    assert [type(event) for event in events] == [SegmentStarted, SegmentEnded]


def test_a_click_in_the_silence_does_not_hold_off_the_endpoint_for_good() -> None:
    (end,) = ended(segmenter().feed(audio((10, 900), (9, 0), (2, 900), (20, 0))))
    assert (end.offset_sample, end.at_sample) == (10 * FRAME, 22 * FRAME)


def test_the_pre_roll_never_reaches_into_the_segment_before() -> None:
    settings = EndpointSettings(min_silence_ms=100, pre_roll_ms=2_000, pad_ms=100)
    first, second = ended(segmenter(settings).feed(audio((10, 900), (8, 0), (10, 900), (20, 0))))
    assert second.start_sample == first.end_sample


def test_the_pre_roll_never_reaches_before_the_origin() -> None:
    start = segmenter(origin_sample=32_000).feed(audio((5, 900)))[0]
    assert start == SegmentStarted(start_sample=32_000, onset_sample=32_000, at_sample=32_000 + 3 * FRAME)


def test_a_segment_that_grows_too_long_is_split_at_the_quietest_point_near_its_end() -> None:
    """4 s are 64000 samples: the last third begins at 42667. Quieter speech lies at frames 100 to 106, around 52736."""
    events = segmenter().feed(audio((100, 9000), (6, 600), (60, 9000), (20, 0)))
    first, second = ended(events)
    assert first.rule == "max_length"
    assert 100 * FRAME <= first.end_sample <= 106 * FRAME
    assert first.end_sample % 320 == 0
    assert second.start_sample == first.end_sample
    assert second.rule == "silence"
    assert [type(event) for event in events if not isinstance(event, SegmentPaused)] == [
        SegmentStarted,
        SegmentEnded,
        SegmentStarted,
        SegmentEnded,
    ]


def test_of_points_equally_quiet_the_latest_is_taken() -> None:
    first, *_ = ended(segmenter().feed(audio((200, 9000))))
    assert 64_000 - 5 * FRAME < first.end_sample <= 64_000


def test_a_segment_is_not_split_when_nobody_spoke_behind_the_quietest_point() -> None:
    """Speech ends 300 ms before the maximum: the rest is silence, which makes no segment of its own."""
    (end,) = ended(segmenter().feed(audio((116, 900), (60, 0))))
    assert (end.rule, end.offset_sample) == ("max_length", 116 * FRAME)
    assert end.offset_sample < end.end_sample <= end.at_sample


def test_the_longer_a_segment_is_the_shorter_is_the_pause_that_ends_it() -> None:
    """Of the longest segment 0.6, 0.75 and 0.85 are passed: 0.5, 0.32 and 0.2 of the usual silence are enough."""
    longest, usual = 4_000 * 16, SETTINGS.min_silence_ms * 16
    for share, pause in ((0.3, 1.0), (0.62, 0.5), (0.77, 0.32), (0.87, 0.2)):
        spoken = int(longest * share) // FRAME
        (end,) = ended(segmenter().feed(audio((spoken, 9000), (60, 0))))
        assert end.offset_sample == spoken * FRAME
        assert usual * pause <= end.at_sample - end.offset_sample < usual * pause + FRAME
        assert end.rule == ("silence" if pause == 1.0 else "max_length")


def test_endless_speech_is_cut_without_losing_a_sample() -> None:
    cutter = segmenter()
    parts = ended(cutter.feed(audio((2_000, 9000))) + cutter.finish("stop"))
    assert parts[0].start_sample == 0
    assert parts[-1].end_sample == 2_000 * FRAME // 320 * 320
    assert all(one.end_sample == other.start_sample for one, other in pairwise(parts))
    assert max(part.end_sample - part.start_sample for part in parts) <= 64_000


def test_finishing_in_speech_takes_all_audio_up_to_now_with_the_partial_frame() -> None:
    cutter = segmenter()
    cutter.feed(audio((10, 900)))
    cutter.feed(np.full(400, 900, np.int16))
    (end,) = ended(cutter.finish("finalize"))
    assert (end.end_sample, end.offset_sample, end.at_sample) == (5_440, 5_520, 5_520)
    assert end.rule == "finalize"
    assert cutter.open_segment is None


def test_speech_that_goes_on_after_finishing_begins_where_the_last_segment_ended() -> None:
    cutter = segmenter()
    cutter.feed(audio((10, 900)))
    (first,) = ended(cutter.finish("finalize"))
    (started,) = cutter.feed(audio((5, 900)))
    assert isinstance(started, SegmentStarted)
    assert started.start_sample == first.end_sample


def test_finishing_in_trailing_silence_keeps_only_the_padding() -> None:
    cutter = segmenter()
    cutter.feed(audio((10, 900), (8, 0)))
    (end,) = ended(cutter.finish("stop"))
    assert (end.offset_sample, end.end_sample, end.at_sample) == (5_120, 6_720, 18 * FRAME)


def test_finishing_without_a_segment_says_nothing() -> None:
    cutter = segmenter()
    cutter.feed(audio((10, 0)))
    assert cutter.finish("stop") == []


def test_long_silence_is_said_once_until_somebody_speaks() -> None:
    cutter = segmenter(EndpointSettings(no_speech_ms=1_000, min_silence_ms=320))
    events = cutter.feed(audio((100, 0), (10, 900), (100, 0)))
    assert [event.at_sample for event in events if isinstance(event, NoSpeech)] == [32 * FRAME, (110 + 32) * FRAME]


def test_new_settings_apply_from_the_next_frame_on() -> None:
    cutter = segmenter()
    cutter.feed(audio((10, 900), (5, 0)))
    cutter.reconfigure(EndpointSettings(min_silence_ms=160))
    (end,) = ended(cutter.feed(audio((1, 0))))
    assert end.at_sample == 16 * FRAME


def test_a_maximum_lowered_under_the_open_segment_splits_it_into_parts_of_at_most_that() -> None:
    cutter = segmenter(EndpointSettings(max_utterance_ms=29_000))
    cutter.feed(audio((700, 9000)))
    cutter.reconfigure(EndpointSettings(max_utterance_ms=2_000))
    parts = ended(cutter.feed(audio((1, 9000))))
    assert len(parts) > 10
    assert max(part.end_sample - part.start_sample for part in parts) <= 32_000


def test_audio_that_no_segment_can_reach_any_more_may_be_forgotten() -> None:
    cutter = segmenter()
    cutter.feed(audio((100, 0)))
    assert cutter.keep_from == (100 * FRAME - 1_600) // 320 * 320
    cutter.feed(audio((10, 900)))
    assert cutter.open_segment is not None
    assert cutter.keep_from == cutter.open_segment.start_sample


def test_a_longer_pre_roll_does_not_reach_what_may_be_forgotten() -> None:
    cutter = segmenter()
    cutter.feed(audio((100, 0)))
    kept = cutter.keep_from
    cutter.reconfigure(EndpointSettings(pre_roll_ms=2_000))
    start = cutter.feed(audio((5, 900)))[0]
    assert isinstance(start, SegmentStarted)
    assert start.start_sample == kept


def test_a_segmenter_begins_on_the_grid() -> None:
    with pytest.raises(ValueError, match="multiple of 320"):
        segmenter(origin_sample=100)
