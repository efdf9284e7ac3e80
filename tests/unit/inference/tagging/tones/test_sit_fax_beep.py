"""Special information tones, fax tones, and beeps."""

import numpy as np
import pytest

from tests.support.clips import read_clip
from tests.support.tones import Signal, cadence, heard, noisy, over_telephone, pcm, silence, story, tone

MS = 16
LOW, HIGH, SHORT, LONG = (913.8, 1370.6), (985.2, 1428.5), 276, 380
KINDS = [
    ("intercept", (LOW[0], LOW[1]), (SHORT, SHORT)),
    ("no_circuit", (HIGH[0], HIGH[1]), (LONG, LONG)),
    ("vacant_code", (HIGH[0], LOW[1]), (LONG, SHORT)),
    ("reorder", (LOW[0], HIGH[1]), (SHORT, LONG)),
]


def sit(hertz: tuple[float, ...], lengths_ms: tuple[float, ...], gap_ms: float = 0, rate: int = 16_000) -> Signal:
    parts = [silence(400, rate)]
    for value, length in zip((*hertz, 1776.7), (*lengths_ms, LONG), strict=True):
        parts += [tone([value], length, rate=rate), silence(gap_ms, rate)]
    return np.concatenate([*parts, silence(800, rate)])


def after_silence(*signals: Signal) -> Signal:
    return np.concatenate([silence(400), *signals, silence(1500)])


@pytest.mark.parametrize(("kind", "hertz", "lengths_ms"), KINDS)
@pytest.mark.parametrize("gap_ms", [0, 4, 30])
def test_a_sit_tells_its_kind(
    kind: str, hertz: tuple[float, ...], lengths_ms: tuple[float, ...], gap_ms: float
) -> None:
    events = heard(pcm(sit(hertz, lengths_ms, gap_ms)))
    assert story(events) == [("start", "tone"), ("update", "sit"), ("end", "sit")]
    assert events[1].detail["kind"] == kind
    assert events[2].detail["hz"] == pytest.approx([*hertz, 1776.7], abs=1)
    assert events[2].start_sample == pytest.approx(400 * MS, abs=5 * MS)
    assert events[2].end_sample == pytest.approx((400 + sum(lengths_ms) + LONG + 2 * gap_ms) * MS, abs=5 * MS)


@pytest.mark.parametrize(("kind", "hertz", "lengths_ms"), KINDS)
def test_a_sit_tells_its_kind_over_a_noisy_telephone_line(
    kind: str, hertz: tuple[float, ...], lengths_ms: tuple[float, ...]
) -> None:
    events = heard(over_telephone(noisy(sit(hertz, lengths_ms, rate=8_000), 15)))
    assert [(event.label, event.detail.get("kind")) for event in events[1:]] == [("sit", kind)] * 2


def test_a_sit_of_the_recommendation_has_no_kind() -> None:
    signal = np.concatenate([tone([950], 330), tone([1400], 330), tone([1800], 330)])
    events = heard(pcm(after_silence(signal)))
    assert story(events) == [("start", "tone"), ("update", "sit"), ("end", "sit")]
    assert events[1].detail["kind"] == "unspecified"


@pytest.mark.parametrize("hertz", [(1400, 950, 1800), (950, 1800, 1400), (950, 1400, 2000)])
def test_the_tones_in_another_order_are_no_sit(hertz: tuple[float, ...]) -> None:
    signal = np.concatenate([tone([value], 330) for value in hertz])
    assert "sit" not in {event.label for event in heard(pcm(after_silence(signal)))}


def test_cng_is_named_as_its_first_burst_ends() -> None:
    events = heard(pcm(after_silence(cadence([1100], (500, 3000), 8))))
    assert story(events) == [("start", "tone"), ("update", "fax_cng"), ("end", "fax_cng")]
    assert events[1].at_sample - 900 * MS <= 100 * MS
    assert events[2].end_sample == pytest.approx((400 + 2 * 3500 + 500) * MS, abs=5 * MS)


@pytest.mark.parametrize("hertz", [1062, 1138])
def test_cng_may_be_off_by_38_hz(hertz: float) -> None:
    labels = [event.label for event in heard(pcm(after_silence(cadence([hertz], (425, 2550), 5))))]
    assert labels[-1] == "fax_cng"


