"""What a slow reader still gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.protocol.messages import (
    Ack,
    Answer,
    Error,
    Gap,
    GoAway,
    Load,
    MarkerEcho,
    ServerMessage,
    Speech,
    Transcript,
    Word,
)
from streaming.session.outbox import Outbox, OutboxFullError, join_interims


def interim(utterance: int, revision: int, from_word: int, *texts: str, final: bool = False) -> Transcript:
    words = [
        Word(id=n, text=text, start_ms=0, end_ms=0, confidence=1.0, state="stable") for n, text in enumerate(texts)
    ]
    return Transcript(utterance=utterance, channel=0, revision=revision, from_word=from_word, words=words, final=final)


def drain(outbox: Outbox) -> list[ServerMessage]:
    messages = []
    while (message := outbox.pop()) is not None:
        messages.append(message)
    return messages


def test_messages_leave_in_order_and_numbered_without_holes() -> None:
    outbox = Outbox(10)
    for n in range(3):
        outbox.put(MarkerEcho(id=str(n), sample=n))
    assert [(message.seq, message.id) for message in drain(outbox)] == [(1, "0"), (2, "1"), (3, "2")]
    outbox.put(MarkerEcho(id="3", sample=3))
    assert [message.seq for message in drain(outbox)] == [4]


def test_an_interim_joins_the_one_of_its_utterance_that_waits() -> None:
    outbox = Outbox(10)
    outbox.put(interim(1, 1, 0, "so", "he"))
    outbox.put(interim(2, 1, 0, "and"))
    outbox.put(interim(1, 2, 1, "we", "went"))
    first, second = drain(outbox)
    assert (first.revision, first.from_word, [word.text for word in first.words]) == (2, 0, ["so", "we", "went"])
    assert second.utterance == 2


def test_pieces_of_an_answer_that_wait_are_one_and_its_id_may_be_used_again() -> None:
    outbox = Outbox(10)
    outbox.put(Answer(id="q", delta="A "))
    outbox.put(Answer(id="other", delta="No"))
    outbox.put(Answer(id="q", delta="man"))
    outbox.put(Answer(id="q", delta=".", done=True, text="A man."))
    outbox.put(Answer(id="q", delta="Two"))
    outbox.put(Answer(id="q", delta="!", done=True, text="Two!"))
    assert [(message.id, message.delta, message.text) for message in drain(outbox)] == [
        ("other", "No", None),
        ("q", "A man.", "A man."),
        ("q", "Two!", "Two!"),
    ]


def test_a_final_never_joins_anything() -> None:
    outbox = Outbox(10)
    outbox.put(interim(1, 1, 0, "so"))
    outbox.put(interim(1, 2, 0, "So", final=True))
    outbox.put(interim(1, 2, 0, "So", final=True))
    assert [message.final for message in drain(outbox)] == [False, True, True]


def test_only_the_newest_ack_and_load_wait() -> None:
    outbox = Outbox(10)
    for n in range(5):
        outbox.put(Ack(sample=n))
        outbox.put(Load(level="normal", lag_ms=n, interim_ms=500))
    ack, load = drain(outbox)
    assert (ack.sample, load.lag_ms) == (4, 4)


def test_it_is_bounded_and_says_when_half_full() -> None:
    outbox = Outbox(4)
    gap = Gap(from_sample=0, to_sample=1, reason="client")
    outbox.put(gap)
    assert outbox.has_room
    outbox.put(Speech(channel=0, state="started", utterance=1, at_ms=0))
    assert not outbox.has_room
    outbox.put(gap)
    outbox.put(interim(1, 1, 0, "so"))
    outbox.put(interim(1, 2, 0, "so"))
    with pytest.raises(OutboxFullError):
        outbox.put(gap)
    outbox.clear()
    outbox.put_last(MarkerEcho(id="m", sample=1))
    outbox.put(gap)
    assert drain(outbox) == [MarkerEcho(id="m", sample=1, seq=1)], "nothing comes after the last one"


def test_what_is_about_the_connection_has_no_number() -> None:
    outbox = Outbox(10, last_seq=7)
    fatal = Error(code="internal", message="it broke")
    lost = Error(code="decode_failed", message="an utterance", fatal=False)
    gap = Gap(from_sample=0, to_sample=1, reason="lost")
    for message in (Ack(sample=1), gap, Load(level="normal", lag_ms=0, interim_ms=500), lost, GoAway(deadline_ms=1)):
        outbox.put(message)
    assert outbox.unsaid() == [gap, lost]
    outbox.put_last(fatal)
    assert [message.seq for message in drain(outbox)] == [-1, 8, -1, 9, -1, -1]
    assert outbox.last_seq == 9
    assert gap.seq == -1, "the message that was put stays as it was"


@given(
    diffs=st.lists(
        st.tuples(st.integers(0, 8), st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)), min_size=1, max_size=8
    )
)
def test_joined_interims_do_what_they_did_one_by_one(diffs: list[tuple[int, list[str]]]) -> None:
    shown: list[str] = []
    joined: Transcript | None = None
    for revision, (place, texts) in enumerate(diffs, 1):
        from_word = min(place, len(shown))
        shown[from_word:] = texts
        one = interim(1, revision, from_word, *texts)
        joined = one if joined is None else join_interims(joined, one)
    assert joined is not None
    assert joined.from_word == 0
    assert [word.text for word in joined.words] == shown
