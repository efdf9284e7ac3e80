"""Comparing finals of the same clips sent in different ways; the command line's endpointing."""

import argparse

import pytest

from benchmarks.accuracy.__main__ import endpointing
from benchmarks.accuracy.exchange import Exchange, Received
from benchmarks.accuracy.invariance import compare
from streaming.protocol.messages import Endpointing, Transcript, Word


def said(*words: tuple[str, int]) -> Exchange:
    """One utterance's final; each word with its begin in ms."""
    listed = [
        Word(id=index, text=text, start_ms=start, end_ms=start + 100, confidence=1.0 / (1 + index), state="final")
        for index, (text, start) in enumerate(words)
    ]
    final = Transcript(utterance=1, channel=0, revision=1, from_word=0, words=listed, final=True)
    return Exchange(received=[Received(0.0, final)])


def test_other_words_and_other_times_are_told_apart() -> None:
    baseline = [said(("one", 0)), said(("two", 0)), said(("three", 0))]
    again = [said(("one", 0)), said(("two", 20)), said(("tree", 0))]
    assert compare(baseline, again) == {"clips": 3, "differ": 1, "differ_with_times": 2, "which": [2]}


def test_endpointing_is_read_as_the_protocol_names_it() -> None:
    assert endpointing("min_silence_ms=500,threshold=0.4") == Endpointing(min_silence_ms=500, threshold=0.4)


@pytest.mark.parametrize("text", ["min_silence=500", "min_silence_ms=much", "min_silence_ms=1", "threshold"])
def test_wrong_endpointing_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        endpointing(text)
