"""However the samples are cut, and wherever a detector is saved and restored, the same tones are heard."""

from functools import cache
from itertools import pairwise

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.tagging.tones import ToneDetector, ToneEvent, ToneState
from tests.support.clips import read_clip
from tests.support.tones import cadence, key, noisy, pcm, silence, tone

MS = 16
PIECES = {
    "keys": np.concatenate([key("4", 47), silence(43), key("#", 90, twist_db=-7), silence(9), key("#", 90)]),
    "noisy key": noisy(key("a".upper(), 120), 10),
    "reorder": cadence((480, 620), (250, 250), 1),
    "busy": cadence((400,), (375, 375), 1.2),
    "dial tone": tone((350, 440), 700),
    "sit": np.concatenate([tone([913.8], 276), tone([1428.5], 380), tone([1776.7], 380)]),
    "beep": np.concatenate([silence(100), tone([1000], 250), silence(900)]),
    "reversals": tone([2100], 400) * np.repeat([1, -1], 200 * MS),
    "silence": silence(313),
}


@cache
def voice() -> NDArray[np.float64]:
    return read_clip("numbers.flac")[0][16_000:32_000] / 32_768


def stream(names: list[str], lead: int) -> NDArray[np.int16]:
    parts = [voice() if name == "voice" else PIECES[name] for name in names]
    return pcm(np.concatenate([np.zeros(lead), *parts]))


sounds = st.builds(stream, st.lists(st.sampled_from([*PIECES, "voice"]), min_size=1, max_size=4), st.integers(0, 700))


def heard(samples: NDArray[np.int16], cuts: list[int], origin: int = 0) -> list[ToneEvent]:
    detector = ToneDetector(origin_sample=origin)
    events: list[ToneEvent] = []
    for first, until in pairwise(sorted({0, len(samples), *cuts})):
        events += detector.feed(samples[first:until])
    return events + detector.flush()


def split_points(data: st.DataObject, length: int) -> list[int]:
    return data.draw(st.lists(st.integers(0, length), max_size=12))


@given(samples=sounds, data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_split_gives_the_same_events(samples: NDArray[np.int16], data: st.DataObject) -> None:
    assert heard(samples, split_points(data, len(samples))) == heard(samples, [])


@given(
    names=st.lists(st.sampled_from([*PIECES, "voice"]), min_size=1, max_size=4),
    level=st.sampled_from([0, 40, 82, 84, 200]),
    pauses=st.lists(st.integers(0, 12_000), min_size=4, max_size=4),
    size=st.sampled_from([160, 800, 8_000]),
)
@settings(max_examples=40, deadline=None)
def test_skipping_silence_changes_nothing(names: list[str], level: int, pauses: list[int], size: int) -> None:
    """Tones between pauses with noise around the level below which nothing is judged, against a detector that judges
    all of it."""
    random = np.random.default_rng(0)
    parts: list[NDArray[np.int16]] = []
    for name, pause in zip(names, pauses, strict=False):
        parts += [random.integers(-level, level + 1, pause).astype(np.int16), stream([name], 0)]
    samples = np.concatenate([*parts, random.integers(-level, level + 1, 9_000).astype(np.int16)])
    thorough = ToneDetector()
    thorough._quiet = 0.0
    expected = [*thorough.feed(samples), *thorough.flush()]
    assert heard(samples, list(range(0, len(samples), size))) == expected


@given(names=st.permutations([*PIECES, "voice"]), size=st.sampled_from([1, 79, 80, 160, 320, 321]))
@settings(max_examples=8, deadline=None)
def test_chunks_of_one_size_give_the_same_events(names: list[str], size: int) -> None:
    samples = stream(names[:3], 0)
    # Sample by sample is slow: half a second of it, in the middle.
    middle = len(samples) // 2
    cuts = list(range(middle, min(middle + 8_000, len(samples)), size))
    assert heard(samples, cuts) == heard(samples, [])


@given(samples=sounds, data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_restored_detector_goes_on_where_the_saved_one_was(samples: NDArray[np.int16], data: st.DataObject) -> None:
    first = ToneDetector()
    events: list[ToneEvent] = []
    at = data.draw(st.integers(0, len(samples)))
    events += first.feed(samples[:at])
    saved = msgspec.msgpack.encode(first.state())
    first.feed(samples[at:])  # what comes later leaves the copy alone
    assert len(saved) < 16_000
    second = ToneDetector()
    second.restore(msgspec.msgpack.decode(saved, type=ToneState))
    assert second.position == at
    events += second.feed(samples[at:]) + second.flush()
    assert events == heard(samples, [])


@given(samples=sounds, blocks=st.integers(1, 10_000))
@settings(max_examples=20, deadline=None)
def test_another_origin_moves_the_events_and_nothing_else(samples: NDArray[np.int16], blocks: int) -> None:
    origin = 320 * blocks
    moved = [
        ToneEvent(
            event.label,
            event.phase,
            event.start_sample - origin,
            None if event.end_sample is None else event.end_sample - origin,
            event.at_sample - origin,
            event.detail,
        )
        for event in heard(samples, [], origin)
    ]
    assert moved == heard(samples, [])


@given(samples=sounds)
@settings(max_examples=40, deadline=None)
def test_every_tone_starts_once_and_ends_once(samples: NDArray[np.int16]) -> None:
    running: dict[bool, ToneEvent] = {}
    at = 0
    for event in heard(samples, []):
        assert at <= event.at_sample <= len(samples)
        at = event.at_sample
        kind = event.label.startswith("dtmf_")
        if event.phase == "start":
            assert kind not in running
            running[kind] = event
        else:
            assert event.start_sample == running[kind].start_sample
        if event.phase == "end":
            assert event.end_sample is not None
            assert event.start_sample < event.end_sample <= len(samples)
            del running[kind]
        else:
            assert event.end_sample is None
    assert not running
