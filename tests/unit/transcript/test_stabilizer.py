"""LocalAgreement as the captions' reader sees it: stable words, ids, times, finals."""

from __future__ import annotations

from itertools import count

import pytest

from inference.pool.interface import Hypothesis, HypothesisWord
from streaming.protocol.messages import InterimPolicy
from streaming.transcript.stabilizer import Stabilizer, Update

WORD_SAMPLES = 4_000  # each scripted word lasts 0.25 s


def tokens_of(text: str) -> tuple[int, ...]:
    """One token per character, so that a word that grows begins with the tokens of the shorter one."""
    return tuple(map(ord, f" {text}"))


def word(text: str, index: int, confidence: float = 0.9, at: int | None = None) -> HypothesisWord:
    start = index * WORD_SAMPLES if at is None else at
    return HypothesisWord(
        text=text,
        start_sample=start,
        end_sample=start + WORD_SAMPLES,
        confidence=confidence,
        tokens=tokens_of(text),
    )


def hypothesis(revision: int, text: str, final: bool = False, decoded_until: int = 1_000_000) -> Hypothesis:
    return Hypothesis(
        stream="s",
        utterance=7,
        revision=revision,
        final=final,
        decoded_until=decoded_until,
        words=tuple(word(one, index) for index, one in enumerate(text.split())),
    )


def make(policy: InterimPolicy = "stable", **settings: float) -> Stabilizer:
    return Stabilizer(7, 1, policy, count(100).__next__, **settings)  # type: ignore[arg-type]


def feed(stabilizer: Stabilizer, *texts: str) -> list[Update]:
    updates = [stabilizer.hypothesis(hypothesis(revision, text)) for revision, text in enumerate(texts)]
    assert all(updates)
    return [update for update in updates if update]


def states(update: Update) -> str:
    return " ".join(f"{one.text}:{one.state[0]}" for one in update.words)


def test_a_word_is_stable_when_two_hypotheses_agree_on_it_and_on_all_before_it() -> None:
    first, second, third = feed(make(), "the cat", "the hat sat", "the hat sat down")
    assert (first.from_word, states(first)) == (0, "the:t cat:t")
    assert (second.from_word, states(second)) == (0, "the:s hat:t sat:t")
    assert (third.from_word, states(third)) == (1, "hat:s sat:s down:t")
    assert third.text == "the hat sat down"
    assert (third.utterance, third.channel, third.revision) == (7, 1, 2)


def test_three_must_agree_where_the_agreement_is_three() -> None:
    *_, second, third = feed(make(agreement=3), "one", "one", "one")
    assert states(second) == ""
    assert not second.changed
    assert states(third) == "one:s"


def test_one_hypothesis_is_enough_where_the_agreement_is_one() -> None:
    assert states(feed(make(agreement=1), "one two")[0]) == "one:s two:s"


def test_an_agreement_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make(agreement=0)


def test_a_word_close_to_the_end_of_the_audio_is_held_back() -> None:
    stabilizer = make(hold_back_samples=1_600)
    end = 2 * WORD_SAMPLES
    stabilizer.hypothesis(hypothesis(0, "one two", decoded_until=end))
    agreed = stabilizer.hypothesis(hypothesis(1, "one two", decoded_until=end + 1_599))
    later = stabilizer.hypothesis(hypothesis(2, "one two", decoded_until=end + 1_600))
    assert agreed is not None
    assert states(agreed) == "one:s two:t"
    assert later is not None
    assert states(later) == "two:s"


def test_a_tentative_word_close_to_the_end_of_the_audio_is_not_shown_but_counts_for_the_agreement() -> None:
    stabilizer = make(tentative_hold_back_samples=1_600, sure_confidence=0.95)
    end = 2 * WORD_SAMPLES
    first = stabilizer.hypothesis(hypothesis(0, "one two", decoded_until=end))
    assert first is not None
    assert states(first) == "one:t"
    assert first.text == "one"
    second = stabilizer.hypothesis(hypothesis(1, "one two three", decoded_until=end))
    assert second is not None
    assert states(second) == "one:s two:s"


