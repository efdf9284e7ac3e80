"""Dial tone, ringback, busy and reorder of the three plans, by frequency and cadence (E.180, GR-506, SIN 350)."""

import numpy as np
import pytest

from inference.tagging.tones import ToneEvent
from tests.support.clips import read_clip
from tests.support.tones import Signal, cadence, heard, noisy, over_telephone, pcm, silence, story, tone

MS = 16
CADENCES = [
    ("ringback", "us", (440, 480), (2000, 4000)),
    ("ringback", "uk", (400, 450), (400, 200, 400, 2000)),
    ("ringback", "eu", (425,), (1000, 4000)),
    ("busy", "us", (480, 620), (500, 500)),
    ("busy", "uk", (400,), (375, 375)),
    ("busy", "eu", (425,), (480, 480)),
    ("busy", "eu", (425,), (500, 500)),
    ("reorder", "us", (480, 620), (250, 250)),
    ("reorder", "uk", (400,), (400, 350, 225, 525)),
    ("reorder", "eu", (425,), (240, 240)),
    ("reorder", "eu", (425,), (250, 250)),
]
DIAL_TONES = [("us", (350, 440)), ("uk", (350, 450)), ("eu", (425,))]
LEAD_MS = 300


def after_silence(*signals: Signal, rate: int = 16_000) -> Signal:
    return np.concatenate([silence(LEAD_MS, rate), *signals, silence(700, rate)])


def one_tone(events: list[ToneEvent], label: str, plan: str) -> ToneEvent:
    """The end of the only tone there is, which must be this one; it may have been a `tone` before it was named."""
    assert story(events) in ([("start", label), ("end", label)], [("start", "tone"), ("update", label), ("end", label)])
    assert {event.start_sample for event in events} == {events[0].start_sample}
    assert events[-1].detail["plan"] == plan
    return events[-1]


@pytest.mark.parametrize(("label", "plan", "hertz", "beats_ms"), CADENCES)
def test_a_cadence_is_named_with_its_plan(
    label: str, plan: str, hertz: tuple[float, ...], beats_ms: tuple[float, ...]
) -> None:
    signal = cadence(hertz, beats_ms, 6)
    end = one_tone(heard(pcm(after_silence(signal))), label, plan)
    assert end.start_sample == pytest.approx(LEAD_MS * MS, abs=5 * MS)
    last_sound = LEAD_MS * MS + len(signal) - beats_ms[-1] * MS
    assert end.end_sample == pytest.approx(last_sound, abs=5 * MS)
    assert end.detail["hz"] == pytest.approx(hertz, abs=1)


@pytest.mark.parametrize(("label", "plan", "hertz", "beats_ms"), CADENCES)
@pytest.mark.parametrize("off", [-0.008, 0.008])
def test_exchanges_may_be_off_in_pitch_and_pace(
    label: str, plan: str, hertz: tuple[float, ...], beats_ms: tuple[float, ...], off: float
) -> None:
    signal = cadence([value * (1 + off) for value in hertz], [beat * (1 + 10 * off) for beat in beats_ms], 6)
    one_tone(heard(pcm(after_silence(signal))), label, plan)


@pytest.mark.parametrize(("label", "plan", "hertz", "beats_ms"), CADENCES)
def test_cadences_are_named_in_noise(
    label: str, plan: str, hertz: tuple[float, ...], beats_ms: tuple[float, ...]
) -> None:
    one_tone(heard(pcm(noisy(after_silence(cadence(hertz, beats_ms, 6)), 10))), label, plan)


@pytest.mark.parametrize(("label", "plan", "hertz", "beats_ms"), CADENCES)
def test_cadences_are_named_over_a_telephone_line(
    label: str, plan: str, hertz: tuple[float, ...], beats_ms: tuple[float, ...]
) -> None:
    signal = after_silence(cadence(hertz, beats_ms, 6, rate=8_000), rate=8_000)
    one_tone(heard(over_telephone(signal)), label, plan)


@pytest.mark.parametrize(("plan", "hertz"), DIAL_TONES)
def test_dial_tone_is_named_while_it_sounds(plan: str, hertz: tuple[float, ...]) -> None:
    events = heard(pcm(after_silence(tone(hertz, 4000))))
    end = one_tone(events, "dial_tone", plan)
    named = next(event for event in events if event.label == "dial_tone")
    assert named.at_sample - LEAD_MS * MS <= 1300 * MS
    assert end.end_sample == pytest.approx((LEAD_MS + 4000) * MS, abs=5 * MS)


def test_ringback_of_two_tones_is_named_in_its_first_ring() -> None:
    for hertz in ((440, 480), (400, 450)):
        started = heard(pcm(after_silence(tone(hertz, 400))))[0]
        assert (started.phase, started.label) == ("start", "ringback")
        assert started.at_sample - LEAD_MS * MS <= 340 * MS


def test_busy_is_a_tone_until_its_second_burst() -> None:
    started, named = heard(pcm(after_silence(cadence((480, 620), (500, 500), 3))))[:2]
    assert story([started, named]) == [("start", "tone"), ("update", "busy")]
    assert started.at_sample - LEAD_MS * MS <= 240 * MS
    assert 1000 * MS < named.at_sample - LEAD_MS * MS <= 1200 * MS
    assert named.detail["on_ms"] == pytest.approx([500], abs=5)
    assert named.detail["off_ms"] == pytest.approx([500], abs=5)


def test_one_burst_is_neither_busy_nor_reorder() -> None:
    assert story(heard(pcm(after_silence(tone((480, 620), 500), silence(1500))))) == [
        ("start", "tone"),
        ("end", "tone"),
    ]


def test_a_cadence_that_began_before_the_audio_is_named_by_whole_bursts() -> None:
    """The first burst is the rest of a ring: 0.5 s of 1 s. It is not taken for one of busy."""
    signal = np.concatenate([tone([425], 500), silence(4000), cadence([425], (1000, 4000), 6)])
    labels = [event.label for event in heard(pcm(signal))]
    assert labels[-1] == "ringback"
    assert "busy" not in labels


def test_ringback_ends_when_it_is_overdue_and_says_where_it_ended() -> None:
    signal = np.concatenate([silence(300), tone((440, 480), 2000), silence(4000), tone((440, 480), 900), silence(8000)])
    events = heard(pcm(signal))
    assert story(events) == [("start", "ringback"), ("end", "ringback")]
    assert events[1].end_sample == pytest.approx((300 + 2000 + 4000 + 900) * MS, abs=5 * MS)
    assert events[1].at_sample < len(signal)


def test_busy_may_follow_ringback() -> None:
    signal = np.concatenate([cadence((440, 480), (2000, 4000), 5), cadence((480, 620), (500, 500), 3)])
    labels = [event.label for event in heard(pcm(after_silence(signal))) if event.phase == "end"]
    assert labels == ["ringback", "busy"]


def test_an_answer_after_ringback_is_speech_and_no_tone() -> None:
    voice = read_clip("question.flac")[0] / 32_768
    signal = np.concatenate([silence(300), tone((440, 480), 2000), silence(600), voice, silence(5000)])
    assert story(heard(pcm(signal))) == [("start", "ringback"), ("end", "ringback")]


@pytest.mark.parametrize("hertz", [(350, 480), (300, 700), (600,) * 2, (1000, 1300), (440, 480, 620)])
def test_other_chords_have_no_name(hertz: tuple[float, ...]) -> None:
    labels = {event.label for event in heard(pcm(after_silence(cadence(hertz, (500, 500), 4))))}
    assert labels <= {"tone"}
