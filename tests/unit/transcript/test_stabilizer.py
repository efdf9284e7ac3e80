"""LocalAgreement as the captions' reader sees it: stable words, ids, times, finals."""

from __future__ import annotations

from itertools import count

import msgspec
import pytest

from inference.pool.interface import Hypothesis, HypothesisWord
from streaming.protocol.messages import InterimPolicy
from streaming.transcript.stabilizer import Stabilizer, StabilizerState, Update

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


def hypothesis(
    revision: int,
    text: str,
    final: bool = False,
    decoded_until: int = 1_000_000,
    unsure: str = "",
    confidence: float = 0.4,
) -> Hypothesis:
    """The words of `text`; those that are also in `unsure` have this confidence, the others 0.9."""
    return Hypothesis(
        stream="s",
        utterance=7,
        revision=revision,
        final=final,
        decoded_until=decoded_until,
        words=tuple(
            word(one, index, confidence if one in unsure.split() else 0.9) for index, one in enumerate(text.split())
        ),
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
    *_, second, third = feed(make(agreement=3), "red green", "red green", "red green")
    assert states(second) == ""
    assert not second.changed
    assert states(third) == "red:s green:t"


def test_one_hypothesis_is_enough_where_the_agreement_is_one() -> None:
    assert states(feed(make(agreement=1), "red green blue")[0]) == "red:s green:s blue:t"


def test_the_last_word_is_not_stable_however_many_agree_on_it() -> None:
    """What it begins may go on: "open" to "open-source"."""
    *_, last = feed(make(), "red open", "red open", "red open", "red open-source now")
    assert states(last) == "open-source:t now:t"


def test_an_agreement_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make(agreement=0)


def test_a_word_close_to_the_end_of_the_audio_is_held_back() -> None:
    stabilizer = make(hold_back_samples=1_600)
    end = 2 * WORD_SAMPLES
    stabilizer.hypothesis(hypothesis(0, "red green blue", decoded_until=end))
    agreed = stabilizer.hypothesis(hypothesis(1, "red green blue", decoded_until=end + 1_599))
    later = stabilizer.hypothesis(hypothesis(2, "red green blue", decoded_until=end + 1_600))
    assert agreed is not None
    assert agreed.words[0].state == "stable"
    assert stabilizer.stable_words == 2
    assert later is not None
    assert later.words[0].text == "green"
    assert later.words[0].state == "stable"


def test_a_tentative_word_close_to_the_end_of_the_audio_is_not_shown_but_counts_for_the_agreement() -> None:
    stabilizer = make(tentative_hold_back_samples=1_600, sure_confidence=0.95)
    end = 2 * WORD_SAMPLES
    first = stabilizer.hypothesis(hypothesis(0, "red green", decoded_until=end))
    assert first is not None
    assert states(first) == "red:t"
    assert first.text == "red"
    second = stabilizer.hypothesis(hypothesis(1, "red green blue", decoded_until=end))
    assert second is not None
    assert states(second) == "red:s green:s"


def test_a_half_heard_word_is_shown_if_it_is_sure() -> None:
    stabilizer = make(tentative_hold_back_samples=1_600, sure_confidence=0.9)
    update = stabilizer.hypothesis(hypothesis(0, "red green", decoded_until=2 * WORD_SAMPLES))
    assert update is not None
    assert states(update) == "red:t green:t"


@pytest.mark.parametrize(("ends_before_end", "confidence", "shown"), [(7_999, 0.89, 1), (7_999, 0.9, 2), (8_000, 0, 2)])
def test_half_a_second_of_audio_is_half_heard_unless_the_word_is_nine_tenths_sure(
    ends_before_end: int, confidence: float, shown: int
) -> None:
    """The defaults: the last word ends this much before the decoded audio's end."""
    decoded_until = 2 * WORD_SAMPLES + ends_before_end
    update = make().hypothesis(hypothesis(0, "red green", False, decoded_until, unsure="green", confidence=confidence))
    assert update is not None
    assert len(update.words) == shown


def test_an_unsure_word_and_those_after_it_stay_tentative() -> None:
    stabilizer = make(min_confidence=0.5)
    for revision in range(3):
        update = stabilizer.hypothesis(hypothesis(revision, "red green blue", unsure="green"))
        assert update is not None
        assert update.text == "red green blue"
        assert stabilizer.stable_words == (0 if revision == 0 else 1)


def test_an_unsure_word_is_stable_once_as_many_hypotheses_agree_on_it_as_patience_asks_for() -> None:
    """Those after it, on which two agree by then, become stable with it."""
    stabilizer = make(min_confidence=0.5, patient_agreement=4)
    counts = []
    for revision in range(4):
        stabilizer.hypothesis(hypothesis(revision, "red green blue grey", unsure="green"))
        counts.append(stabilizer.stable_words)
    assert counts == [0, 1, 1, 3]


@pytest.mark.parametrize(("confidence", "stable"), [(0.29, 1), (0.3, 3)])
def test_a_word_below_the_least_confidence_of_all_waits_for_the_final_with_those_after_it(
    confidence: float, stable: int
) -> None:
    stabilizer = make(min_confidence=0.5, unsure_confidence=0.3, patient_agreement=4)
    for revision in range(40):
        stabilizer.hypothesis(hypothesis(revision, "red green blue grey", unsure="green", confidence=confidence))
    assert stabilizer.stable_words == stable


def test_a_least_confidence_of_all_above_the_usual_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at most min_confidence"):
        make(min_confidence=0.5, unsure_confidence=0.51)


def test_patience_begins_anew_where_an_unsure_word_was_another_one() -> None:
    stabilizer = make(min_confidence=0.5, patient_agreement=3)
    counts = []
    for revision, now in enumerate(["green", "green", "greet", "green", "green", "green"]):
        stabilizer.hypothesis(hypothesis(revision, f"red {now} or", unsure="green greet"))
        counts.append(stabilizer.stable_words)
    assert counts == [0, 1, 1, 1, 1, 2]


def test_a_word_that_was_unsure_needs_only_the_agreement_when_it_becomes_sure() -> None:
    stabilizer = make(min_confidence=0.5, patient_agreement=4)
    stabilizer.hypothesis(hypothesis(0, "red green blue", unsure="green"))
    stabilizer.hypothesis(hypothesis(1, "red green blue"))
    assert stabilizer.stable_words == 2


def test_patience_below_the_agreement_is_refused() -> None:
    make(agreement=3, patient_agreement=3)
    with pytest.raises(ValueError, match="at most patient_agreement"):
        make(agreement=3, patient_agreement=2)


@pytest.mark.parametrize(
    ("text", "stable"),
    [
        ("call seven", 1),
        ("call seven now", 1),
        ("call seven now please", 4),
        ("call 49 now please", 4),
        ("seven 49 MNZ", 0),
        ("seven now 49 please", 0),
        ("seven now please 49", 3),
        ("call seven now please 49 or", 4),
        ("I saw a cat", 4),
    ],
)
def test_a_number_or_a_spelling_is_stable_once_two_ordinary_words_after_it_would_be(text: str, stable: int) -> None:
    """With a word at the end, which is not stable itself."""
    stabilizer = make()
    feed(stabilizer, *[f"{text} end"] * 3)
    assert stabilizer.stable_words == stable


def test_a_number_waits_for_words_that_are_agreed_on() -> None:
    """Two ordinary words that only the newest hypothesis has are not yet what a number waits for."""
    stabilizer = make()
    feed(stabilizer, "call 49", "call 49", "call 49 now please end")
    assert stabilizer.stable_words == 1
    stabilizer.hypothesis(hypothesis(3, "call 49 now please end"))
    assert stabilizer.stable_words == 4


def test_a_number_that_is_written_differently_when_more_is_heard_was_never_stable() -> None:
    stabilizer = make()
    feed(stabilizer, "row 8, 4", "row 8, 4", "row 84", "row 847", "row 847 is late", "row 847 is late")
    final = stabilizer.hypothesis(hypothesis(6, "row 847 is late", final=True))
    assert final is not None
    assert (final.corrected, final.corrected_exact) == (0, 0)


def test_a_number_is_not_sent_where_words_cannot_be_taken_back_until_two_words_follow() -> None:
    stabilizer = make("append_only")
    *_, second = feed(stabilizer, "call 49 now", "call 49 now")
    assert second.text == "call"
    stabilizer.hypothesis(hypothesis(2, "call 49 now please end"))
    update = stabilizer.hypothesis(hypothesis(3, "call 49 now please end"))
    assert update is not None
    assert update.text == "call 49 now please"


def test_a_final_that_moves_spaces_only_corrects_nothing() -> None:
    stabilizer = make()
    feed(stabilizer, "use voice over the wire", "use voice over the wire")
    final = stabilizer.hypothesis(hypothesis(2, "use VoiceOver the wire", final=True))
    assert final is not None
    assert (final.corrected, final.corrected_exact) == (0, 2)


def test_the_stable_words_tokens_bind_the_next_interim_but_not_the_final() -> None:
    stabilizer = make()
    feed(stabilizer, "red green", "red greet")
    assert stabilizer.prefix_tokens() == tokens_of("red")
    assert stabilizer.prefix_tokens("final") == ()


def test_an_append_only_final_is_bound_by_the_stable_words() -> None:
    stabilizer = make("append_only")
    feed(stabilizer, "red green", "red greet")
    assert stabilizer.prefix_tokens("final") == tokens_of("red")


def test_a_job_older_than_a_stable_word_cannot_change_it() -> None:
    stabilizer = make()
    feed(stabilizer, "the cat sat", "the cat sat")
    update = stabilizer.hypothesis(hypothesis(2, "the hat sat down"))
    assert update is not None
    assert update.text == "the cat sat down"
    assert states(update) == "sat:s down:t"


def test_a_stable_word_keeps_its_time_whatever_later_hypotheses_say() -> None:
    stabilizer = make()
    feed(stabilizer, "red green blue", "red green blue")
    moved = Hypothesis(
        stream="s",
        utterance=7,
        revision=2,
        final=False,
        decoded_until=10**6,
        words=(word("red", 0, at=500), word("green", 1, at=2_000), word("blue", 2, at=1_000)),
    )
    before = stabilizer.words[:2]
    stabilizer.hypothesis(moved)
    assert stabilizer.words[:2] == before
    three = stabilizer.words[2]
    assert (three.start_sample, three.end_sample) == (2 * WORD_SAMPLES, 2 * WORD_SAMPLES)


def test_no_word_starts_before_the_previous_utterances_end() -> None:
    update = feed(make(not_before_sample=5_000), "red green")[0]
    assert [(one.start_sample, one.end_sample) for one in update.words] == [(5_000, 5_000), (5_000, 8_000)]


def test_a_tentative_word_keeps_its_id_while_its_text_stays() -> None:
    first, second = feed(make(), "a b c", "x b d")
    assert [one.id for one in first.words] == [100, 101, 102]
    assert [one.id for one in second.words] == [103, 101, 104]


def test_older_revisions_are_dropped() -> None:
    stabilizer = make()
    stabilizer.hypothesis(hypothesis(5, "red"))
    assert stabilizer.hypothesis(hypothesis(4, "green")) is None
    assert stabilizer.hypothesis(hypothesis(5, "green")) is None


def test_a_hypothesis_that_changes_nothing_visible_says_so() -> None:
    stabilizer = make()
    feed(stabilizer, "red", "red", "red")
    update = stabilizer.hypothesis(hypothesis(3, "red", decoded_until=10_077))
    assert update is not None
    assert (update.changed, update.words, update.from_word, update.decoded_until) == (False, (), 1, 10_077)


def test_a_shorter_hypothesis_takes_tentative_words_back_only() -> None:
    stabilizer = make()
    feed(stabilizer, "red green", "red green", "red green blue grey")
    update = stabilizer.hypothesis(hypothesis(3, "red"))
    assert update is not None
    assert (update.changed, update.from_word, update.words) == (True, 2, ())
    assert update.text == "red green"


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
    assert stabilizer.hypothesis(hypothesis(0, "red", final=True)) is not None
    assert stabilizer.closed
    assert stabilizer.hypothesis(hypothesis(1, "green")) is None
    assert stabilizer.hypothesis(hypothesis(2, "green", final=True)) is None


def test_an_empty_final_takes_everything_back() -> None:
    stabilizer = make()
    feed(stabilizer, "red green blue", "red green blue")
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
    assert stabilizer.hypothesis(hypothesis(0, "red")) is None
    final = stabilizer.hypothesis(hypothesis(1, "red green", final=True))
    assert final is not None
    assert states(final) == "red:f green:f"


def test_a_stable_word_that_grows_is_followed_by_a_glued_word() -> None:
    stabilizer = make()
    feed(stabilizer, "we play on", "we play on")
    update = stabilizer.hypothesis(hypothesis(2, "we playing now"))
    assert update is not None
    assert [(one.text, one.glued) for one in update.words] == [("ing", True), ("now", False)]
    assert update.text == "we playing now"


def test_punctuation_that_grows_on_a_stable_word_waits_for_the_final() -> None:
    stabilizer = make()
    feed(stabilizer, "hello world", "hello world")
    update = stabilizer.hypothesis(hypothesis(2, "hello, world"))
    assert update is not None
    assert update.text == "hello world"


def test_punctuation_that_grows_on_a_sent_word_is_glued_to_it_where_finals_are_bound() -> None:
    stabilizer = make("append_only")
    feed(stabilizer, "hello world", "hello world")
    final = stabilizer.hypothesis(hypothesis(2, "hello, world", final=True))
    assert final is not None
    assert final.text == "hello, world"
    assert [one.text for one in final.words] == ["hello", ",", "world"]


def test_words_without_tokens_are_aligned_by_their_text() -> None:
    stabilizer = make()
    for revision, text in enumerate(["red green", "red green", "Red green blue"]):
        plain = hypothesis(revision, text)
        bare = tuple(
            HypothesisWord(text=w.text, start_sample=w.start_sample, end_sample=w.end_sample, confidence=1.0, tokens=())
            for w in plain.words
        )
        update = stabilizer.hypothesis(
            Hypothesis(stream="s", utterance=7, revision=revision, final=False, decoded_until=10**6, words=bare)
        )
    assert update is not None
    assert update.text == "red green blue"


def test_one_that_goes_on_from_a_state_answers_as_that_one_would_have() -> None:
    texts = ["so we", "so we went", "so we went to", "so we want to the", "so we went to the sea", "so we went to the"]
    whole = make(patient_agreement=3, min_confidence=0.5)
    updates = [whole.hypothesis(hypothesis(number, text, unsure="the")) for number, text in enumerate(texts)]
    ids = count(100)
    one = Stabilizer(7, 1, "stable", ids.__next__, patient_agreement=3, min_confidence=0.5)
    for number, text in enumerate(texts):
        other = Stabilizer(7, 1, "off", ids.__next__, patient_agreement=3, min_confidence=0.5)
        other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(one.state()), type=StabilizerState))
        assert other.hypothesis(hypothesis(number, text, unsure="the")) == updates[number]
        one = other
    assert one.prefix_tokens() == whole.prefix_tokens() != ()


def test_a_state_that_claims_more_words_than_it_has_is_refused() -> None:
    state = make().state()
    for damaged in (msgspec.structs.replace(state, stable=1), msgspec.structs.replace(state, sent=-1)):
        with pytest.raises(ValueError, match="more words"):
            make().restore(damaged)


def test_recalled_words_stay_where_they_are_stable_and_bind_as_far_as_their_tokens_are_known() -> None:
    told = make()
    feed(told, "so we went", "so we went to")
    stable = told.stable_words
    assert stable == 3
    known = [*told.words[:1], *(msgspec.structs.replace(word, tokens=()) for word in told.words[1:])]
    stabilizer = make()
    stabilizer.recall(known, revision=4)
    assert stabilizer.prefix_tokens() == tokens_of("so")
    assert stabilizer.hypothesis(hypothesis(4, "so we went")) is None, "it is not newer"
    update = stabilizer.hypothesis(hypothesis(5, "so he went to the"))
    assert update is not None
    assert update.from_word == 0
    assert list(update.words[:3]) == known[:3]
    assert [word.text for word in update.words[3:]] == ["to", "the"]
    assert update.words[3].id == known[3].id, "the same text at its place"
