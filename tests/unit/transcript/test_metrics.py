"""The reader applies diffs and counts what a viewer would have seen change."""

from __future__ import annotations

import pytest

from streaming.protocol.messages import Transcript, Word, WordState
from streaming.transcript.metrics import Steadiness, TranscriptReader

STATES: dict[str, WordState] = {"t": "tentative", "s": "stable", "f": "final"}


def words(script: str) -> list[Word]:
    """ "the:s cat:t" as words; ids and times follow from the text."""
    made = []
    for part in script.split():
        text, state = part.split(":")
        made.append(Word(id=hash(text) % 1000, text=text, start_ms=0, end_ms=0, confidence=1.0, state=STATES[state]))
    return made


def transcript(revision: int, from_word: int, script: str, final: bool = False, utterance: int = 1) -> Transcript:
    return Transcript(
        utterance=utterance, channel=0, revision=revision, from_word=from_word, words=words(script), final=final
    )


def test_diffs_give_the_words() -> None:
    reader = TranscriptReader()
    reader.read(transcript(0, 0, "the:t cat:t"))
    assert [word.text for word in reader.read(transcript(1, 1, "hat:t sat:t"))] == ["the", "hat", "sat"]
    reader.read(transcript(0, 0, "other:t", utterance=2))
    assert {key: len(value) for key, value in reader.open_words.items()} == {1: 3, 2: 1}
    reader.read(transcript(2, 0, "the:f hat:f", final=True))
    assert [word.text for word in reader.finals[1]] == ["the", "hat"]
    assert list(reader.open_words) == [2]


def test_unstable_words_are_those_that_the_next_version_changed_or_dropped() -> None:
    reader = TranscriptReader()
    reader.read(transcript(0, 0, "a:t b:t c:t"))
    reader.read(transcript(1, 1, "x:t y:t c:t d:t"))  # b changed; c moved, and flickered with it
    reader.read(transcript(2, 0, "a:f x:f", final=True))  # y, c and d went away
    assert reader.steadiness.unstable_words == 1 + 3
    assert reader.steadiness.upwr == 4 / 2
    assert reader.steadiness.erased_words == 2 + 3
    assert reader.steadiness.flicker_per_word == 5 / 2


def test_case_and_punctuation_are_unstable_only_in_the_exact_measure() -> None:
    reader = TranscriptReader()
    reader.read(transcript(0, 0, "sea:t was:t quiet.:t"))
    reader.read(transcript(1, 0, "Sea:f was:f quiet,:f", final=True))
    assert reader.steadiness.upwr == 0
    assert reader.steadiness.upwr_exact == 2 / 3
    assert reader.steadiness.erased_words == 3


def test_words_that_only_become_stable_are_not_unstable() -> None:
    reader = TranscriptReader()
    reader.read(transcript(0, 0, "a:t b:t"))
    reader.read(transcript(1, 0, "a:s b:s"))
    reader.read(transcript(2, 0, "a:f b:f", final=True))
    assert reader.steadiness == Steadiness(finals=1, final_words=2, stable_words=2)


@pytest.mark.parametrize("then", ["b:s", "a:t", ""])
def test_a_stable_word_that_changes_while_open_is_a_violation(then: str) -> None:
    reader = TranscriptReader()
    reader.read(transcript(0, 0, "a:s"))
    reader.read(transcript(1, 0, then))
    assert reader.steadiness.stable_violations == 1


def test_a_final_that_changes_stable_words_corrects_and_does_not_violate() -> None:
    reader = TranscriptReader()
    reader.read(transcript(0, 0, "hello:s word:s x:t"))
    reader.read(transcript(1, 0, "Hello,:f world:f", final=True))
    assert reader.steadiness.stable_violations == 0
    assert reader.steadiness.final_corrections == 1
    assert reader.steadiness.final_corrections_exact == 2
    assert reader.steadiness.final_correction_share == 1 / 2


@pytest.mark.parametrize(
    "message",
    [transcript(1, 3, "x:t"), transcript(1, -1, "x:t"), transcript(0, 0, "x:t")],
    ids=["beyond the words", "negative", "revision again"],
)
def test_a_message_that_cannot_follow_is_refused(message: Transcript) -> None:
    reader = TranscriptReader()
    reader.read(transcript(0, 0, "a:t b:t"))
    with pytest.raises(ValueError, match="utterance 1"):
        reader.read(message)


def test_nothing_follows_a_final() -> None:
    reader = TranscriptReader()
    reader.read(transcript(0, 0, "a:f", final=True))
    with pytest.raises(ValueError, match="after its final"):
        reader.read(transcript(1, 0, "b:f", final=True))


def test_sums_of_several_readers_add_up() -> None:
    total = Steadiness(final_words=3, unstable_words=1) + Steadiness(final_words=1, stable_violations=2)
    assert total == Steadiness(final_words=4, unstable_words=1, stable_violations=2)
    assert Steadiness().upwr == Steadiness().flicker_per_word == Steadiness().final_correction_share == 0
