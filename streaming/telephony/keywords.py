"""Phrases in the words of a call: each occurrence once, live in stable words, for good in finals. Pure.

Case, punctuation, hyphens and how words are glued do not count. A phrase may go on from one utterance of a channel to
its next where no more than PHRASE_PAUSE lies between them. Of one phrase, occurrences do not overlap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from streaming.telephony.events import CallEvent
from streaming.telephony.settings import PHRASE_PAUSE
from streaming.transcript.text import fold

SAME_OCCURRENCE: Final = 24_000
"""Samples by which a final may move a phrase that was spotted before: 1.5 s."""
MAX_OPEN: Final = 64
"""Utterances that were spotted in and have no final yet; beyond it the oldest are forgotten, and may be told again."""
_PARTS: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


class Word(msgspec.Struct, frozen=True, array_like=True):
    """A word as the call model takes it. Positions are samples at 16 kHz."""

    text: str
    start: int
    end: int
    stable: bool = True
    glued: bool = False


class Token(msgspec.Struct, frozen=True, array_like=True):
    """A part of a word without case and punctuation."""

    text: str
    start: int
    end: int


class Occurrence(msgspec.Struct, frozen=True, array_like=True):
    phrase: int
    start: int
    end: int


class Spotter(msgspec.Struct, array_like=True):
    """All of one channel. Order of calls: `stable` as an utterance's words come, `final` once for each."""

    told: dict[int, list[Occurrence]] = {}
    """Of utterances without a final."""
    tail: list[Token] = []
    """The end of the newest final, where a phrase may have begun."""
    last: dict[int, int] = {}
    """Of each phrase, where its newest occurrence in a final ends."""

    def stable(self, phrases: Phrases, utterance: int, words: Sequence[Word]) -> list[CallEvent]:
        """`words`: all of the utterance; those up to the first that is not stable are looked at."""
        return self._tell(utterance, phrases.find(self.tail, _settled(words), self.last))

    def final(
        self, phrases: Phrases, utterance: int, words: Sequence[Word]
    ) -> tuple[list[Occurrence], list[CallEvent]]:
        """(all that are in the final, those that were not told before)."""
        tokens = list(_tokens(words))
        found = phrases.find(self.tail, tokens, self.last)
        self.last |= {one.phrase: one.end for one in found}
        events = self._tell(utterance, found)
        self.told.pop(utterance, None)
        keep = max(0, phrases.longest - 1)
        self.tail = [*self.tail, *tokens][-keep:] if keep else []
        return found, events

    def _tell(self, utterance: int, found: Sequence[Occurrence]) -> list[CallEvent]:
        told = self.told.setdefault(utterance, [])
        while len(self.told) > MAX_OPEN:
            del self.told[next(iter(self.told))]
        left = list(told)
        events: list[CallEvent] = []
        for one in found:
            before = next((old for old in left if _same(old, one)), None)
            if before is not None:
                left.remove(before)
                continue
            told.append(one)
            events.append(
                CallEvent(
                    kind="keyword",
                    start_sample=one.start,
                    end_sample=one.end,
                    phrase=one.phrase,
                    utterance=utterance,
                )
            )
        return events


class Phrases:
    """What is looked for."""

    def __init__(self, phrases: Sequence[str]) -> None:
        self._phrases = [tuple(fold(part) for part in _PARTS.findall(phrase)) for phrase in phrases]
        self.longest = max(map(len, self._phrases), default=0)
        """Tokens."""

    def find(
        self, before: Sequence[Token], tokens: Sequence[Token], last: Mapping[int, int] | None = None
    ) -> list[Occurrence]:
        """Occurrences that end in `tokens`, in the order of their ends; they may begin in those `before` them, but not
        before where the phrase's `last` one ends."""
        if not tokens or not self._phrases:
            return []
        near = before if before and tokens[0].start - before[-1].end <= PHRASE_PAUSE else ()
        every = [*near, *tokens]
        found: list[Occurrence] = []
        for index, phrase in enumerate(self._phrases):
            free = 0 if last is None else last.get(index, 0)
            at = max(0, len(near) - len(phrase) + 1)
            while at < len(near) and every[at].start < free:
                at += 1
            while at + len(phrase) <= len(every):
                if tuple(token.text for token in every[at : at + len(phrase)]) == phrase:
                    found.append(Occurrence(index, every[at].start, every[at + len(phrase) - 1].end))
                    at += len(phrase)
                else:
                    at += 1
        return sorted(found, key=lambda one: (one.end, one.start, one.phrase))


def _settled(words: Sequence[Word]) -> list[Token]:
    """The tokens of stable words; not the last, if another one could still be glued to it."""
    count = next((place for place, word in enumerate(words) if not word.stable), len(words))
    while count and (count == len(words) or words[count].glued):
        count -= 1
    return list(_tokens(words[:count]))


def _tokens(words: Sequence[Word]) -> Iterator[Token]:
    run: list[Word] = []
    for word in words:
        if run and not word.glued:
            yield from _parts(run)
            run = []
        run.append(word)
    yield from _parts(run)


def _parts(run: Sequence[Word]) -> Iterator[Token]:
    for part in _PARTS.findall("".join(word.text for word in run)):
        if text := fold(part):
            yield Token(text, run[0].start, run[-1].end)


def _same(old: Occurrence, new: Occurrence) -> bool:
    return old.phrase == new.phrase and abs(old.start - new.start) <= SAME_OCCURRENCE
