"""Nothing that a redacted session says tells more than three digits of a number, however the number is spoken.

Asserted of card numbers that are said in groups, as words or digits, with fillers, other talk, corrections and pauses
of less than ten seconds between them, over several utterances, and with whatever interims come of that:

- no interim has a digit or a number word in it at all (one "oh" before its neighbours are known excepted);
- all finals together show at most three digits of the number. So no message, no two messages of one channel, and no
  transcript made of them shows four in a row, which would be a group of a card, or the end of an account.
"""

from __future__ import annotations

import re
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.protocol.messages import InterimPolicy, RedactKind, Transcript
from streaming.transcript.metrics import TranscriptReader
from streaming.transcript.redaction import RedactionState, Redactor
from streaming.transcript.text import plain_text
from tests.support.spoken_numbers import DIGITS, TEENS, TENS, card_number, talk, transcripts

SAYS_DIGITS = re.compile(rf"\d|\b({'|'.join((*DIGITS, *TEENS, *TENS))})\b", re.IGNORECASE)
KINDS: list[list[RedactKind]] = [["card"], ["phone"], ["digits"], ["dob"], ["card", "dob", "phone", "digits"]]

kinds = st.sampled_from(KINDS)
seeds = st.integers(0, 2**32)


def redactor(chosen: list[RedactKind], policy: InterimPolicy) -> Redactor:
    ids = iter(range(100_000, 1_000_000))
    return Redactor(chosen, policy, ids.__next__)


@pytest.mark.parametrize("policy", ["stable", "append_only", "off"])
@settings(max_examples=150, deadline=None)
@given(seed=seeds, chosen=kinds)
def test_no_card_number_is_told(policy: InterimPolicy, seed: int, chosen: list[RedactKind]) -> None:
    random = Random(seed)
    number = card_number(random)
    said = talk(random, number)
    masking = redactor(chosen, policy)
    told: set[int] = set()
    reader = TranscriptReader()
    for message in transcripts(random, said, policy):
        masked = masking.mask(message)
        assert isinstance(masked, Transcript)
        words = reader.read(masked)
        if not masked.final:
            assert not SAYS_DIGITS.search(plain_text(words)), plain_text(words)
            continue
        assert masked.text == plain_text(words)
        spoken = said.utterances[masked.utterance - 1]
        if len(words) == len(spoken):  # append_only may have bound misheard words, which tell nothing of it
            shown = [word for word, heard in zip(spoken, words, strict=True) if heard.text == word.text]
            told.update(place for word in shown for place in word.digits)
        assert len(re.findall(r"\d", masked.text)) <= 3
    assert len(told) <= 3, (number, sorted(told))
    assert reader.steadiness.stable_violations == 0


@settings(max_examples=150, deadline=None)
@given(seed=seeds, chosen=kinds, policy=st.sampled_from(["stable", "append_only", "off"]))
def test_what_leaves_keeps_the_protocols_laws(seed: int, chosen: list[RedactKind], policy: InterimPolicy) -> None:
    """Diffs apply, stable words stay, an id always stands for the same text, and it has the words' places."""
    random = Random(seed)
    masking, reader, whole = redactor(chosen, policy), TranscriptReader(), TranscriptReader()
    texts: dict[int, str] = {}
    for message in transcripts(random, talk(random, card_number(random)), policy):
        masked = masking.mask(message)
        assert isinstance(masked, Transcript)
        words, heard = reader.read(masked), whole.read(message)
        assert [(word.start_ms, word.end_ms, word.state, word.glued) for word in words] == [
            (word.start_ms, word.end_ms, word.state, word.glued) for word in heard
        ]
        assert len({word.id for word in words}) == len(words)
        for word in words:
            assert texts.setdefault(word.id, word.text) == word.text
    assert reader.steadiness.stable_violations == 0


@settings(max_examples=100, deadline=None)
@given(seed=seeds, chosen=kinds, policy=st.sampled_from(["stable", "append_only", "off"]))
def test_masking_goes_on_from_its_state(seed: int, chosen: list[RedactKind], policy: InterimPolicy) -> None:
    random = Random(seed)
    masking, ids = redactor(chosen, policy), iter(range(100_000, 1_000_000))
    other = Redactor(chosen, policy, ids.__next__)
    for message in transcripts(random, talk(random, card_number(random)), policy):
        assert other.mask(message) == masking.mask(message)
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(other.state()), type=RedactionState)
        other = Redactor(chosen, policy, ids.__next__)
        other.restore(state)
    assert other.counts() == masking.counts()


@settings(max_examples=150, deadline=None)
@given(seed=seeds, chosen=kinds, lost=st.integers(0, 5))
def test_finals_that_were_said_before_a_restore_are_known_from_what_was_said(
    seed: int, chosen: list[RedactKind], lost: int
) -> None:
    """Masked texts count what the texts counted, so that later finals come out the same."""
    random = Random(seed)
    finals = [one for one in transcripts(random, talk(random, card_number(random)), "off") if one.final]
    masking, other = redactor(chosen, "off"), redactor(chosen, "off")
    for place, final in enumerate(finals):
        masked = masking.mask(final)
        assert isinstance(masked, Transcript)
        if place < lost:
            other.recall(masked)
        else:
            assert other.mask(final) == masked


HARMLESS = (
    "I would like two tickets, please.", "We are open from nine to five.", "Oh, I see.", "At three, then.",
    "That one is fine.", "It costs 20 pounds.", "No one was there at 7.", "Twenty-three people came.",
    "May I ask for one more?", "Wait a second.", "For one thing, he won.", "I ate too much.", "Double check that.",
    "A thousand thanks.", "The second time was better.", "Room 101.",
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(lines=st.lists(st.sampled_from(HARMLESS), min_size=1, max_size=8), chosen=kinds)
def test_short_numbers_stay_in_finals(lines: list[str], chosen: list[RedactKind]) -> None:
    """Lines with up to three digits each, more than ten seconds apart."""
    masking = redactor(chosen, "off")
    for number, line in enumerate(lines, start=1):
        final = _final(number, line, at_ms=number * 15_000)
        assert masking.mask(final) == final
    assert masking.counts() == {}


@settings(max_examples=100, deadline=None)
@given(seed=seeds, chosen=kinds, policy=st.sampled_from(["stable", "append_only", "off"]))
def test_talk_without_numbers_is_left_alone(seed: int, chosen: list[RedactKind], policy: InterimPolicy) -> None:
    random = Random(seed)
    masking = redactor(chosen, policy)
    for message in transcripts(random, talk(random, ""), policy, misheard=False):
        assert masking.mask(message) == message


@settings(max_examples=50, deadline=None)
@given(seed=seeds, policy=st.sampled_from(["stable", "append_only", "off"]))
def test_a_session_without_redaction_says_what_it_heard(seed: int, policy: InterimPolicy) -> None:
    random = Random(seed)
    masking = redactor([], policy)
    for message in transcripts(random, talk(random, card_number(random)), policy):
        assert masking.mask(message) is message


def _final(utterance: int, line: str, at_ms: int) -> Transcript:
    words = [
        {"id": utterance * 100 + n, "text": text, "start_ms": at_ms + n * 300, "end_ms": at_ms + n * 300 + 300}
        | {"confidence": 0.9, "state": "final"}
        for n, text in enumerate(line.split())
    ]
    fields = {"utterance": utterance, "channel": 0, "revision": 1, "from_word": 0, "words": words, "final": True}
    until = {"text": line, "decoded_until_ms": words[-1]["end_ms"]}
    return msgspec.convert({"type": "transcript"} | fields | until, Transcript)