def test_a_half_heard_word_is_shown_if_it_is_sure() -> None:
    stabilizer = make(tentative_hold_back_samples=1_600, sure_confidence=0.9)
    update = stabilizer.hypothesis(hypothesis(0, "one two", decoded_until=2 * WORD_SAMPLES))
    assert update is not None
    assert states(update) == "one:t two:t"


def test_an_unsure_word_and_those_after_it_stay_tentative() -> None:
    stabilizer = make(min_confidence=0.5)
    for revision in range(2):
        words = (word("one", 0), word("two", 1, confidence=0.4), word("three", 2))
        update = stabilizer.hypothesis(
            Hypothesis(stream="s", utterance=7, revision=revision, final=False, decoded_until=10**6, words=words)
        )
    assert update is not None
    assert stabilizer.stable_words == 1
    assert states(update) == "one:s two:t three:t"


def test_the_stable_words_tokens_bind_the_next_interim_but_not_the_final() -> None:
    stabilizer = make()
    feed(stabilizer, "one two", "one too")
    assert stabilizer.prefix_tokens() == tokens_of("one")
    assert stabilizer.prefix_tokens("final") == ()


def test_an_append_only_final_is_bound_by_the_stable_words() -> None:
    stabilizer = make("append_only")
    feed(stabilizer, "one two", "one too")
    assert stabilizer.prefix_tokens("final") == tokens_of("one")


def test_a_job_older_than_a_stable_word_cannot_change_it() -> None:
    stabilizer = make()
    feed(stabilizer, "the cat", "the cat")
    update = stabilizer.hypothesis(hypothesis(2, "the hat sat"))
    assert update is not None
    assert update.text == "the cat sat"
    assert states(update) == "sat:t"


def test_a_stable_word_keeps_its_time_whatever_later_hypotheses_say() -> None:
    stabilizer = make()
    feed(stabilizer, "one two", "one two")
    moved = Hypothesis(
        stream="s",
        utterance=7,
        revision=2,
        final=False,
        decoded_until=10**6,
        words=(word("one", 0, at=500), word("two", 1, at=2_000), word("three", 2, at=1_000)),
    )
    before = stabilizer.words[:2]
    stabilizer.hypothesis(moved)
    assert stabilizer.words[:2] == before
    three = stabilizer.words[2]
    assert (three.start_sample, three.end_sample) == (2 * WORD_SAMPLES, 2 * WORD_SAMPLES)


def test_no_word_starts_before_the_previous_utterances_end() -> None:
    update = feed(make(not_before_sample=5_000), "one two")[0]
    assert [(one.start_sample, one.end_sample) for one in update.words] == [(5_000, 5_000), (5_000, 8_000)]


def test_a_tentative_word_keeps_its_id_while_its_text_stays() -> None:
    first, second = feed(make(), "a b c", "x b d")
    assert [one.id for one in first.words] == [100, 101, 102]
    assert [one.id for one in second.words] == [103, 101, 104]


def test_older_revisions_are_dropped() -> None:
    stabilizer = make()
    stabilizer.hypothesis(hypothesis(5, "one"))
    assert stabilizer.hypothesis(hypothesis(4, "two")) is None
    assert stabilizer.hypothesis(hypothesis(5, "two")) is None


def test_a_hypothesis_that_changes_nothing_visible_says_so() -> None:
    stabilizer = make()
    feed(stabilizer, "one", "one", "one")
    update = stabilizer.hypothesis(hypothesis(3, "one", decoded_until=77))
    assert update is not None
    assert (update.changed, update.words, update.from_word, update.decoded_until) == (False, (), 1, 77)


def test_a_shorter_hypothesis_takes_tentative_words_back_only() -> None:
    stabilizer = make()
    feed(stabilizer, "one two", "one two", "one two three four")
    update = stabilizer.hypothesis(hypothesis(3, "one"))
    assert update is not None
    assert (update.changed, update.from_word, update.words) == (True, 2, ())
    assert update.text == "one two"


