"""Scores become events: begin at `on`, go on above `off`, end after patience."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.tagging.hysteresis import EventTracker, TagEvent, Threshold, TrackerSettings, TrackerState

BLOCK = 8_000


def track(scores: Sequence[float | None], settings: TrackerSettings | None = None) -> list[TagEvent]:
    tracker = EventTracker(("Music",), settings)
    events: list[TagEvent] = []
    for index, score in enumerate(scores):
        events += tracker.blocks(index * BLOCK, (index + 1) * BLOCK, None if score is None else (score,))
    return [*events, *tracker.finish(len(scores) * BLOCK)]


def test_a_class_lasts_from_its_first_sure_block_to_its_last_likely_one() -> None:
    events = track([0.1, 0.6, 0.4, 0.9, 0.35, 0.1, 0.1, 0.1])
    assert events == [
        TagEvent("Music", "start", BLOCK, None, 0.6),
        TagEvent("Music", "end", BLOCK, 5 * BLOCK, 0.9),
    ]


def test_one_doubtful_block_ends_nothing() -> None:
    assert [event.phase for event in track([0.6, 0.1, 0.6, 0.1, 0.1])] == ["start", "end"]


def test_silence_is_no_score_at_all() -> None:
    assert track([0.9, None, None, None])[-1] == TagEvent("Music", "end", 0, BLOCK, 0.9)


def test_what_goes_on_is_said_again_every_five_seconds() -> None:
    updates = [event for event in track([0.8] * 24) if event.phase == "update"]
    assert [event.end_sample for event in updates] == [11 * BLOCK, 21 * BLOCK]


def test_the_end_of_the_stream_ends_what_is_heard() -> None:
    assert track([0.1, 0.8]) == [
        TagEvent("Music", "start", BLOCK, None, 0.8),
        TagEvent("Music", "end", BLOCK, 2 * BLOCK, 0.8),
    ]


def test_a_label_has_thresholds_of_its_own() -> None:
    settings = TrackerSettings({"Music": Threshold(0.9, 0.8)})
    assert track([0.85, 0.85], settings) == []
    with pytest.raises(ValueError, match="Music"):
        TrackerSettings({"Music": Threshold(0.3, 0.8)})


def test_another_number_of_scores_is_refused() -> None:
    with pytest.raises(ValueError, match="2 scores for 1 labels"):
        EventTracker(("Music",)).blocks(0, BLOCK, (0.1, 0.2))


@given(st.lists(st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60), st.integers(0, 60))
def test_events_pair_up_and_a_restored_tracker_goes_on_the_same(
    scores: list[tuple[float, float] | None], cut: int
) -> None:
    labels = ("Music", "Bark")
    whole, first = EventTracker(labels), EventTracker(labels)
    expected: list[TagEvent] = []
    found: list[TagEvent] = []
    for index, score in enumerate(scores):
        if index == cut:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(first.state()), type=TrackerState)
            first = EventTracker(labels)
            first.restore(state)
        span = (index * BLOCK, (index + 1) * BLOCK)
        expected += whole.blocks(*span, score)
        found += first.blocks(*span, score)
    expected += whole.finish(len(scores) * BLOCK)
    assert [*found, *first.finish(len(scores) * BLOCK)] == expected
    for label in labels:
        phases = [event.phase for event in expected if event.label == label and event.phase != "update"]
        assert phases == ["start", "end"] * (len(phases) // 2)


def test_a_state_of_other_labels_is_refused() -> None:
    tracker = EventTracker(("Music",))
    tracker.blocks(0, BLOCK, (0.9,))
    with pytest.raises(ValueError, match="Music"):
        EventTracker(("Bark",)).restore(tracker.state())
