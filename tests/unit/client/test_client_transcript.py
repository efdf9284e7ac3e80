"""Diffs by `from_word`, put together."""

from tympan_client import Transcript, TranscriptUpdate, Word


def word(text: str, state: str = "tentative", *, glued: bool = False) -> Word:
    return Word(id=0, text=text, start_ms=0, end_ms=0, confidence=1.0, state=state, glued=glued)


def update(revision: int, from_word: int, *words: Word, utterance: int = 1, final: bool = False) -> TranscriptUpdate:
    return TranscriptUpdate(
        utterance=utterance, channel=0, revision=revision, from_word=from_word, words=words, final=final
    )


def test_a_diff_replaces_the_words_from_its_index_on() -> None:
    transcript = Transcript()
    transcript.apply(update(1, 0, word("Good", "stable"), word("mourning")))
    utterance = transcript.apply(update(2, 1, word("morning", "stable"), word("to")))
    assert (utterance.stable_text, utterance.tentative_text) == ("Good morning", "to")


def test_a_diff_may_only_shorten() -> None:
    transcript = Transcript()
    transcript.apply(update(1, 0, word("one"), word("two")))
    assert transcript.apply(update(2, 1)).text == "one"


def test_older_revisions_and_what_comes_after_the_final_change_nothing() -> None:
    transcript = Transcript()
    transcript.apply(update(3, 0, word("new")))
    assert transcript.apply(update(2, 0, word("old"))).text == "new"
    transcript.apply(update(4, 0, word("New.", "final"), final=True))
    assert transcript.apply(update(5, 0, word("late"))).text == "New."


def test_a_final_counts_even_where_an_interim_had_a_higher_revision() -> None:
    """That interim was said while the store was away, and the server that resumed the session knows nothing of it."""
    transcript = Transcript()
    transcript.apply(update(5, 0, word("New"), word("yo")))
    utterance = transcript.apply(update(4, 0, word("New.", "final"), final=True))
    assert (utterance.text, utterance.final) == ("New.", True)


def test_finals_make_the_text_and_the_rest_is_open() -> None:
    transcript = Transcript()
    transcript.apply(update(1, 0, word("Yes.", "final"), utterance=1, final=True))
    transcript.apply(update(1, 0, utterance=2, final=True))
    transcript.apply(update(1, 0, word("and"), utterance=3))
    assert transcript.text == "Yes."
    assert [utterance.id for utterance in transcript.open] == [3]


def test_glued_words_have_no_space_before_them() -> None:
    assert Transcript().apply(update(1, 0, word("up"), word("-to", glued=True), word("date"))).text == "up-to date"


def test_the_oldest_finals_are_forgotten_beyond_the_bound() -> None:
    transcript = Transcript(keep=2)
    for utterance in (1, 2, 3):
        transcript.apply(update(1, 0, word(str(utterance)), utterance=utterance, final=True))
    assert transcript.text == "2\n3"