def test_a_final_keeps_the_ids_of_words_that_stayed_and_counts_stable_words_that_did_not() -> None:
    stabilizer = make()
    feed(stabilizer, "well the cat sat", "well the cat sat down")
    final = stabilizer.hypothesis(hypothesis(2, "the cat spat down there", final=True))
    assert final is not None
    assert final.final
    assert final.from_word == 0
    assert states(final) == "the:f cat:f spat:f down:f there:f"
    assert [one.id for one in final.words] == [101, 102, 105, 104, 106]
    assert (final.corrected, final.corrected_exact) == (2, 2)  # "well" dropped, "sat" changed


def test_case_and_punctuation_are_no_corrections_but_exact_ones() -> None:
    stabilizer = make()
    feed(stabilizer, "hello world", "hello world")
    final = stabilizer.hypothesis(hypothesis(2, "Hello, world", final=True))
    assert final is not None
    assert (final.corrected, final.corrected_exact) == (0, 1)


def test_nothing_is_taken_after_the_final() -> None:
    stabilizer = make()
    assert stabilizer.hypothesis(hypothesis(0, "one", final=True)) is not None
    assert stabilizer.closed
    assert stabilizer.hypothesis(hypothesis(1, "two")) is None
    assert stabilizer.hypothesis(hypothesis(2, "two", final=True)) is None


def test_an_empty_final_takes_everything_back() -> None:
    stabilizer = make()
    feed(stabilizer, "one two", "one two")
    final = stabilizer.hypothesis(hypothesis(2, "", final=True))
    assert final is not None
    assert (final.from_word, final.words, final.text, final.corrected) == (0, (), "", 2)


def test_append_only_sends_stable_words_only_and_its_final_keeps_them() -> None:
    stabilizer = make("append_only")
    first, second = feed(stabilizer, "the cat", "the hat")
    assert (first.changed, first.words, first.text) == (False, (), "")
    assert states(second) == "the:s"
    final = stabilizer.hypothesis(hypothesis(2, "a hat sat", final=True))
    assert final is not None
    assert final.text == "the hat sat"
    assert (final.corrected, final.corrected_exact) == (0, 0)


def test_with_interims_off_only_the_final_is_sent() -> None:
    stabilizer = make("off")
    assert stabilizer.hypothesis(hypothesis(0, "one")) is None
    final = stabilizer.hypothesis(hypothesis(1, "one two", final=True))
    assert final is not None
    assert states(final) == "one:f two:f"


def test_a_stable_word_that_grows_is_followed_by_a_glued_word() -> None:
    stabilizer = make()
    feed(stabilizer, "we play", "we play")
    update = stabilizer.hypothesis(hypothesis(2, "we playing now"))
    assert update is not None
    assert [(one.text, one.glued) for one in update.words] == [("ing", True), ("now", False)]
    assert update.text == "we playing now"


def test_punctuation_that_grows_on_a_stable_word_waits_for_the_final() -> None:
    stabilizer = make()
    feed(stabilizer, "hello", "hello")
    update = stabilizer.hypothesis(hypothesis(2, "hello, world"))
    assert update is not None
    assert update.text == "hello world"


def test_punctuation_that_grows_on_a_sent_word_is_glued_to_it_where_finals_are_bound() -> None:
    stabilizer = make("append_only")
    feed(stabilizer, "hello", "hello")
    final = stabilizer.hypothesis(hypothesis(2, "hello, world", final=True))
    assert final is not None
    assert final.text == "hello, world"
    assert [one.text for one in final.words] == ["hello", ",", "world"]


def test_words_without_tokens_are_aligned_by_their_text() -> None:
    stabilizer = make()
    for revision, text in enumerate(["one two", "one two", "One two three"]):
        plain = hypothesis(revision, text)
        bare = tuple(
            HypothesisWord(text=w.text, start_sample=w.start_sample, end_sample=w.end_sample, confidence=1.0, tokens=())
            for w in plain.words
        )
        update = stabilizer.hypothesis(
            Hypothesis(stream="s", utterance=7, revision=revision, final=False, decoded_until=10**6, words=bare)
        )
    assert update is not None
    assert update.text == "one two three"
