"""What a viewer is sent: folded, joined, resumed, and never built on words that are not there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streaming.protocol.calls import CallAccount, CallSpans
from streaming.protocol.messages import (
    Call,
    CallSummary,
    Event,
    Gap,
    MarkerEcho,
    ServerMessage,
    Speech,
    Summary,
    Transcript,
)
from streaming.protocol.watching import Watching, decode_said, encode_viewer
from streaming.session.view import MAX_CALL_EVENTS, MAX_WORDS, RECENT_MESSAGES, Cursor, Said, SessionView, joined
from tests.support.logs import SESSION, START, SUMMARY, TOKEN, final, interim, started


def view_of(*messages: ServerMessage) -> SessionView:
    view = SessionView(SESSION, START)
    for seq, message in enumerate(messages, 1):
        view.apply(seq, message)
    return view


class Screen:
    """A client author's reducer: words by utterance, cut at `from_word`."""

    def __init__(self) -> None:
        self.words: dict[int, list[str]] = {}
        self.seqs: list[int] = []
        self.headers: list[Watching] = []

    def show(self, taken: list[Said]) -> None:
        for said in taken:
            message = said.message
            if isinstance(message, Watching):
                self.headers.append(message)
                continue
            self.seqs.append(message.seq)
            if isinstance(message, Transcript):
                words = self.words.setdefault(message.utterance, [])
                assert message.from_word <= len(words), "words to build on are there"
                words[message.from_word :] = [word.text for word in message.words]

    def text(self, utterance: int) -> str:
        return " ".join(self.words[utterance])


def test_a_late_viewer_gets_each_utterance_once_with_all_its_words() -> None:
    view = view_of(
        started(1),
        interim(1, "good day"),
        interim(1, "morning to", from_word=1, revision=2),
        final(1, "Good morning to you."),
        started(2),
        interim(2, "how are"),
        interim(2, "you", from_word=2, revision=2),
    )
    taken = Cursor().take(view)
    assert isinstance(taken[0].message, Watching)
    assert (taken[0].message.first_seq, taken[0].message.last_seq, taken[0].message.done) == (1, 7, False)
    transcripts = [said.message for said in taken if isinstance(said.message, Transcript)]
    assert [(one.utterance, one.seq, one.from_word, len(one.words)) for one in transcripts] == [
        (1, 4, 0, 4),
        (2, 7, 0, 3),
    ]
    assert [said.seq for said in taken[1:]] == [4, 5, 7], "and who speaks, in the order of the numbers"


def test_a_viewer_that_keeps_up_gets_what_was_said_as_it_was_said() -> None:
    view, cursor = view_of(started(1)), Cursor()
    cursor.take(view)
    for seq, message in enumerate([interim(1, "a b"), interim(1, "c", from_word=2), MarkerEcho(id="m", sample=1)], 2):
        view.apply(seq, message)
        assert [said.message for said in cursor.take(view)] == [message]
    assert cursor.take(view) == []


def test_interims_that_wait_for_a_slow_viewer_are_joined_and_finals_stay() -> None:
    said = [interim(1, "a b"), started(2, 1), interim(1, "c", from_word=2), interim(2, "x"), final(1, "A b c.")]
    view = view_of(*said)
    one, two, three = (each.message for each in view.since(0, knows_words=True))
    assert isinstance(one, Speech)
    assert isinstance(two, Transcript)
    assert (two.utterance, two.seq) == (2, 4)
    assert isinstance(three, Transcript)
    assert (three.final, three.seq, three.text) == (True, 5, "A b c.")


def test_joined_interims_have_the_words_of_all() -> None:
    (only,) = joined([Said(interim(1, "a b c", from_word=2)), Said(interim(1, "d", from_word=4, revision=2))])
    assert isinstance(only.message, Transcript)
    assert (only.message.from_word, only.message.revision) == (2, 2)
    assert [word.text for word in only.message.words] == ["a", "b", "d"]


def test_a_viewer_that_comes_back_gets_what_it_lacks_and_no_more() -> None:
    view = view_of(final(1, "One."), interim(2, "two"), interim(2, "three", from_word=1), final(3, "Four."))
    taken = Cursor(after=2).take(view)
    assert [(type(said.message).__name__, said.seq) for said in taken] == [
        ("Watching", -1),
        ("Transcript", 3),
        ("Transcript", 4),
    ]
    assert taken[1].message.from_word == 0, "it may have gone in the middle of what it was sent first"  # type: ignore[union-attr]


def test_sounds_gaps_and_the_summary_are_for_late_viewers_too_and_markers_are_not() -> None:
    sound = Event(label="laughs", channel=0, start_ms=1)
    gap = Gap(from_sample=0, to_sample=5, reason="client")
    view = view_of(sound, gap, MarkerEcho(id="m", sample=1), SUMMARY)
    assert view.done
    assert [type(said.message) for said in view.since(0, knows_words=False)] == [Event, Gap, Summary]


