"""What a redacted session shows of numbers: precisely which, in interims and in finals."""

from __future__ import annotations

import pytest

from streaming.protocol.messages import Analysis, Event, Gap, RedactKind, Speech, TimedWord, Transcript
from tests.support.masking import conversation, line, masked, redactor


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("my card is 4111 1111 1111 1111", "my card is #### #### #### ####"),
        ("it's 4111-1111-1111-1111.", "it's ####-####-####-####."),
        ("Four, one, one, one.", "#, #, #, #."),
        ("double five oh three", "# # # #"),
        ("forty-one eleven", "##-# ##"),
        ("twenty three forty five", "## # ## #"),
        ("nineteen eighty four", "## ## #"),
        ("four hundred eleven", "# ## ##"),
        ("two thousand", "# ###"),
        ("three fours and a one", "# ### and a #"),
        ("four ~teen hundred", "### ##"),
        ("41 uh that's 1 no wait 11", "## uh that's # no wait ##"),
        ("ACCOUNT AB12CD34", "ACCOUNT AB##CD##"),
        ("\u0664\u0661\u0661\u0661 and \uff14\uff11\uff11\uff11", "#### and ####"),
        ("for one one one", "# # # #"),
        ("oh four one one", "# # # #"),
        ("one oh, uh, four five", "# #, uh, # #"),
        ("+44 20 7946 0018", "+## ## #### ####"),
    ],
)
def test_finals_hide_numbers_of_four_digits_or_more(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "two tickets, please",
        "at three, or at half past ten",
        "Oh, I see.",
        "twenty three people",
        "it costs 150 dollars",
        "the 15th is free",
        "a million thanks",
        "For two of us, to go.",
        "no one double checked that",
        "hundreds of them",
        "Somebody told someone.",
    ],
)
def test_finals_show_shorter_ones(text: str) -> None:
    assert masked(text) == text


def test_interims_hide_every_number_since_it_may_grow() -> None:
    assert masked("I want two tickets", final=False) == "I want # tickets"
    assert masked("my card is four one", final=False) == "my card is # #"


def test_short_numbers_near_each_other_are_one_number() -> None:
    assert masked("two tickets for the show at 7 30") == "# tickets for the show at # ##"


def test_a_number_goes_on_in_the_next_utterances_of_its_channel() -> None:
    lines = [(0.0, "my card is four one"), (4.0, "one"), (9.0, "uh one one"), (14.0, "thank you"), (20.0, "one")]
    assert conversation(redactor(), lines) == ["my card is four one", "one", "uh # #", "thank you", "one"]


def test_the_other_channel_has_numbers_of_its_own() -> None:
    by = redactor()
    by.mask(line("four one one", utterance=1))
    agent = by.mask(line("four one one?", utterance=2, at_s=2, channel=1))
    assert isinstance(agent, Transcript)
    assert agent.text == "four one one?"


def test_after_a_card_number_its_expiry_and_code_are_hidden_for_a_minute() -> None:
    lines = [(0.0, "4111 1111 1111 1111"), (40.0, "oh four twenty six"), (90.0, "and 123"), (160.0, "for 2 people")]
    assert conversation(redactor("card"), lines) == [
        "#### #### #### ####",
        "# # ## #",
        "and ###",
        "for 2 people",
    ]


def test_near_the_words_for_it_even_a_short_code_is_hidden() -> None:
    by = redactor("card")
    assert masked("the security code is 123", by=by) == "the security code is ###"
    assert masked("7 sorry", by=by, at_s=20, utterance=2) == "# sorry"
    assert masked("7 sorry", by=by, at_s=60, utterance=3) == "7 sorry"
    assert masked("my PIN is 12", by=redactor("digits")) == "my PIN is ##"
    assert masked("my PIN is 12", by=redactor("card")) == "my PIN is 12"


@pytest.mark.parametrize(
    ("kinds", "shown"),
    [
        (["card"], "order 12345678"),
        (["phone"], "order ########"),
        (["digits"], "order ########"),
        (["dob"], "order ########"),
        (["card", "phone"], "order ########"),
    ],
)
def test_a_number_that_is_over_and_too_short_for_the_selected_kinds_is_shown(
    kinds: list[RedactKind], shown: str
) -> None:
    """Over: the utterance went on for more than ten seconds without another digit."""
    text = "order 12345678" + " it has not come and I would like to know why" * 4
    assert masked(text, by=redactor(*kinds)).startswith(shown)


def test_at_the_end_of_an_utterance_it_may_go_on_and_is_hidden() -> None:
    assert masked("order 12345678", by=redactor("card")) == "order ########"


def test_a_number_of_a_cards_length_is_hidden_whatever_its_check_digit_says() -> None:
    """One misheard digit makes any card number fail."""
    text = "4111 1111 1111 1112" + " and that was all of it I think so yes" * 5
    assert masked(text, by=redactor("card")).startswith("#### #### #### ####")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("I was born on the third of May nineteen eighty four", "I was born on the # of *** ## ## #"),
        ("May 3rd, 1984", "*** #rd, ####"),
        ("3/5/84", "#/#/##"),
        ("the twenty first of march 84", "the # # of *** ##"),
        ("born in May", "born in ***"),
        ("my birthday is the 2nd", "my birthday is the #nd"),
        ("we met on the third of May", "we met on the third of May"),
        ("May I ask you for a second?", "May I ask you for a second?"),
        ("they march in March", "they march in March"),
    ],
)
def test_dates(text: str, shown: str) -> None:
    assert masked(text, by=redactor("dob")) == shown


def test_a_date_that_is_said_in_pieces_never_shows_all_of_them() -> None:
    lines = [(0.0, "the third of May"), (3.0, "nineteen eighty four")]
    assert conversation(redactor("dob"), lines) == ["the third of May", "## ## #"]


