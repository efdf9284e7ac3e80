"""Keys as ITU-T Q.23 defines them and Q.24 (annex A) wants them received."""

import numpy as np
import pytest

from tests.support.clips import read_clip
from tests.support.tones import (
    COLUMNS,
    KEYS,
    LABELS,
    ROWS,
    digits,
    heard,
    key,
    keys,
    noisy,
    over_telephone,
    pcm,
    silence,
    story,
    tone,
)

MS = 16
CLIPS = ("demo", "prose", "numbers", "pause", "question", "long", "call")


def pressed(*signals: object) -> str:
    """What is heard of these with silence around each."""
    parts = [part for signal in signals for part in (silence(60), np.asarray(signal))]
    return digits(heard(pcm(np.concatenate([*parts, silence(60)]))))


@pytest.mark.parametrize("name", KEYS)
def test_a_key_starts_and_ends_where_it_sounds(name: str) -> None:
    started, ended = heard(pcm(np.concatenate([silence(100), key(name, 80), silence(100)])))
    assert story([started, ended]) == [("start", LABELS[name]), ("end", LABELS[name])]
    assert abs(started.start_sample - 100 * MS) <= 2 * MS
    assert started.end_sample is None
    assert ended.start_sample == started.start_sample
    assert ended.end_sample is not None
    assert abs(ended.end_sample - 180 * MS) <= 2 * MS
    row, column = divmod(KEYS.index(name), 4)
    assert ended.detail["hz"] == pytest.approx([ROWS[row], COLUMNS[column]], abs=1)


@pytest.mark.parametrize("ms", [40, 60, 200])
def test_a_key_is_told_of_within_50_ms(ms: int) -> None:
    for offset in range(0, 80, 7):  # wherever it lies on the grid
        started = heard(pcm(np.concatenate([np.zeros(1600 + offset), key("8", ms), silence(100)])))[0]
        assert started.phase == "start"
        assert started.at_sample - (1600 + offset) <= 50 * MS


@pytest.mark.parametrize("off", [-0.015, 0.015])
def test_frequencies_may_be_off_by_one_and_a_half_per_cent(off: float) -> None:
    for name in KEYS:
        assert pressed(key(name, 40, low_off=off), key(name, 40, high_off=off)) == 2 * name
        assert pressed(key(name, 40, low_off=off, high_off=off), key(name, 40, low_off=off, high_off=-off)) == 2 * name


@pytest.mark.parametrize("off", [-0.035, 0.035])
def test_frequencies_off_by_three_and_a_half_per_cent_are_no_key(off: float) -> None:
    for name in KEYS:
        assert pressed(key(name, 200, low_off=off), key(name, 200, high_off=off)) == ""


def test_40_ms_are_a_key_and_23_ms_are_none() -> None:
    for name in KEYS:
        for offset in (0, 27, 55):
            signal = [np.zeros(offset), key(name, 40), silence(80), key(name, 23), silence(80)]
            assert digits(heard(pcm(np.concatenate(signal)))) == name


def test_a_pause_of_40_ms_parts_two_presses() -> None:
    for name in KEYS:
        for offset in (0, 27, 55):
            signal = [np.zeros(offset), keys(2 * name, 40, 40)]
            assert digits(heard(pcm(np.concatenate(signal)))) == 2 * name


@pytest.mark.parametrize("ms", [1, 5, 9.5])
def test_an_interruption_below_10_ms_does_not_part_a_press(ms: float) -> None:
    for name in KEYS:
        for before, behind in ((30, 30), (40, 20), (20, 40), (100, 100)):
            press = key(name, before + ms + behind)
            press[before * MS : before * MS + round(ms * MS)] = 0
            events = heard(pcm(np.concatenate([silence(100), press, silence(100)])))
            assert story(events) == [("start", LABELS[name]), ("end", LABELS[name])]
            end = events[1].end_sample or 0
            assert end - events[1].start_sample == pytest.approx((before + ms + behind) * MS, abs=6 * MS)


