"""A detector or segmenter that goes on from another one's state answers as that one would have."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import vad.silero
import vad.webrtc
from tests.support.clips import read_clip
from vad import BadStateError, DetectorName, EndpointSettings, Segmenter, SegmentEvent, SpeechDetector, make_detector
from vad.detector import RECENT_FRAMES

FRAME = 512
NAMES: list[DetectorName] = ["webrtc", "silero", "cascade"]


@lru_cache(maxsize=1)
def sound() -> NDArray[np.int16]:
    """Speech between quiet noise: the cascade wakes and sleeps."""
    quiet = np.random.default_rng(0).integers(-15, 15, 50 * FRAME).astype(np.int16)
    speech = read_clip("prose.flac")[0]
    return np.concatenate([quiet, speech[: 120 * FRAME], quiet, quiet, speech[-100 * FRAME :], quiet])


def frames(first: int = 0) -> list[NDArray[np.int16]]:
    return list(sound().reshape(-1, FRAME)[first:])


def recent(until: int) -> NDArray[np.int16]:
    """The newest frames before a frame."""
    return sound()[max(0, until - RECENT_FRAMES) * FRAME : until * FRAME]


def probabilities(detector: SpeechDetector, heard: list[NDArray[np.int16]]) -> list[float]:
    return [detector.probability(frame) for frame in heard]


@pytest.mark.parametrize("name", NAMES)
def test_the_answers_are_the_same_wherever_it_is_cut(name: DetectorName) -> None:
    whole = probabilities(make_detector(name), frames())
    assert len(set(whole)) > 2
    detector = make_detector(name)
    answers = []
    for at, frame in enumerate(frames()):
        if at % 3 == 0:
            state, detector = detector.state(), make_detector(name)
            detector.restore(state, recent(at))
        answers.append(detector.probability(frame))
    assert answers == whole


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_small_and_does_not_change_with_its_detector(name: DetectorName) -> None:
    detector = make_detector(name)
    probabilities(detector, frames()[:100])
    state = detector.state()
    rest = probabilities(detector, frames(100))
    again = make_detector(name)
    again.restore(state, recent(100))
    assert probabilities(again, frames(100)) == rest
    assert len(state) < 2_048


@pytest.mark.parametrize("name", NAMES)
def test_with_another_version_of_its_library_it_begins_anew_and_hears_what_came_before(
    name: DetectorName, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = make_detector(name)
    probabilities(detector, frames()[:120])
    state = detector.state()
    monkeypatch.setattr(vad.webrtc, "_installed_version", lambda: "9.9")
    monkeypatch.setattr(vad.silero, "_made_by", lambda: "silero-vad 9.9")
    again = make_detector(name)
    again.restore(state, recent(120))
    assert max(probabilities(again, frames(120)[:40])) > 0.5
    assert len(again.state()) < len(state) or name == "silero", "a structure that is not known is not copied"
    other = make_detector(name)
    other.restore(again.state(), recent(160))


def test_the_copied_structure_is_the_librarys() -> None:
    """An initialised instance has 42 in its last field (webrtc_vad.c, kInitCheck), and the mode's thresholds before."""
    detector = vad.webrtc.WebrtcDetector(3)
    core = vad.webrtc._VadInst.from_buffer_copy(
        ctypes.string_at(detector._address(), ctypes.sizeof(vad.webrtc._VadInst))
    )
    assert core.init_flag == 42
    assert list(core.total) == [1100, 1050, 1100]  # vad_core.c, kGlobalThresholdVAG
    assert core.frame_counter == 0
    probabilities(detector, frames()[120:140])
    core = vad.webrtc._VadInst.from_buffer_copy(
        ctypes.string_at(detector._address(), ctypes.sizeof(vad.webrtc._VadInst))
    )
    assert core.frame_counter == 20 * FRAME // 160


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(max_size=40), cut=st.integers(0, 3_000))
@settings(max_examples=40, deadline=None)
def test_what_is_no_state_is_refused(name: DetectorName, data: bytes, cut: int) -> None:
    detector = make_detector(name)
    state = detector.state()
    for damaged in (data, state[: cut % len(state)]):
        with pytest.raises(BadStateError):
            detector.restore(damaged, recent(0))


@pytest.mark.parametrize("name", ["webrtc", "cascade"])
def test_audio_that_is_not_there_is_told(name: DetectorName) -> None:
    detector = make_detector(name)
    probabilities(detector, frames()[:8])
    with pytest.raises(BadStateError):
        make_detector(name).restore(detector.state(), sound()[:0])


def test_a_state_of_another_size_or_mode_is_refused() -> None:
    made_by, core, waiting = msgspec.msgpack.decode(vad.webrtc.WebrtcDetector(1).state())
    for damaged in (core[:-4], core[:-4] + bytes(4)):
        with pytest.raises(BadStateError, match="size or mode"):
            vad.webrtc.WebrtcDetector(1).restore(msgspec.msgpack.encode([made_by, damaged, waiting]), recent(0))
    made_by, network, context = msgspec.msgpack.decode(make_detector("silero").state())
    for state in ([made_by, network[:-4], context], [made_by, network, context[:-2]]):
        with pytest.raises(BadStateError, match="size"):
            make_detector("silero").restore(msgspec.msgpack.encode(state), recent(0))


@pytest.mark.parametrize("name", NAMES)
@given(cuts=st.sets(st.integers(1, 300 * FRAME), max_size=12), longest_ms=st.sampled_from([2_000, 28_000]))
@settings(max_examples=8, deadline=None)
def test_a_segmenter_goes_on_between_any_two_samples(name: DetectorName, cuts: set[int], longest_ms: int) -> None:
    endpointing = EndpointSettings(detector=name, min_silence_ms=400, max_utterance_ms=longest_ms, no_speech_ms=900)
    whole = Segmenter(endpointing, make_detector(name)).feed(sound())
    assert whole
    segmenter = Segmenter(endpointing, make_detector(name))
    events: list[SegmentEvent] = []
    for first, until in pairwise(sorted({0, *cuts, len(sound())})):
        events += segmenter.feed(sound()[first:until])
        state, needed = segmenter.state(), sound()[segmenter.recent_from : until]
        segmenter = Segmenter(endpointing, make_detector(name))
        segmenter.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=type(state)), needed)
    assert events == whole


def test_a_segmenters_state_that_contradicts_itself_is_refused() -> None:
    segmenter = Segmenter(EndpointSettings(), make_detector("webrtc"))
    segmenter.feed(sound()[:1_000])
    state = segmenter.state()
    for damaged, audio in (
        (msgspec.structs.replace(state, position=2_000), sound()[:2_000]),
        (msgspec.structs.replace(state, loudness=b"abc"), sound()[:1_000]),
        (state, sound()[:100]),
    ):
        with pytest.raises(BadStateError):
            Segmenter(EndpointSettings(), make_detector("webrtc")).restore(damaged, audio)
