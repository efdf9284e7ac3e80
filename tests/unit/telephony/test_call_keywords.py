"""Keywords: each occurrence once, live in stable words, for good in finals."""

from __future__ import annotations

import pytest

from streaming.telephony import CallSettings
from tests.support.calls import Call, samples, words

SETTINGS = CallSettings(keywords=("cancel my contract", "refund", "open-source"))


def call() -> Call:
    return Call(settings=SETTINGS)


def phrases(one: Call) -> list[int | None]:
    return [event.phrase for event in one.events]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I want a REFUND, now.", [1]),
        ("refunds are for others", []),
        ("Cancel my contract!", [0]),
        ("cancel my -- contract", [0]),
        ("cancel my old contract", []),
        ("con +tract cancel my con +tract", [0]),
        ("open source and open-source", [2, 2]),
        ("refund refund", [1, 1]),
    ],
)
def test_case_punctuation_and_spaces_do_not_count(text: str, found: list[int]) -> None:
    assert phrases(call().say(text, 0)) == found


def test_a_phrase_is_spotted_as_soon_as_its_words_are_stable() -> None:
    one = call()
    said = words("I'd like to cancel my contract with")
    for stable in range(len(said) + 1):
        settled = [*said[:stable], *words("contract please", 1.5, stable=False)]
        one.events += one.model.words(0, 1, settled, final=False)
        assert phrases(one) == ([0] if stable >= 6 else [])
    one.say("I'd like to cancel my contract, with effect", 0.1)
    assert phrases(one) == [0]
    assert (one.events[0].channel, one.events[0].utterance) == (0, 1)
    assert one.events[0].start_sample == samples(0.75)


def test_the_last_stable_word_waits_since_it_may_still_grow() -> None:
    one = call()
    one.events += one.model.words(0, 1, words("a refund"), final=False)
    one.events += one.model.words(0, 1, words("a refund +able"), final=False)
    one.events += one.model.words(0, 1, words("a refund +able ticket"), final=False)
    assert one.events == []


def test_what_only_the_final_has_is_told_with_it() -> None:
    one = call()
    one.events += one.model.words(0, 1, words("refund me that refunds"), final=False)
    one.say("refund me that refund", 0)
    assert phrases(one) == [1, 1]


def test_what_the_final_takes_back_was_told_but_does_not_count() -> None:
    one = call()
    one.events += one.model.words(0, 1, words("refund me that"), final=False)
    one.say("refunds me that", 0)
    account = one.over(10)
    assert phrases(one)[:1] == [1]
    assert [(keyword.phrase, keyword.count) for keyword in account.keywords] == [
        ("cancel my contract", 0),
        ("refund", 0),
        ("open-source", 0),
    ]
    assert account.hits == []


def test_a_phrase_may_go_on_in_the_next_utterance() -> None:
    one = call().say("please cancel", 0).say("my contract", 1.0, utterance=2)
    assert [(event.phrase, event.utterance) for event in one.events] == [(0, 2)]
    assert [(hit.phrase, hit.start_ms) for hit in one.over(9).hits] == [("cancel my contract", 250)]


def test_but_not_after_a_long_pause_nor_on_the_other_channel() -> None:
    one = call().say("please cancel", 0).say("my contract", 4, utterance=2)
    one.say("please cancel", 8, utterance=3).say("my contract", 8.5, utterance=4, channel=1)
    assert one.events == []


def test_occurrences_of_one_phrase_do_not_overlap() -> None:
    one = Call(settings=CallSettings(keywords=("no no",)))
    one.say("no no no", 0).say("no", 1, utterance=2).say("no", 1.5, utterance=3)
    assert [(event.start_sample, event.end_sample) for event in one.events] == [
        (samples(0), samples(0.5)),
        (samples(0.5), samples(1.25)),
    ]


def test_hits_are_those_of_the_finals_by_time() -> None:
    one = call().say("refund", 5, channel=1, utterance=2).say("a refund", 1, utterance=1)
    account = one.over(10)
    assert [(hit.channel, hit.start_ms) for hit in account.hits] == [(0, 1250), (1, 5000)]
    assert {keyword.phrase: keyword.count for keyword in account.keywords}["refund"] == 2


def test_words_of_a_final_that_comes_after_the_end_count() -> None:
    one = call().talk(0, (0, 5))
    one.over(5)
    account = one.say("a refund", 1).over(5)
    assert (account.roles[0].words, len(account.hits)) == (2, 1)