def test_another_key_may_follow_without_a_pause() -> None:
    assert pressed(np.concatenate([key("1", 80), key("5", 80), key("9", 80)])) == "159"


@pytest.mark.parametrize("twist_db", [4, -8])
def test_the_twist_of_a_line_is_accepted(twist_db: float) -> None:
    for name in KEYS:
        assert pressed(key(name, 40, twist_db=twist_db)) == name


@pytest.mark.parametrize("twist_db", [8, -12])
def test_more_twist_is_no_key(twist_db: float) -> None:
    assert pressed(*(key(name, 100, twist_db=twist_db) for name in KEYS)) == ""


@pytest.mark.parametrize("level_db", [-7, -20, -30, -40])
def test_loud_and_faint_keys_are_heard_alike(level_db: float) -> None:
    assert pressed(*(key(name, 40, level_db) for name in KEYS)) == KEYS


def test_what_is_fainter_than_the_lowest_level_is_not_there() -> None:
    assert pressed(*(key(name, 100, -52) for name in KEYS)) == ""


@pytest.mark.parametrize("name", KEYS)
def test_one_tone_alone_is_no_key(name: str) -> None:
    row, column = divmod(KEYS.index(name), 4)
    assert pressed(tone([ROWS[row]], 100), tone([COLUMNS[column]], 100)) == ""


def test_a_voice_with_both_frequencies_among_its_harmonics_is_no_key() -> None:
    """232.5 Hz: 697 is its third harmonic and 1395 its sixth, 1209 is near its fifth."""
    for pitch in np.arange(100, 400, 7.5):
        assert pressed(tone([pitch * i for i in range(1, int(3400 / pitch))], 300, -30)) == ""


@pytest.mark.parametrize("snr_db", [15, 10])
@pytest.mark.parametrize("seed", range(4))
def test_white_noise_down_to_10_db_hides_no_key_and_makes_none(snr_db: float, seed: int) -> None:
    assert digits(heard(pcm(noisy(keys(KEYS * 2, 45, 45), snr_db, seed)))) == KEYS * 2


def test_limits_of_frequency_and_twist_hold_in_noise() -> None:
    for name in KEYS:
        worst = [key(name, 45, twist_db=4, low_off=0.015, high_off=-0.015), key(name, 45, twist_db=-8, low_off=-0.015)]
        signal = np.concatenate([silence(60), worst[0], silence(60), worst[1], silence(60)])
        assert digits(heard(pcm(noisy(signal, 15, ord(name))))) == 2 * name


@pytest.mark.parametrize(("on_ms", "off_ms"), [(40, 40), (70, 50), (100, 100)])
def test_keys_arrive_over_a_telephone_line(on_ms: float, off_ms: float) -> None:
    assert digits(heard(over_telephone(keys(KEYS * 2, on_ms, off_ms, rate=8_000)))) == KEYS * 2


@pytest.mark.parametrize("snr_db", [15, 10])
def test_keys_arrive_over_a_noisy_telephone_line(snr_db: float) -> None:
    assert digits(heard(over_telephone(noisy(keys(KEYS, 50, 50, rate=8_000), snr_db)))) == KEYS


@pytest.mark.parametrize("name", CLIPS)
def test_speech_is_no_tone_of_any_kind(name: str) -> None:
    assert heard(read_clip(f"{name}.flac")[0]) == []


def test_speech_over_a_telephone_line_is_no_tone_of_any_kind() -> None:
    assert heard(read_clip("telephone.wav")[0]) == []


def test_a_key_pressed_as_the_audio_ends_ends_with_it() -> None:
    signal = pcm(np.concatenate([silence(100), key("7", 60)]))
    events = heard(signal)
    assert story(events) == [("start", "dtmf_7"), ("end", "dtmf_7")]
    assert events[1].end_sample == pytest.approx(len(signal), abs=2 * MS)
    assert all(event.at_sample <= len(signal) for event in events)
