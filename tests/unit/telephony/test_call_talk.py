"""Who talks, whose turn it is, who interrupts whom; talk-over, silence and dead air."""

from __future__ import annotations

import pytest

from streaming.telephony import CallSettings, summarise
from tests.support.calls import Call, samples, seconds

QUICK = CallSettings(dead_air_samples=samples(3), talk_over_samples=samples(1), interruption_samples=samples(1))


def test_talk_time_and_share_are_those_of_the_speech() -> None:
    account = Call().talk(0, (1, 4), (10, 13)).talk(1, (5, 7)).over(20)
    agent, customer = account.roles
    assert (agent.role, agent.talk_ms, agent.share) == ("agent", 6000, 0.75)
    assert (customer.role, customer.talk_ms, customer.share) == ("customer", 2000, 0.25)
    assert account.audio_ms == 20_000


def test_channels_without_labels_are_numbered() -> None:
    call = Call(1)
    call.model.finish(samples(1))
    assert summarise(call.model).roles[0].role == "channel 0"


def test_words_per_minute_are_of_talk() -> None:
    call = Call().talk(0, (0, 30))
    account = call.say("one two three four five six seven +eight", 0).over(60)
    assert (account.roles[0].words, account.roles[0].words_per_minute) == (7, 14.0)
    assert (account.roles[1].words, account.roles[1].words_per_minute, account.roles[1].share) == (0, 0.0, 0.0)


def test_a_turn_is_new_when_the_other_had_the_one_before() -> None:
    account = Call().talk(0, (0, 2), (3, 5), (9, 10)).talk(1, (6, 8)).over(11)
    assert [role.turns for role in account.roles] == [2, 1]


def test_a_monologue_goes_on_through_short_pauses_and_backchannels() -> None:
    account = Call().talk(0, (0, 10), (11.5, 20)).talk(1, (4, 4.5)).over(30)
    agent, customer = account.roles
    assert seconds([agent.longest_monologue]) == [(0, 20)]
    assert (customer.backchannels, customer.turns, customer.longest_monologue) == (1, 0, None)


def test_a_long_pause_or_the_others_turn_ends_a_monologue() -> None:
    account = Call().talk(0, (0, 3), (6, 10), (13, 15)).talk(1, (11, 12.5)).over(16)
    assert seconds([account.roles[0].longest_monologue]) == [(6, 10)]
    assert account.roles[0].turns == 2


def test_who_begins_while_the_other_speaks_and_goes_on_has_interrupted_if_the_other_ends_soon() -> None:
    call = Call(settings=QUICK).talk(0, (0, 5.5)).talk(1, (5, 8))
    account = call.over(9)
    assert call.told("interruption") == [("interruption", "instant", 5, 5.5)]
    assert [event.channel for event in call.events if event.kind == "interruption"] == [1]
    assert [role.interruptions for role in account.roles] == [0, 1]
    assert [role.turns for role in account.roles] == [1, 1]
    assert seconds([account.roles[1].longest_monologue]) == [(5, 8)]


@pytest.mark.parametrize(
    ("other", "what"), [((5, 8), "the other goes on for long"), ((5.2, 5.4), "who began ends first")]
)
def test_otherwise_nobody_was_interrupted(other: tuple[float, float], what: str) -> None:
    call = Call(settings=QUICK).talk(0, (0, 6.5)).talk(1, other)
    call.over(10)
    assert call.told("interruption") == [], what


def test_talk_over_is_told_when_its_threshold_passes_and_when_it_ends() -> None:
    call = Call(settings=QUICK).talk(0, (0, 5)).talk(1, (2, 9)).until(2.9, 3.0)
    assert call.told("talk_over") == []
    call.until(3.001)
    assert call.told("talk_over") == [("talk_over", "start", 2, None)]
    account = call.over(10)
    assert call.told("talk_over")[1:] == [("talk_over", "end", 2, 5)]
    assert (account.talk_over.count, account.talk_over.total_ms) == (1, 3000)


def test_short_overlaps_are_not_told_but_count() -> None:
    call = Call(settings=QUICK).talk(0, (0, 5), (6, 9)).talk(1, (4.5, 6.5))
    account = call.over(9)
    assert call.told("talk_over") == []
    assert seconds(account.talk_over.spans) == [(4.5, 5), (6, 6.5)]
    assert (account.talk_over.total_ms, account.talk_over.longest_ms) == (1000, 500)


def test_silence_is_when_nobody_speaks_and_listed_from_two_seconds_on() -> None:
    account = Call().talk(0, (1, 4)).talk(1, (3, 6), (9, 10)).over(10)
    assert (account.silence.count, account.silence.total_ms) == (2, 4000)
    assert seconds(account.silence.spans) == [(6, 9)]


