"""Holds by music and by hold tones; keys and tones."""

from __future__ import annotations

import pytest

from streaming.protocol.calls import CallSpan
from tests.support.calls import Call, samples, seconds


def test_music_without_the_channels_own_speech_is_a_hold_from_where_it_began() -> None:
    call = Call().talk(0, (0, 2)).sound("Music", 3, 40).until(5.9)
    assert call.told("hold") == []
    call.until(6.1)
    assert call.told("hold") == [("hold", "start", 3, None)]
    call.until(49)
    assert len(call.told("hold")) == 1
    call.until(51)
    assert call.told("hold")[1:] == [("hold", "end", 3, 40)]
    account = call.over(60)
    assert account.hold.spans == [CallSpan(start_ms=3000, end_ms=40_000, channel=0)]
    assert [(event.channel, event.reason) for event in call.events if event.kind == "hold"] == [(0, "music")] * 2


def test_music_behind_a_voice_is_no_hold() -> None:
    call = Call().talk(0, (0, 30)).sound("Music", 2, 29)
    assert call.over(40).hold.count == 0


def test_a_hold_begins_when_the_voice_before_the_music_ends() -> None:
    call = Call().talk(0, (0, 10)).sound("hold_music", 8, 60)
    assert seconds(call.over(80).hold.spans) == [(10, 60)]


def test_music_that_is_told_late_makes_a_hold_from_its_begin_all_the_same() -> None:
    call = Call().talk(0, (0, 2)).until(7)
    call.sound("Music", 3, 40)
    assert seconds(call.over(60).hold.spans) == [(3, 40)]


def test_announcements_and_the_end_of_a_tune_do_not_end_a_hold() -> None:
    call = Call().sound("Music", 0, 20).sound("Music", 26, 60).talk(0, (35, 42))
    account = call.over(80)
    assert seconds(account.hold.spans) == [(0, 60)]
    assert [phase for _, phase, *_ in call.told("hold")] == ["start", "end"]


def test_a_longer_break_ends_a_hold() -> None:
    call = Call().sound("Music", 0, 20).sound("Music", 31, 60)
    assert seconds(call.over(80).hold.spans) == [(0, 20), (31, 60)]


def test_the_other_channel_may_speak_during_a_hold() -> None:
    call = Call().sound("Music", 0, 20).talk(1, (5, 9))
    assert seconds(call.over(80).hold.spans) == [(0, 20)]


def test_two_sounds_of_music_are_one_hold() -> None:
    call = Call().sound("Music", 0, 20).sound("Background music", 15, 30)
    assert seconds(call.over(80).hold.spans) == [(0, 30)]


def test_a_steady_hold_tone_in_silence_is_a_hold_from_its_first_beep() -> None:
    call = Call().talk(0, (0, 2))
    for n in range(5):
        call.sound("beep", 6 + n * 10, 6.4 + n * 10)
    call.talk(0, (60, 70))
    account = call.over(80)
    assert seconds(account.hold.spans) == [(6, 46.4)]
    assert {event.reason for event in call.events if event.kind == "hold"} == {"beeps"}
    assert len(account.tones) == 5


@pytest.mark.parametrize(
    ("beeps_s", "why"),
    [
        ((6, 16), "two are no pattern"),
        ((6, 16, 31), "not steady"),
        ((6, 8, 10, 12), "too fast for a hold tone"),
        ((6, 80, 154), "too slow"),
    ],
)
def test_other_beeps_are_no_hold(beeps_s: tuple[float, ...], why: str) -> None:
    call = Call().talk(0, (0, 2))
    for at_s in beeps_s:
        call.sound("beep", at_s, at_s + 0.4)
    assert call.over(200).hold.count == 0, why


def test_a_recorders_beep_between_words_is_no_hold() -> None:
    call = Call()
    for n in range(6):
        call.talk(0, (n * 15, n * 15 + 8)).sound("beep", n * 15 + 10, n * 15 + 10.4)
    assert call.over(100).hold.count == 0


def test_an_unsteady_beep_ends_the_hold_of_a_steady_tone() -> None:
    call = Call()
    for at_s in (0, 10, 20, 30, 37):
        call.sound("beep", at_s, at_s + 0.4)
    assert seconds(call.over(100).hold.spans) == [(0, 30.4)]


def test_silence_in_a_hold_is_not_dead() -> None:
    call = Call().talk(0, (0, 2))
    for n in range(4):
        call.sound("beep", 4 + n * 10, 4.4 + n * 10)
    assert seconds(call.over(34.4).dead_air.spans) == []
    assert call.told("dead_air") == [("dead_air", "start", 2, None), ("dead_air", "end", 2, 4)]


def test_keys_are_logged_with_their_channel_and_times() -> None:
    call = Call().key("5", 3, channel=1).key("star", 4, channel=1).key("pound", 2).key("a", 1).key("masked", 5)
    keys = call.over(6).keys
    assert [(key.label, key.channel, key.start_ms, key.end_ms) for key in keys] == [
        ("A", 0, 1000, 1100),
        ("#", 0, 2000, 2100),
        ("5", 1, 3000, 3100),
        ("*", 1, 4000, 4100),
        ("?", 0, 5000, 5100),
    ]


def test_tones_that_are_named_anew_are_one_tone() -> None:
    call = Call()
    call.model.sound(0, "tone", "start", samples(1), None)
    call.model.sound(0, "ringback", "update", samples(1), None)
    call.model.sound(0, "ringback", "end", samples(1), samples(12))
    account = call.over(13)
    assert [(tone.label, tone.start_ms, tone.end_ms) for tone in account.tones] == [("ringback", 1000, 12_000)]
    assert account.dead_air.count == 0


def test_a_tone_that_still_sounds_at_the_end_is_logged_to_the_end() -> None:
    call = Call()
    call.model.sound(1, "busy", "start", samples(4), None)
    account = call.over(13)
    assert [(tone.label, tone.channel, tone.start_ms, tone.end_ms) for tone in account.tones] == [
        ("busy", 1, 4000, 13_000)
    ]


def test_a_hold_ends_with_the_call() -> None:
    call = Call()
    call.model.sound(0, "Music", "start", samples(4), None)
    assert seconds(call.over(30).hold.spans) == [(4, 30)]


def test_sounds_that_never_end_are_bounded() -> None:
    call = Call()
    for n in range(500):
        call.model.sound(0, f"sound {n}", "start", samples(n / 10), None)
    call.until(60)
    assert len(call.model.data.sides[0].open) == 64