def test_a_hole_in_the_log_is_told_and_nothing_builds_on_lost_words() -> None:
    view, cursor, screen = view_of(final(1, "One."), interim(2, "two")), Cursor(), Screen()
    screen.show(cursor.take(view))
    view.lose(10)
    view.apply(10, interim(2, "nine", from_word=8, revision=5))
    screen.show(cursor.take(view))
    assert [header.first_seq for header in screen.headers] == [1, 10]
    assert screen.text(2) == "two"
    view.apply(11, interim(2, "all words again", revision=6))
    view.apply(12, interim(2, "anew", from_word=2, revision=7))
    screen.show(cursor.take(view))
    assert screen.text(2) == "all words anew"
    assert screen.text(1) == "One."


def test_a_log_that_begins_late_says_from_where() -> None:
    view = SessionView(SESSION, START)
    view.lose(5)
    view.apply(5, interim(1, "unknown", from_word=3))
    view.apply(6, final(1, "Known again."))
    taken = Cursor().take(view)
    assert isinstance(taken[0].message, Watching)
    assert taken[0].message.first_seq == 5
    assert [said.seq for said in taken[1:]] == [6]


def test_messages_that_were_read_before_are_ignored() -> None:
    view = view_of(final(1, "One."))
    view.apply(1, final(1, "Another."))
    assert [one.text for one in view.transcripts(interim=False)] == ["One."]


def test_what_is_kept_for_late_viewers_is_bounded() -> None:
    view = SessionView(SESSION, START)
    for at in range(1, MAX_WORDS // 100 + 3):
        view.apply(at, final(at, "word " * 100))
    assert sum(len(one.words) for one in view.transcripts(interim=False)) == MAX_WORDS
    assert view.first_seq == 3
    assert len(view.since(view.last_seq - RECENT_MESSAGES, knows_words=True)) == RECENT_MESSAGES


def test_one_message_is_encoded_once_for_all_viewers() -> None:
    said = Said(final(1, "One."))
    assert said.payload("json") is said.payload("json")
    assert said.payload("msgpack") is said.payload("msgpack")


def test_viewers_never_see_what_is_the_connections_own() -> None:
    """`ready` among it, which has the resume token."""
    ready = b'{"type":"ready"}'
    assert decode_said(ready) is None
    assert TOKEN.encode() not in bytes(encode_viewer("msgpack", view_of().watching()))  # type: ignore[arg-type]


@given(
    changes=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 6), st.integers(0, 4), st.booleans()), max_size=60),
    reads=st.sets(st.integers(0, 60)),
    rejoin=st.integers(0, 60),
)
def test_however_a_viewer_reads_it_ends_with_the_same_words(
    changes: list[tuple[int, int, int, bool]], reads: set[int], rejoin: int
) -> None:
    """Read at any times, after any pause, over any reconnection: the words of one that read each message."""
    view = SessionView(SESSION, START)
    eager, lazy = Screen(), Screen()
    eager_cursor, lazy_cursor = Cursor(), Cursor()
    lengths: dict[int, int] = {}
    for seq, (utterance, from_word, count, is_final) in enumerate(changes, 1):
        from_word = 0 if is_final else min(from_word, lengths.get(utterance, 0))
        text = " ".join(f"{seq}.{at}" for at in range(count))
        lengths[utterance] = from_word + count
        view.apply(seq, interim(utterance, text, from_word=from_word, revision=seq))
        eager.show(eager_cursor.take(view))
        if seq == rejoin:
            lazy_cursor = Cursor(max(lazy.seqs, default=0))
        if seq in reads:
            lazy.show(lazy_cursor.take(view))
    lazy.show(lazy_cursor.take(view))
    assert lazy.words == eager.words
    assert lazy.seqs == sorted(set(lazy.seqs))


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=20), st.data())
def test_a_viewer_that_leaves_in_the_middle_of_what_it_is_sent_misses_nothing(
    changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    view = SessionView(SESSION, START)
    lengths: dict[int, int] = {}
    for seq, (utterance, count) in enumerate(changes, 1):
        at = lengths.get(utterance, 0)
        view.apply(seq, interim(utterance, " ".join(["w"] * count), from_word=at, revision=seq))
        lengths[utterance] = at + count
    screen = Screen()
    taken = Cursor().take(view)
    screen.show(taken[: data.draw(st.integers(0, len(taken)))])
    screen.show(Cursor(max(screen.seqs, default=0)).take(view))
    assert {utterance: len(words) for utterance, words in screen.words.items()} == lengths


def test_a_late_viewer_gets_the_call_so_far_and_its_account() -> None:
    none: dict[str, CallSpans] = dict.fromkeys(("talk_over", "silence", "dead_air", "hold"), CallSpans())
    account = CallAccount(audio_ms=9, roles=[], keys=[], tones=[], keywords=[], hits=[], **none)
    calls = [Call(kind="dead_air", phase="start", start_ms=n) for n in range(MAX_CALL_EVENTS + 5)]
    view = view_of(started(1), *calls)
    assert view.call_summary is None
    view.apply(view.last_seq + 1, CallSummary(call=account))
    view.apply(view.last_seq + 1, SUMMARY)
    shown = [said.message for said in Cursor().take(view)]
    assert [one.start_ms for one in shown if isinstance(one, Call)] == list(range(5, MAX_CALL_EVENTS + 5))
    assert [type(one) for one in shown[-2:]] == [CallSummary, Summary]
    assert view.call_events() == [one for one in shown if isinstance(one, Call)]
    assert view.call_summary is not None
    assert view.call_summary.call == account
