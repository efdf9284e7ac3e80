"""However the samples are cut, the same segments come out, with the real detectors and with a scripted one."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vad import (
    FRAME_SAMPLES,
    DetectorName,
    EndpointSettings,
    SegmentEnded,
    Segmenter,
    SegmentEvent,
    SegmentPaused,
    SegmentResumed,
    SegmentStarted,
    SpeechDetector,
    make_detector,
)


class LoudnessDetector:
    """The share of samples louder than 500."""

    frame_samples = FRAME_SAMPLES

    def probability(self, frame: NDArray[np.int16]) -> float:
        return float(np.mean(frame > 500))

    def reset(self) -> None: ...

    def state(self) -> bytes:
        return b""

    def restore(self, state: bytes, recent: NDArray[np.int16]) -> None: ...


pieces = st.lists(st.tuples(st.integers(1, 40_000), st.sampled_from([0, 501, 9000])), min_size=1, max_size=12)
end_settings = st.builds(
    EndpointSettings,
    min_speech_ms=st.integers(0, 200),
    min_silence_ms=st.integers(100, 1500),
    max_utterance_ms=st.integers(2000, 5000),
    no_speech_ms=st.sampled_from([0, 500]),
    pre_roll_ms=st.integers(0, 1000),
    pad_ms=st.integers(0, 1000),
)


def sound(parts: list[tuple[int, int]]) -> NDArray[np.int16]:
    return np.concatenate([np.full(length, level, np.int16) for length, level in parts])


def segments(
    endpointing: EndpointSettings, detector: SpeechDetector, pcm: NDArray[np.int16], cuts: list[int], commands: set[int]
) -> list[SegmentEvent]:
    """`finalize` comes at the positions of `commands`."""
    cutter = Segmenter(endpointing, detector)
    events: list[SegmentEvent] = []
    for first, until in pairwise(sorted({0, len(pcm), *commands, *cuts})):
        events += cutter.feed(pcm[first:until])
        if until in commands:
            events += cutter.finish("finalize")
    return events + cutter.finish("stop")


def split_points(data: st.DataObject, length: int) -> list[int]:
    return data.draw(st.lists(st.integers(0, length), max_size=10))


@given(parts=pieces, endpointing=end_settings, data=st.data())
@settings(max_examples=80, deadline=None)
def test_any_split_gives_the_same_events(
    parts: list[tuple[int, int]], endpointing: EndpointSettings, data: st.DataObject
) -> None:
    pcm = sound(parts)
    commands = set(data.draw(st.lists(st.integers(1, len(pcm)), max_size=2)))
    whole = segments(endpointing, LoudnessDetector(), pcm, [], commands)
    assert segments(endpointing, LoudnessDetector(), pcm, split_points(data, len(pcm)), commands) == whole


@given(parts=pieces, endpointing=end_settings, data=st.data())
@settings(max_examples=80, deadline=None)
def test_what_is_decided_about_speech_stays(
    parts: list[tuple[int, int]], endpointing: EndpointSettings, data: st.DataObject
) -> None:
    pcm = sound(parts)
    commands = set(data.draw(st.lists(st.integers(1, len(pcm)), max_size=2)))
    cutter = Segmenter(endpointing, LoudnessDetector())
    decided = 0
    for first, until in pairwise(sorted({0, len(pcm), *commands, *split_points(data, len(pcm))})):
        told = cutter.feed(pcm[first:until]) + (cutter.finish("finalize") if until in commands else [])
        edges = [event.onset_sample for event in told if isinstance(event, SegmentStarted)]
        edges += [event.offset_sample for event in told if isinstance(event, SegmentEnded)]
        splits = {edge for edge in edges if edges.count(edge) == 2}
        # A command amid speech ends it at a place that no whole frame reaches: what goes on begins in that frame.
        assert all(edge >= decided or edge in splits for edge in edges)
        assert decided - FRAME_SAMPLES < cutter.decided_until <= until
        decided = cutter.decided_until


@given(parts=pieces, endpointing=end_settings, data=st.data())
@settings(max_examples=80, deadline=None)
def test_segments_lie_on_the_grid_in_order_and_within_their_bounds(
    parts: list[tuple[int, int]], endpointing: EndpointSettings, data: st.DataObject
) -> None:
    pcm = sound(parts)
    commands = set(data.draw(st.lists(st.integers(1, len(pcm)), max_size=2)))
    last_end, open_start, at, expected_end = 0, None, 0, None
    for event in segments(endpointing, LoudnessDetector(), pcm, [], commands):
        assert at <= event.at_sample <= len(pcm)
        at = event.at_sample
        match event:
            case SegmentStarted():
                assert open_start is None
                assert last_end <= event.start_sample <= event.at_sample
                assert event.start_sample % 320 == 0
                open_start = event.start_sample
            case SegmentPaused():
                assert open_start is not None
                assert expected_end is None
                expected_end = event.end_sample
            case SegmentResumed():
                assert expected_end is not None
                expected_end = None
            case SegmentEnded():
                assert event.start_sample == open_start
                assert expected_end in (None, event.end_sample), "a pause names the end, unless speech goes on"
                expected_end = None
                assert event.end_sample % 320 == 0
                assert event.start_sample < event.end_sample <= event.at_sample
                assert event.end_sample - event.start_sample <= endpointing.max_utterance_ms * 16
                last_end, open_start = event.end_sample, None
    assert open_start is None


@pytest.mark.parametrize("name", ["webrtc", "silero", "cascade"])
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_any_split_gives_the_same_events_with_the_real_detectors(name: DetectorName, data: st.DataObject) -> None:
    """Bursts of a buzz with moving formants: voice enough for both detectors to come and go."""
    pcm = voice_like(3.0)
    endpointing = EndpointSettings(detector=name, threshold=0.3, min_silence_ms=200)
    whole = segments(endpointing, make_detector(name), pcm, [], set())
    assert whole
    assert segments(endpointing, make_detector(name), pcm, split_points(data, len(pcm)), set()) == whole


def voice_like(seconds: float) -> NDArray[np.int16]:
    t = np.arange(int(seconds * 16_000)) / 16_000
    pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 1.5 * t)) / 16_000
    first = 600 + 200 * np.sin(2 * np.pi * 4 * t)
    harmonics = [
        np.sin(k * pitch) * (np.exp(-(((120 * k - first) / 200) ** 2)) + 0.5 * np.exp(-(((120 * k - 1600) / 250) ** 2)))
        for k in range(1, 30)
    ]
    syllables = np.clip(np.sin(2 * np.pi * 3 * t), 0, 1) * (np.sin(2 * np.pi * 0.7 * t) > -0.3)
    voice = np.sum(harmonics, axis=0) * syllables
    return (8000 * voice / np.abs(voice).max()).astype(np.int16)