def test_dead_air_is_told_when_its_threshold_passes_and_when_somebody_speaks() -> None:
    call = Call(settings=QUICK).talk(0, (0, 1)).until(4)
    assert call.told("dead_air") == []
    call.until(4.1)
    assert call.told("dead_air") == [("dead_air", "start", 1, None)]
    call.talk(1, (6, 7)).until(6.5)
    assert call.told("dead_air")[1:] == [("dead_air", "end", 1, 6)]
    account = call.over(8)
    assert seconds(account.dead_air.spans) == [(1, 6)]


def test_dead_air_may_begin_a_call_and_end_it() -> None:
    call = Call(settings=QUICK).talk(0, (4, 5))
    account = call.over(9)
    assert seconds(account.dead_air.spans) == [(0, 4), (5, 9)]
    assert [phase for _, phase, *_ in call.told("dead_air")] == ["start", "end", "start", "end"]


def test_speech_that_begins_right_at_the_threshold_ends_dead_air_of_that_length() -> None:
    call = Call(settings=QUICK).talk(0, (0, 1), (4, 5))
    account = call.over(5)
    assert call.told("dead_air") == [("dead_air", "start", 1, None), ("dead_air", "end", 1, 4)]
    assert account.dead_air.total_ms == 3000


@pytest.mark.parametrize("label", ["Music", "ringback", "busy", "dial_tone"])
def test_what_plays_or_rings_is_no_dead_air(label: str) -> None:
    call = Call(settings=QUICK).talk(0, (0, 1)).sound(label, 2, 8)
    account = call.over(10)
    assert call.told("dead_air") == []
    assert (account.dead_air.count, account.silence.total_ms) == (0, 9000)


def test_dead_air_begins_anew_when_the_tone_ends() -> None:
    call = Call(settings=QUICK).talk(0, (0, 1)).sound("ringback", 2, 8)
    assert seconds(call.over(12).dead_air.spans) == [(8, 12)]


def test_a_dog_does_not_enliven_dead_air() -> None:
    call = Call(settings=QUICK).talk(0, (0, 1)).sound("Dog", 2, 8)
    assert seconds(call.over(12).dead_air.spans) == [(1, 12)]


def test_music_that_is_told_late_ends_dead_air_where_it_began() -> None:
    call = Call(settings=QUICK).talk(0, (0, 1)).until(6)
    assert call.told("dead_air") == [("dead_air", "start", 1, None)]
    call.sound("Music", 2, 20).until(7)
    assert call.told("dead_air")[1:] == [("dead_air", "end", 1, 2)]
    assert call.over(20).dead_air.count == 0


def test_a_split_utterance_is_one() -> None:
    call = Call()
    call.model.speech_started(0, samples(1))
    call.model.speech_ended(0, samples(20))
    call.model.speech_started(0, samples(20))
    call.model.speech_ended(0, samples(30))
    account = call.talk(1, (19, 21)).over(30)
    agent, customer = account.roles
    assert seconds([agent.longest_monologue]) == [(1, 30)]
    assert (agent.turns, customer.backchannels, customer.interruptions) == (1, 1, 0)


def test_speech_that_a_command_cut_goes_on_though_its_onset_is_told_as_earlier() -> None:
    """`finalize` ends speech at a position inside a frame, and the next speech begins with that frame."""
    call = Call(1)
    call.model.speech_started(0, samples(1))
    call.until(3)
    call.model.speech_ended(0, samples(3.02))
    call.until(3.01)
    call.model.speech_started(0, samples(3.01))
    call.model.speech_ended(0, samples(6))
    assert [seconds([role.longest_monologue]) for role in call.over(7).roles] == [[(1, 6)]]


def test_with_one_channel_there_is_silence_but_no_talk_over() -> None:
    account = Call(1).talk(0, (0, 2), (9, 12)).over(20)
    assert seconds(account.dead_air.spans) == [(2, 9), (12, 20)]
    assert (account.talk_over.count, account.roles[0].turns, account.roles[0].share) == (0, 1, 1.0)


def test_lists_are_bounded_and_say_what_they_left_out() -> None:
    call = Call(1)
    for n in range(300):
        call.talk(0, (n * 4, n * 4 + 1)).key("1", n * 4)
    account = call.over(1200)
    assert (account.silence.count, len(account.silence.spans), account.silence.dropped) == (300, 200, 100)
    assert (len(account.keys), account.dropped) == (200, {"keys": 100})
    assert account.silence.total_ms == 900_000


def test_after_its_end_a_call_is_over() -> None:
    call = Call().talk(0, (0, 1))
    call.over(10)
    told = len(call.events)
    assert call.over(20).audio_ms == 10_000
    assert len(call.events) == told


def test_thresholds_below_zero_and_empty_keywords_are_refused() -> None:
    with pytest.raises(ValueError, match="start at 0"):
        CallSettings(hold_samples=-1)
    with pytest.raises(ValueError, match="keyword"):
        CallSettings(keywords=("refund", "?!"))
