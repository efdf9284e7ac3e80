"""What is said once reaches the application once, however often and with whatever number it comes."""

from __future__ import annotations

import pytest
from tympan_client.events import (
    CallEvent,
    CallSummary,
    Gap,
    Load,
    MarkerReached,
    ServerMessage,
    SoundEvent,
    Speech,
    TranscriptUpdate,
)
from tympan_client.novelty import KEPT, Novelty


def final(utterance: int, seq: int) -> TranscriptUpdate:
    return TranscriptUpdate(seq=seq, utterance=utterance, channel=0, revision=1, from_word=0, words=(), final=True)


def once(seq: int) -> list[ServerMessage]:
    """One message of each kind that is said once."""
    return [
        Speech(seq=seq, channel=0, state="started", utterance=1, at_ms=100),
        Speech(seq=seq + 1, channel=0, state="ended", utterance=1, at_ms=900, rule="silence"),
        final(1, seq + 2),
        Gap(seq=seq + 3, from_sample=0, to_sample=100, reason="client"),
        SoundEvent(seq=seq + 4, label="no_speech", channel=0, start_ms=1000),
        CallEvent(seq=seq + 5, kind="dead_air", phase="start", start_ms=1000),
        CallEvent(seq=seq + 6, kind="dead_air", phase="end", start_ms=1000, end_ms=9000),
        CallEvent(seq=seq + 7, kind="keyword", channel=1, start_ms=9100, keyword="refund", utterance=2),
        CallSummary(seq=seq + 8, call={}),
    ]


def test_what_comes_again_with_another_number_is_not_new() -> None:
    novelty = Novelty()
    assert [novelty.is_new(message) for message in once(1)] == [True] * 9
    assert [novelty.is_new(message) for message in once(10)] == [False] * 9
    assert novelty.last_seq == 18


def test_what_is_about_something_else_is_new() -> None:
    novelty = Novelty()
    for message in once(1):
        novelty.is_new(message)
    assert novelty.is_new(Speech(seq=10, channel=0, state="started", utterance=2, at_ms=2000))
    assert novelty.is_new(Gap(seq=11, from_sample=0, to_sample=100, reason="lost", channel=0))
    assert novelty.is_new(final(2, 12))
    assert novelty.is_new(CallEvent(seq=13, kind="keyword", channel=1, start_ms=9900, keyword="refund", utterance=2))


def test_an_interim_of_an_utterance_whose_final_came_is_not_new() -> None:
    novelty = Novelty()
    novelty.is_new(final(1, 1))
    assert not novelty.is_new(TranscriptUpdate(seq=2, utterance=1, channel=0, revision=2, from_word=0, words=()))


def test_a_marker_comes_back_as_often_as_it_was_taken() -> None:
    novelty = Novelty()
    for name in ("a", "b", "a"):
        novelty.expect_marker(name)
    echoes = [MarkerReached(seq=seq, id=name, sample=seq) for seq, name in enumerate("abaab", 1)]
    assert [novelty.is_new(echo) for echo in echoes] == [True, True, True, False, False]


@pytest.mark.parametrize("number", [0, 1])
def test_numbers_that_were_there_are_not_new_and_messages_without_one_always_are(number: int) -> None:
    novelty = Novelty()
    novelty.is_new(final(1, 1))
    assert not novelty.is_new(final(2, number))
    load = Load(level="normal", lag_ms=0, interim_ms=500)
    assert novelty.is_new(load)
    assert novelty.is_new(load)


def test_it_is_bounded() -> None:
    novelty = Novelty()
    for utterance in range(1, KEPT + 2):
        novelty.is_new(final(utterance, utterance))
    assert novelty.is_new(final(1, KEPT + 2)), "the oldest is forgotten"
    assert not novelty.is_new(final(KEPT, KEPT + 3))
