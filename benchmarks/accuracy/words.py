"""Word-level measures over texts: normaliser, error counts, repetition loops, percentiles. Pure.

Texts are normalised by Whisper's English normaliser (Radford et al. 2022, appendix C; package
`whisper-normalizer`). Word errors are jiwer's minimum edit distance, summed over clips before the division,
so that a long clip weighs as much as its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import jiwer
import numpy as np
from whisper_normalizer.english import EnglishTextNormalizer

LOOP_MAX_NGRAM = 8
LOOP_MIN_REPEATS = 4
RUNAWAY_RATIO = 2.5
RUNAWAY_SLACK_WORDS = 10

_english = EnglishTextNormalizer()
_DIGIT = re.compile(r"(\d)")


@lru_cache(maxsize=16_384)
def normalise(text: str) -> str:
    """The text as it is compared: lower case, no punctuation or fillers, numbers as digits, one space between words."""
    return " ".join(_english(text).split())


def split_digits(normalised: str) -> str:
    """Each digit as a word of its own: "call 555" becomes "call 5 5 5".

    The normaliser writes "five five five" as one word and "5, 5, 5" as three; split, both read the same.
    """
    return " ".join(_DIGIT.sub(r" \1 ", normalised).split())


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Edit operations that turn the reference's words into the hypothesis' words."""

    substitutions: int
    deletions: int
    insertions: int
    reference_words: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.reference_words + other.reference_words,
        )

    @property
    def rate(self) -> float:
        """Word error rate in percent; 0 where the reference has no words."""
        return 100.0 * self.errors / self.reference_words if self.reference_words else 0.0


NO_ERRORS = WordErrors(0, 0, 0, 0)


def word_errors(reference: str, hypothesis: str) -> WordErrors:
    """Counts the errors of one clip; both texts are compared as they are, so normalise them first."""
    found = jiwer.process_words(reference, hypothesis)
    return WordErrors(found.substitutions, found.deletions, found.insertions, len(reference.split()))


def longest_repeat(words: Sequence[str], size: int) -> int:
    """How many times in a row one n-gram of `size` words stands at most; 0 where the text is shorter than `size`."""
    if len(words) < size:
        return 0
    longest = 1
    run = 0  # words in a row that equal the word `size` before them
    for now, before in zip(words[size:], words, strict=False):
        run = run + 1 if now == before else 0
        longest = max(longest, 1 + run // size)
    return longest


def has_loop(reference: str, hypothesis: str) -> bool:
    """True where the hypothesis repeats itself as a decoder that missed its end does.

    Either an n-gram of at most LOOP_MAX_NGRAM words stands LOOP_MIN_REPEATS times in a row or more, and oftener than
    in the reference; or there are more than RUNAWAY_RATIO times the reference's words plus RUNAWAY_SLACK_WORDS. Looked
    for in the normalised text with digits split, and in the plain words, since the normaliser drops fillers.
    """
    folds = ((split_digits(normalise(reference)), split_digits(normalise(hypothesis))), (reference, hypothesis))
    for said, heard in ((_plain_words(a), _plain_words(b)) for a, b in folds):
        if len(heard) > RUNAWAY_RATIO * len(said) + RUNAWAY_SLACK_WORDS:
            return True
        for size in range(1, LOOP_MAX_NGRAM + 1):
            repeats = longest_repeat(heard, size)
            if repeats >= LOOP_MIN_REPEATS and repeats > longest_repeat(said, size):
                return True
    return False


def _plain_words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of a set of measurements, in their unit, by linear interpolation between the two nearest."""

    p50: float
    p95: float
    p99: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Percentiles | None:
        """None where there are no values."""
        held = np.fromiter(values, dtype=np.float64)
        if not held.size:
            return None
        p50, p95, p99 = (round(float(value), 1) for value in np.percentile(held, [50, 95, 99]))
        return cls(p50, p95, p99, int(held.size))