def test_without_dob_days_and_months_are_words() -> None:
    assert masked("the third of May", final=False) == "the third of May"
    assert masked("the third of May", by=redactor("dob"), final=False) == "the # of ***"


def test_a_hidden_word_that_is_shown_in_the_final_has_another_id() -> None:
    by = redactor()
    interim = by.mask(line("two tickets", final=False))
    final = by.mask(line("two tickets"))
    assert isinstance(interim, Transcript)
    assert isinstance(final, Transcript)
    assert [(word.text, word.id) for word in interim.words] == [("#", 1000), ("tickets", 1001)]
    assert [(word.text, word.id) for word in final.words] == [("two", 50_000), ("tickets", 1001)]


def test_a_later_word_may_hide_one_that_was_shown() -> None:
    """The diff begins where something changed for the reader."""
    by = redactor()
    by.mask(line("well oh", final=False))
    grown = by.mask(line("well oh four", final=False, from_word=2))
    assert isinstance(grown, Transcript)
    assert (grown.from_word, [word.text for word in grown.words]) == (1, ["#", "#"])


def test_a_stable_word_stays_as_it_was_sent() -> None:
    by = redactor()
    by.mask(line("well oh", final=False, state="stable"))
    grown = by.mask(line("well oh four", final=False, state="stable"))
    assert isinstance(grown, Transcript)
    assert [word.text for word in grown.words] == ["well", "oh", "#"][grown.from_word :]


def test_where_interims_bind_the_final_hidden_words_stay_hidden() -> None:
    by = redactor(policy="append_only")
    by.mask(line("two tickets", final=False, state="stable"))
    final = by.mask(line("two tickets and one more"))
    assert isinstance(final, Transcript)
    assert final.text == "# tickets and one more"


def test_another_policy_counts_from_the_next_utterance_on() -> None:
    by = redactor(policy="append_only")
    by.mask(line("two tickets", final=False, state="stable"))
    by.policy = "stable"
    by.mask(line("two tickets", final=False, utterance=2, at_s=30))
    for utterance, shown in ((1, "# tickets"), (2, "two tickets")):
        final = by.mask(line("two tickets", utterance=utterance, at_s=30 * (utterance - 1)))
        assert isinstance(final, Transcript)
        assert final.text == shown


def test_keys_are_hidden_each_for_itself() -> None:
    masked = redactor("phone").mask(Event(label="dtmf_5", channel=0, start_ms=0, end_ms=100, source="tones"))
    assert masked == Event(label="dtmf_masked", channel=0, start_ms=0, end_ms=100, source="tones")


def test_other_sounds_are_not_unless_they_quote_a_number() -> None:
    event = Event(label="Music", channel=0, start_ms=0)
    assert redactor().mask(event) == event
    quoted = redactor().mask(Event(label="says 4111", channel=0, start_ms=0, source="description"))
    assert isinstance(quoted, Event)
    assert quoted.label == "says ####"


def test_answers_hide_all_of_their_digits_or_none() -> None:
    about = {"utterance": 1, "channel": 0, "task": "caption", "index": 0, "start_ms": 0, "end_ms": 900}
    harmless = Analysis(**about, text="a man, 34 years", fields={"age": "34"})  # type: ignore[arg-type]
    assert redactor("card").mask(Analysis(**about, text="two people", labels=["2"])) == Analysis(  # type: ignore[arg-type]
        **about,  # type: ignore[arg-type]
        text="two people",
        labels=["2"],
    )
    assert redactor().mask(harmless) == Analysis(  # type: ignore[arg-type]
        **about,  # type: ignore[arg-type]
        text="a man, ## years",
        fields={"age": "##"},
    )
    words = [TimedWord(text="4111", start_ms=0, end_ms=5)]
    answer = redactor().mask(Analysis(**about, labels=["speech"], words=words))  # type: ignore[arg-type]
    assert isinstance(answer, Analysis)
    assert (answer.labels, [word.text for word in answer.words]) == (["speech"], ["####"])


def test_messages_without_words_pass() -> None:
    message = Speech(channel=0, state="started", utterance=1, at_ms=0)
    assert redactor().mask(message) is message


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("4111 1111 1111 1111", "card"),
        ("four one one one double one double one one one one one one one one one", "card"),
        ("378282246310005", "card"),
        ("4111 1111 1111 1112", "digits"),
        ("five five five oh one two three", "phone"),
        ("forty two twenty three ten", "phone"),
        ("12345", "digits"),
    ],
)
def test_hidden_numbers_are_counted_by_what_they_look_like(text: str, kind: str) -> None:
    by = redactor()
    masked(text, by=by)
    assert by.counts() == {kind: 1}


def test_each_number_counts_once_however_many_utterances_it_has() -> None:
    by = redactor("card", "dob")
    conversation(by, [(0, "4111 1111"), (5, "1111 1111"), (100, "May 3 1984"), (200, "two"), (300, "12345")])
    assert by.counts() == {"card": 1, "dob": 1, "digits": 1}


def test_an_utterance_that_is_lost_is_forgotten() -> None:
    by = redactor()
    for utterance, channel in ((1, 0), (2, 1), (3, 0)):
        by.mask(line("hello", final=False, utterance=utterance, channel=channel))
    by.mask(Gap(from_sample=0, to_sample=5, reason="lost", channel=0))
    by.mask(Gap(from_sample=0, to_sample=5, reason="client"))
    state = by.state()
    assert state is not None
    assert list(state.open) == [2, 3]


def test_utterances_whose_final_never_comes_are_forgotten_in_the_end() -> None:
    by = redactor()
    for utterance in range(1, 200):
        by.mask(line("hello", final=False, utterance=utterance))
    state = by.state()
    assert state is not None
    assert len(state.open) == 64
