"""Final words as subtitles: SubRip (SRT) and WebVTT. Pure; times are milliseconds, as on the wire.

A cue has at most two lines of 42 characters and lasts at most 7 s (Netflix's "Timed Text Style Guide"). It ends with
a sentence or before a pause of PAUSE_MS, and no text is ever left out to keep it short. Cues come in the order of
their begin; of two that would overlap (two people talk at once) the earlier one ends early.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from streaming.transcript.text import TextWord, plain_text

__all__ = ["CaptionWord", "Cue", "Spoken", "cues", "plain_text", "srt", "webvtt"]

LINE_CHARS = 42
MAX_LINES = 2
MAX_CUE_MS = 7_000
PAUSE_MS = 700
MIN_CUE_MS = 1
"""Words may have no length; a cue must have one to be shown."""

_SENTENCE_END = re.compile("[.!?\u2026\u3002\uff01\uff1f][)\\]\"'\u201d\u2019\u00bb]*$")  # also … 。 and full-width ! ?
_SPACE = re.compile(r"\s+")


class CaptionWord(TextWord, Protocol):
    """The wire's words have these; so have the client's."""

    @property
    def start_ms(self) -> int: ...

    @property
    def end_ms(self) -> int: ...


@dataclass(frozen=True)
class Spoken:
    """The final words of one utterance, and who said them."""

    words: Sequence[CaptionWord]
    label: str | None = None
    """The channel's label, or None: no name is written."""


@dataclass(frozen=True)
class _Piece:
    """A word, or a part of one that is too long for a line."""

    text: str
    start_ms: int
    end_ms: int
    glued: bool


@dataclass(frozen=True)
class Cue:
    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    label: str | None = None


def srt(utterances: Iterable[Spoken]) -> str:
    """SubRip: numbered cues; a label stands before the text, as in "Agent: Good morning"."""
    blocks = [
        f"{number}\n{_time(cue.start_ms, ',')} --> {_time(cue.end_ms, ',')}\n"
        + "\n".join(cue.lines).replace("-->", "->")
        + "\n"
        for number, cue in enumerate(cues(utterances, label_in_text=True), start=1)
    ]
    return "\n".join(blocks)


def webvtt(utterances: Iterable[Spoken]) -> str:
    """WebVTT; a label becomes a voice span, as in "<v Agent>Good morning"."""
    blocks = ["WEBVTT\n"]
    for cue in cues(utterances):
        voice = f"<v {_escape(_one_line(cue.label))}>" if cue.label else ""
        text = "\n".join(map(_escape, cue.lines))
        blocks.append(f"{_time(cue.start_ms, '.')} --> {_time(cue.end_ms, '.')}\n{voice}{text}\n")
    return "\n".join(blocks)


def cues(utterances: Iterable[Spoken], *, label_in_text: bool = False) -> list[Cue]:
    """The cues of all utterances (of all channels), in order, none overlapping the next.

    Args:
        label_in_text: begin each cue's text with "Label: " (and keep the lines' length with it).
    """
    made = [
        _cue(group, spoken.label, label_in_text)
        for spoken in utterances
        for group in _groups(spoken.words, _prefix(spoken.label, label_in_text))
    ]
    made.sort(key=lambda cue: cue.start_ms)
    apart: list[Cue] = []
    for cue in made:
        start_ms = max(cue.start_ms, apart[-1].start_ms + MIN_CUE_MS) if apart else cue.start_ms
        if apart and apart[-1].end_ms > start_ms:
            apart[-1] = Cue(apart[-1].start_ms, start_ms, apart[-1].lines, apart[-1].label)
        apart.append(Cue(start_ms, max(cue.end_ms, start_ms + MIN_CUE_MS), cue.lines, cue.label))
    return apart


def _groups(words: Sequence[CaptionWord], prefix: str) -> Iterator[list[_Piece]]:
    """The pieces of each cue."""
    group: list[_Piece] = []
    for piece in (piece for word in words for piece in _pieces(word)):
        if group and _must_end(group, piece, prefix):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _pieces(word: CaptionWord) -> Iterator[_Piece]:
    """The word in parts that fit into a line, with their share of its time."""
    text = _one_line(word.text)
    for at in range(0, len(text), LINE_CHARS):
        until = min(at + LINE_CHARS, len(text))
        start_ms, end_ms = (word.start_ms + (word.end_ms - word.start_ms) * edge // len(text) for edge in (at, until))
        yield _Piece(text[at:until], start_ms, end_ms, word.glued or at > 0)


def _must_end(group: list[_Piece], following: _Piece, prefix: str) -> bool:
    if following.end_ms - group[0].start_ms > MAX_CUE_MS or following.start_ms - group[-1].end_ms >= PAUSE_MS:
        return True
    if _SENTENCE_END.search(group[-1].text) and not following.glued:
        return True
    return len(_lines([*group, following], prefix)) > MAX_LINES


def _cue(pieces: list[_Piece], label: str | None, label_in_text: bool) -> Cue:
    start_ms = pieces[0].start_ms
    end_ms = max(min(pieces[-1].end_ms, start_ms + MAX_CUE_MS), start_ms + MIN_CUE_MS)
    return Cue(start_ms, end_ms, tuple(_lines(pieces, _prefix(label, label_in_text))), label)


def _prefix(label: str | None, label_in_text: bool) -> str:
    """At most a line, so that a cue always has room for a piece."""
    return f"{_one_line(label)[: LINE_CHARS - 2]}: " if label and label_in_text else ""


def _lines(pieces: Sequence[_Piece], prefix: str) -> list[str]:
    """The text broken at spaces, or within glued words that are longer than a line."""
    lines = [""]
    for run in (prefix + plain_text(pieces)).split(" "):
        joined = f"{lines[-1]} {run}" if lines[-1] else run
        if len(joined) <= LINE_CHARS:
            lines[-1] = joined
            continue
        parts = [run[at : at + LINE_CHARS] for at in range(0, len(run), LINE_CHARS)]
        lines[len(lines) - (not lines[-1]) :] = parts
    return lines


def _one_line(text: str) -> str:
    """Line ends and runs of spaces as single spaces: a blank line would end the cue."""
    return _SPACE.sub(" ", text).strip()


def _escape(text: str) -> str:
    """WebVTT cue text: `&`, `<` and `>` (which also keeps "-->" out)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(ms: int, point: str) -> str:
    hours, rest = divmod(ms, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{point}{rest % 1000:03}"
