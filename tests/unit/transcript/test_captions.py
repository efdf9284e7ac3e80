"""Subtitles, read back by a parser of their own."""

from __future__ import annotations

import html
import itertools
import re
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.transcript.captions import LINE_CHARS, MAX_CUE_MS, MAX_LINES, Spoken, cues, plain_text, srt, webvtt


@dataclass(frozen=True)
class W:
    text: str
    start_ms: int
    end_ms: int
    glued: bool = False


def spoken(text: str, start_ms: int = 0, word_ms: int = 300, label: str | None = None) -> Spoken:
    words = [
        W(word, start_ms + index * word_ms, start_ms + (index + 1) * word_ms) for index, word in enumerate(text.split())
    ]
    return Spoken(words, label)


@dataclass(frozen=True)
class Read:
    start_ms: int
    end_ms: int
    lines: list[str]


TIME = re.compile(r"(\d{2,}):([0-5]\d):([0-5]\d)[.,](\d{3}) --> (\d{2,}):([0-5]\d):([0-5]\d)[.,](\d{3})")


def read_block(lines: list[str]) -> Read:
    match = TIME.fullmatch(lines[0])
    assert match, lines[0]
    h1, m1, s1, f1, h2, m2, s2, f2 = map(int, match.groups())
    return Read(((h1 * 60 + m1) * 60 + s1) * 1000 + f1, ((h2 * 60 + m2) * 60 + s2) * 1000 + f2, lines[1:])


def read_srt(text: str) -> list[Read]:
    blocks = [block.strip("\n").split("\n") for block in text.split("\n\n") if block]
    assert [block[0] for block in blocks] == [str(number) for number in range(1, len(blocks) + 1)]
    assert "." not in "".join(block[1] for block in blocks)
    return [read_block(block[1:]) for block in blocks]


def read_vtt(text: str) -> list[Read]:
    header, *blocks = text.split("\n\n")
    assert header.strip() == "WEBVTT"
    assert all("-->" not in line for block in blocks for line in block.split("\n")[1:])
    return [read_block(block.strip("\n").split("\n")) for block in blocks]


def test_plain_text_has_no_space_before_glued_words() -> None:
    assert plain_text([W("play", 0, 1), W("ing", 1, 2, glued=True), W("now", 2, 3)]) == "playing now"


def test_srt_is_numbered_and_has_commas_in_its_times() -> None:
    text = srt([spoken("Hello there.", 1_234), spoken("Good bye.", 3_600_000)])
    assert text == ("1\n00:00:01,234 --> 00:00:01,834\nHello there.\n\n2\n01:00:00,000 --> 01:00:00,600\nGood bye.\n")


def test_webvtt_escapes_what_would_be_markup() -> None:
    text = webvtt([spoken("a<b & c>d -->")])
    assert text == "WEBVTT\n\n00:00:00.000 --> 00:00:01.200\na&lt;b &amp; c&gt;d --&gt;\n"


def test_labels_are_voice_spans_in_webvtt_and_names_in_srt() -> None:
    said = [spoken("Good morning.", label="Agent"), spoken("Hi.", 1_000, label="R&D <x>")]
    assert "<v Agent>Good morning." in webvtt(said)
    assert "<v R&amp;D &lt;x&gt;>Hi." in webvtt(said)
    assert [block.lines for block in read_srt(srt(said))] == [["Agent: Good morning."], ["R&D <x>: Hi."]]


def test_a_cue_ends_with_a_sentence() -> None:
    made = cues([spoken('One two. Three four? "Five." Six')])
    assert [cue.lines for cue in made] == [("One two.",), ("Three four?",), ('"Five."',), ("Six",)]


def test_a_cue_ends_before_a_pause() -> None:
    words = [W("one", 0, 300), W("two", 999, 1_200), W("three", 1_900, 2_000)]
    assert [cue.lines for cue in cues([Spoken(words)])] == [("one two",), ("three",)]


def test_a_cue_lasts_seven_seconds_at_most() -> None:
    made = cues([spoken("a b c d e f g h", word_ms=1_000)])
    assert [(cue.start_ms, cue.end_ms) for cue in made] == [(0, 7_000), (7_000, 8_000)]
    assert cues([Spoken([W("drawn", 0, 20_000)])])[0].end_ms == MAX_CUE_MS


def test_a_third_line_begins_a_new_cue() -> None:
    made = cues([spoken(" ".join(["subtitles"] * 9), word_ms=100)])
    assert [cue.lines for cue in made] == [(" ".join(["subtitles"] * 4),) * 2, ("subtitles",)]


def test_when_two_talk_at_once_the_earlier_cue_ends_early() -> None:
    made = cues([spoken("one two three", label="A"), spoken("four", 500, label="B")])
    assert [(cue.start_ms, cue.end_ms, cue.label) for cue in made] == [(0, 500, "A"), (500, 800, "B")]


def test_nothing_said_makes_valid_empty_files() -> None:
    assert srt([]) == ""
    assert webvtt([Spoken([])]) == "WEBVTT\n"


def test_the_arrow_cannot_be_forged_in_srt() -> None:
    assert "00:00:09" not in "".join(line for cue in read_srt(srt([spoken("-->")])) for line in [str(cue.start_ms)])
    assert read_srt(srt([spoken("-->")]))[0].lines == ["->"]


words = st.lists(
    st.builds(
        lambda text, gap, length, glued: (text, gap, length, glued),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100),
        st.integers(0, 2_000),
        st.integers(0, 9_000),
        st.booleans(),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(words, st.none() | st.text(min_size=1, max_size=64), st.integers(0, 5_000)), max_size=4))
def test_any_words_give_files_that_read_back(
    said: list[tuple[list[tuple[str, int, int, bool]], str | None, int]],
) -> None:
    """Times rise and do not overlap, lines and lengths are kept, and no text is lost."""
    utterances = []
    for parts, label, start_ms in said:
        made, now = [], start_ms
        for text, gap, length, glued in parts:
            made.append(W(text, now + gap, now + gap + length, glued))
            now += gap + length
        utterances.append(Spoken(made, label))
    vtt = read_vtt(webvtt(utterances))
    assert [(cue.start_ms, cue.end_ms) for cue in vtt] == [(cue.start_ms, cue.end_ms) for cue in cues(utterances)]
    assert len(read_srt(srt(utterances))) == len(cues(utterances, label_in_text=True))
    for made_cues in (cues(utterances), cues(utterances, label_in_text=True)):
        for cue, following in itertools.pairwise(made_cues):
            assert cue.end_ms <= following.start_ms
        for cue in made_cues:
            assert 0 < cue.end_ms - cue.start_ms <= MAX_CUE_MS
            assert 1 <= len(cue.lines) <= MAX_LINES
            assert all(0 < len(line) <= LINE_CHARS for line in cue.lines)
    shown = sorted("".join(html.unescape("".join(cue.lines)).split()) for cue in cues(utterances))
    meant = "".join(word.text for spoken in utterances for word in spoken.words)
    assert sorted("".join(shown)) == sorted(html.unescape("".join(meant.split())))
