"""Where words say digits, or a day or month. Pure.

A **mark** is a piece of text that says part of a number. What it counts as is the most digits that it can stand for
in a number that is spoken digit by digit: "twenty three" may be 23 or 20 3, so it counts 3. A masked mark has one `#`
for each digit that it counts, and a masked month is `***`; so a masked text counts what the text counted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from streaming.transcript.redaction.lexicon import (
    AMBIGUOUS,
    BEFORE_DATES,
    FILLERS,
    LIKE_DIGITS,
    MONTHS,
    OH,
    ORDINALS,
    PLURALS,
    SCALES,
    TEENS,
    TENS,
    TIMES,
    UNITS,
)

MASK: Final = "#"
MASKED_MONTH: Final = "***"
_PARTS: Final = re.compile(r"\*{3}|#+|[^\W_]+")
_WRITTEN_ORDINAL: Final = re.compile(r"\d{1,2}(st|nd|rd|th)")
_LIKE_DIGITS_BESIDE: Final = 3
"""So many single digits must stand in a row with a word that sounds like one."""


class SpokenWord(Protocol):
    @property
    def text(self) -> str: ...
    @property
    def start_ms(self) -> int: ...
    @property
    def end_ms(self) -> int: ...
    @property
    def glued(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Part:
    """A run of letters and digits, of one word or of words glued together."""

    text: str
    """Folded."""
    pieces: tuple[tuple[int, int, int], ...]
    """(index of the word, begin, end in its text)."""
    written: tuple[str, ...]
    """The pieces as they are written."""
    start_ms: int
    end_ms: int

    @property
    def written_digits(self) -> str:
        """Of the text as it is written: folding may make several characters of one."""
        return "".join(char for piece in self.written for char in piece if char.isnumeric())


@dataclass(frozen=True, slots=True)
class Mark:
    part: Part
    digits: int
    reading: str | None = None
    """The digits that it most likely says; None: that is not known."""
    kind: str = "number"
    """number, month, day (an ordinal), or like (sounds like a digit)."""

    @property
    def start_ms(self) -> int:
        return self.part.start_ms

    @property
    def end_ms(self) -> int:
        return self.part.end_ms


def split(words: Sequence[SpokenWord]) -> list[Part]:
    """The parts of all words in order."""
    parts: list[Part] = []
    begin = 0
    for index in range(1, len(words) + 1):
        if index == len(words) or not words[index].glued:
            parts += _parts_of(words, begin, index)
            begin = index
    return parts


def find(
    parts: Sequence[Part], *, dates: bool = False, doubtful: bool = False, open_before: bool = False
) -> list[Mark]:
    """The marks of an utterance, in order.

    Args:
        dates: days and months too.
        doubtful: more words may follow. What may be part of a date, such as "may", always is; what sounds like a
            digit is none, nor is an "oh" alone, but for `open_before`.
        open_before: a number was going on right before the first part.
    """
    found: list[Mark | None] = [_strong(parts, place, dates) for place in range(len(parts))]
    if dates:
        for place, part in enumerate(parts):
            if found[place] is None and part.text in AMBIGUOUS and (doubtful or _in_date(parts, found, place)):
                found[place] = _date_word(part)
    for place, part in enumerate(parts):
        if part.text in OH and _among_digits(parts, found, place, alone=open_before or not doubtful):
            found[place] = Mark(part, 1, "0")
    if not doubtful:
        for place, part in enumerate(parts):
            if part.text in LIKE_DIGITS and _in_row(found, parts, place):
                found[place] = Mark(part, 1, None, "like")
    return [mark for mark in found if mark is not None]


def masked(words: Sequence[SpokenWord], marks: Sequence[Mark]) -> list[str]:
    """The texts of the words with the marks hidden."""
    texts = [word.text for word in words]
    for mark in reversed(marks):
        left = mark.digits
        for number, (index, begin, end) in enumerate(mark.part.pieces):
            hidden = _hidden(texts[index][begin:end], mark, max(1, left) if number == 0 else 1)
            texts[index] = texts[index][:begin] + hidden + texts[index][end:]
    return texts


def _hidden(text: str, mark: Mark, digits: int) -> str:
    if mark.kind == "month":
        return MASKED_MONTH
    if mark.part.written_digits:
        return "".join(MASK if char.isnumeric() else char for char in text)
    return MASK * digits


def _parts_of(words: Sequence[SpokenWord], begin: int, end: int) -> list[Part]:
    """Of words begin … end, which are glued together."""
    places = [(index, at) for index in range(begin, end) for at in range(len(words[index].text))]
    whole = "".join(word.text for word in words[begin:end])
    parts = []
    for match in _PARTS.finditer(whole):
        inside = places[match.start() : match.end()]
        pieces = tuple(
            (index, min(at for i, at in inside if i == index), max(at for i, at in inside if i == index) + 1)
            for index in dict.fromkeys(index for index, _ in inside)
        )
        first, last = words[pieces[0][0]], words[pieces[-1][0]]
        text = unicodedata.normalize("NFKC", match.group()).casefold()
        written = tuple(words[index].text[a:b] for index, a, b in pieces)
        parts.append(Part(text, pieces, written, first.start_ms, last.end_ms))
    return parts


def _strong(parts: Sequence[Part], place: int, dates: bool) -> Mark | None:
    """What is a mark whatever stands around it, or by what stands right before or behind it."""
    part, text = parts[place], parts[place].text
    behind = parts[place + 1].text if place + 1 < len(parts) else ""
    if text == MASKED_MONTH:
        return Mark(part, 1, None, "month")
    if text.startswith(MASK):
        return Mark(part, len(text))
    if part.written_digits:
        return _written(part, dates)
    if text in UNITS:
        return Mark(part, 1, str(UNITS[text]))
    if text in TEENS:
        return Mark(part, 2, str(TEENS[text]))
    if text in TENS:
        day = dates and ORDINALS.get(behind) == 1
        return Mark(part, 1 if day else 2, str(TENS[text])[0] if UNITS.get(behind) else str(TENS[text]))
    if text in SCALES or text in PLURALS:
        return _behind_number(parts, place)
    if text in TIMES:
        more = TIMES[text] - 1
        return Mark(part, more, str(UNITS[behind]) * more if behind in UNITS else None)
    if dates and text not in AMBIGUOUS and (text in MONTHS or text in ORDINALS):
        return _date_word(part)
    return None


def _written(part: Part, dates: bool) -> Mark | None:
    if _WRITTEN_ORDINAL.fullmatch(part.text):
        return Mark(part, len(part.text) - 2, None, "day") if dates else None
    digits = [unicodedata.decimal(char, None) for char in part.written_digits]
    known = None not in digits
    return Mark(part, len(digits), "".join(map(str, digits)) if known else None)


def _behind_number(parts: Sequence[Part], place: int) -> Mark | None:
    """ "hundred", which says digits behind a number, and "fours", which says more of them there."""
    part = parts[place]
    before = next((one.text for one in reversed(parts[:place]) if one.text not in FILLERS), "")
    if part.text in SCALES:
        if part.text == "hundred" and before == "a":
            return Mark(part, 3, "100")
        return Mark(part, SCALES[part.text], None) if _says_number(before) else None
    times = int(before) if before.isdecimal() and len(before) == 1 else UNITS.get(before, 1)
    return Mark(part, max(1, times), None)


def _says_number(text: str) -> bool:
    words = (UNITS, TEENS, TENS, PLURALS, SCALES, OH)
    return text.startswith(MASK) or any(text in each for each in words) or any(char.isnumeric() for char in text)


def _date_word(part: Part) -> Mark:
    return Mark(part, 1, None, "month") if part.text in MONTHS else Mark(part, ORDINALS[part.text], None, "day")


def _in_date(parts: Sequence[Part], found: Sequence[Mark | None], place: int) -> bool:
    """A word that is seldom part of a date stands like one."""
    before = parts[place - 1].text if place else ""
    if before in BEFORE_DATES or (place and found[place - 1] is not None):
        return True
    behind = place + 1
    while behind < len(parts) and parts[behind].text in ("of", "the"):
        behind += 1
    return behind < len(parts) and (found[behind] is not None or parts[behind].text in MONTHS)


def _among_digits(parts: Sequence[Part], found: Sequence[Mark | None], place: int, *, alone: bool) -> bool:
    """Whether one of the nearest words that mean something is a number. `alone`: it is one too if there are none."""

    def beside(step: int) -> str:
        at = place + step
        while 0 <= at < len(parts):
            if found[at] is not None and parts[at].text not in OH:
                return "number"
            if parts[at].text not in FILLERS and parts[at].text not in OH:
                return "word"
            at += step
        return "edge"

    left, right = beside(-1), beside(1)
    return "number" in (left, right) or (alone and left == right == "edge")


def _in_row(found: Sequence[Mark | None], parts: Sequence[Part], place: int) -> bool:
    singles = 0
    for step in (-1, 1):
        at = place + step
        while 0 <= at < len(parts):
            mark = found[at]
            if mark is not None and mark.kind == "number" and mark.digits == 1:
                singles += 1
            elif parts[at].text not in LIKE_DIGITS:
                break
            at += step
    return singles >= _LIKE_DIGITS_BESIDE