@pytest.mark.parametrize("reversal_ms", [None, 450])
def test_ced_is_named_after_two_and_a_half_seconds_with_or_without_reversals(reversal_ms: float | None) -> None:
    signal = tone([2100], 3300)
    if reversal_ms is not None:
        signal *= 1 - 2 * (np.arange(len(signal)) // round(reversal_ms * MS) % 2)
    events = heard(pcm(after_silence(signal)))
    assert story(events) == [("start", "tone"), ("update", "fax_ced"), ("end", "fax_ced")]
    assert 2500 * MS <= events[1].at_sample - 400 * MS <= 2600 * MS
    assert events[2].end_sample == pytest.approx(3700 * MS, abs=5 * MS)


def test_ced_may_be_modulated() -> None:
    """V.8 (ANSam): 15 Hz, 20 %."""
    signal = tone([2100], 3300, -17)
    signal *= 1 + 0.2 * np.sin(2 * np.pi * 15 * np.arange(len(signal)) / 16_000)
    assert [event.label for event in heard(pcm(after_silence(signal)))][-1] == "fax_ced"


def test_a_shorter_tone_of_2100_hz_is_no_ced() -> None:
    assert {event.label for event in heard(pcm(after_silence(tone([2100], 2000))))} == {"tone"}


@pytest.mark.parametrize("hertz", [410, 460, 620, 1000, 1400, 1980])
@pytest.mark.parametrize("ms", [160, 400, 1400])
def test_a_beep_is_a_single_tone_alone(hertz: float, ms: float) -> None:
    events = heard(pcm(after_silence(tone([hertz], ms))))
    assert story(events) == [("start", "tone"), ("update", "beep"), ("end", "beep")]
    assert events[2].start_sample == pytest.approx(400 * MS, abs=5 * MS)
    assert events[2].end_sample == pytest.approx((400 + ms) * MS, abs=5 * MS)


@pytest.mark.parametrize("snr_db", [20, 10])
def test_a_beep_is_heard_in_noise(snr_db: float) -> None:
    assert story(heard(pcm(noisy(after_silence(tone([1000], 400)), snr_db))))[-1] == ("end", "beep")


def test_a_beep_is_heard_right_behind_a_greeting() -> None:
    greeting = read_clip("question.flac")[0] / 32_768
    signal = np.concatenate([greeting, silence(250), tone([1000], 400), silence(1500)])
    events = heard(pcm(signal))
    assert story(events) == [("start", "tone"), ("update", "beep"), ("end", "beep")]
    assert events[1].at_sample - (events[2].end_sample or 0) <= 1000 * MS


@pytest.mark.parametrize("ms", [90, 120, 2000])
def test_shorter_and_longer_tones_are_no_beep(ms: float) -> None:
    assert "beep" not in {event.label for event in heard(pcm(after_silence(tone([1000], ms))))}


@pytest.mark.parametrize("off_ms", [200, 400])
def test_a_tone_that_repeats_is_no_beep(off_ms: float) -> None:
    events = heard(pcm(after_silence(cadence([1000], (300, off_ms), 4))))
    assert story(events) == [("start", "tone"), ("end", "tone")]
    assert events[1].detail["off_ms"] == pytest.approx([off_ms] * 3, abs=5)


def test_a_note_that_fades_is_no_beep() -> None:
    note = tone([660], 900)
    note *= np.exp(-np.arange(len(note)) / (0.2 * 16_000))
    assert "beep" not in {event.label for event in heard(pcm(after_silence(note)))}


def test_a_melody_has_no_beeps() -> None:
    melody = np.concatenate([tone([hertz], 300) for hertz in (523, 587, 659, 698, 784)])
    labels = [event.label for event in heard(pcm(after_silence(melody))) if event.phase == "end"]
    assert labels[:-1] == ["tone"] * 4
    assert labels[-1] in ("tone", "beep"), "nothing follows the last"


def test_a_tone_as_the_audio_ends_ends_with_it() -> None:
    signal = pcm(np.concatenate([silence(400), tone([1000], 400)]))
    events = heard(signal)
    assert story(events)[-1] == ("end", "beep")
    assert events[-1].end_sample == pytest.approx(len(signal), abs=5 * MS)
