"""Which of a channel's numbers are hidden: marks that lie near each other are one number. Pure.

A **number** is a row of marks of one channel, with whatever words between them, in which no mark begins more than
REACH_MS after the end of the one before; behind CARD_DIGITS digits or more CARD_REACH_MS, for what is said with a card
(its expiry, its security code). It may go on from utterance to utterance.

Of a final, the marks of a number are hidden

- if the number has MIN_DIGITS digits or more by the end of the utterance, unless it is over (the utterance went on for
  longer than the reach without another mark) and has fewer digits than any selected kind;
- or if they are near a word of a selected kind ("security code", "born"): then even one digit is.

So of a number at most MIN_DIGITS − 1 digits are ever shown, those that were said in finals before it was known to be
one. Luhn's check digit tells what a hidden number is called, and never whether it is hidden: with one misheard digit a
card number fails it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

import msgspec

from streaming.protocol.messages import RedactKind
from streaming.transcript.redaction.lexicon import CONTEXTS
from streaming.transcript.redaction.marks import Mark, Part

KINDS: Final[tuple[RedactKind, ...]] = get_args(RedactKind)

MIN_DIGITS: Final = 4
REACH_MS: Final = 10_000
CARD_REACH_MS: Final = 60_000
CONTEXT_MS: Final = 30_000
"""So long after a word of a kind short numbers are of that kind."""
CARD_DIGITS: Final = (13, 19)
"""ISO/IEC 7812-1 and what networks issue."""
PHONE_DIGITS: Final = (7, 15)
"""A local number; ITU-T E.164."""
_LEAST: Final[dict[RedactKind, int]] = {
    "card": CARD_DIGITS[0],
    "phone": PHONE_DIGITS[0],
    "dob": MIN_DIGITS,
    "digits": MIN_DIGITS,
}


class Number(msgspec.Struct, array_like=True):
    """The newest number of a channel. It is not stored what its digits are."""

    digits: int = 0
    end_ms: int = -CARD_REACH_MS
    read: int = 0
    """Digits of its likeliest reading."""
    luhn: tuple[int, int] = (0, 0)
    """Sums of the reading's digits where those at even, and at odd, places are doubled."""
    unread: bool = False
    """Some of it cannot be read."""
    date: bool = False
    hidden: bool = False
    """Some of it was."""

    @property
    def reach_ms(self) -> int:
        return CARD_REACH_MS if self.digits >= CARD_DIGITS[0] else REACH_MS

    def open_at(self, ms: int) -> bool:
        """A mark that begins there goes on with it."""
        return self.digits > 0 and ms - self.end_ms <= self.reach_ms

    def add(self, mark: Mark) -> None:
        self.digits += mark.digits
        self.end_ms = max(self.end_ms, mark.end_ms)
        self.date = self.date or mark.kind in ("month", "day")
        self.unread = self.unread or mark.reading is None
        for digit in map(int, mark.reading or ""):
            twice = digit * 2 - 9 if digit > 4 else digit * 2
            even = self.read % 2 == 0
            self.luhn = (self.luhn[0] + (twice if even else digit), self.luhn[1] + (digit if even else twice))
            self.read += 1

    @property
    def looks_like(self) -> RedactKind:
        """What a hidden number is called."""
        if self.unread:
            card = CARD_DIGITS[0] <= self.digits <= CARD_DIGITS[1]
        else:
            # The last digit, the check digit, is not doubled.
            passes = self.luhn[self.read % 2] % 10 == 0
            card = CARD_DIGITS[0] <= self.read <= CARD_DIGITS[1] and passes
        if card:
            return "card"
        if self.date:
            return "dob"
        return "phone" if PHONE_DIGITS[0] <= self.digits <= PHONE_DIGITS[1] else "digits"


class Numbers(msgspec.Struct, array_like=True):
    """All of one channel. Give it the channel's finals in order."""

    newest: Number
    context_until_ms: int = -1
    over: dict[str, int] = {}
    """How many numbers were hidden that are over, by what they looked like."""

    def hide(
        self, kinds: frozenset[RedactKind], parts: Sequence[Part], marks: Sequence[Mark], end_ms: int
    ) -> list[Mark]:
        """The marks of a final that are to be hidden; `end_ms`: of its audio."""
        contexts = list(_contexts(kinds, parts))
        hidden: list[Mark] = []
        for row, number in self._rows(marks):
            over = number is not self.newest or end_ms - number.end_ms > number.reach_ms
            least = min(_LEAST[kind] for kind in kinds)
            whole = number.digits >= MIN_DIGITS and not (over and number.digits < least)
            chosen = [mark for mark in row if whole or (mark.kind != "like" and self._near_context(mark, contexts))]
            number.hidden = number.hidden or bool(chosen)
            hidden += chosen
            if number is not self.newest:
                self._count(number)
        self.context_until_ms = max([self.context_until_ms, *(until for _, until in contexts)])
        return hidden

    def counts(self) -> dict[str, int]:
        """Numbers that were hidden, by what they look like."""
        counts = dict(self.over)
        if self.newest.hidden:
            counts[self.newest.looks_like] = counts.get(self.newest.looks_like, 0) + 1
        return counts

    def _rows(self, marks: Sequence[Mark]) -> list[tuple[list[Mark], Number]]:
        """The marks by the number that they are of. The last one is the channel's newest then."""
        rows: list[tuple[list[Mark], Number]] = []
        for mark in marks:
            if not self.newest.open_at(mark.start_ms):
                if not rows:
                    self._count(self.newest)
                self.newest = Number()
            if not rows or rows[-1][1] is not self.newest:
                rows.append(([], self.newest))
            self.newest.add(mark)
            rows[-1][0].append(mark)
        return rows

    def _count(self, number: Number) -> None:
        if number.hidden:
            self.over[number.looks_like] = self.over.get(number.looks_like, 0) + 1

    def _near_context(self, mark: Mark, contexts: Sequence[tuple[int, int]]) -> bool:
        if mark.start_ms <= self.context_until_ms:
            return True
        return any(since - REACH_MS <= mark.end_ms and mark.start_ms <= until for since, until in contexts)


def _contexts(kinds: frozenset[RedactKind], parts: Sequence[Part]) -> list[tuple[int, int]]:
    """(begin of a word of a selected kind, until when it counts)."""
    texts = [part.text for part in parts]
    phrases = [phrase for kind in KINDS if kind in kinds for phrase in CONTEXTS.get(kind, ())]
    return [
        (parts[at].start_ms, parts[at + len(phrase) - 1].end_ms + CONTEXT_MS)
        for at in range(len(parts))
        for phrase in phrases
        if tuple(texts[at : at + len(phrase)]) == phrase
    ]
