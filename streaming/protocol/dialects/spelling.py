"""Words without what was written around them, as services spell them that punctuate only when asked."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import msgspec

from streaming.protocol.messages import Word


class BareWord(msgspec.Struct, frozen=True):
    text: str
    """Lower case, without punctuation at its ends; not empty."""
    glued: bool
    word: Word


def bare_words(words: Iterable[Word]) -> list[BareWord]:
    """Without those that are punctuation only."""
    spelt = ((bare_text(word.text), word) for word in words)
    return [BareWord(text, word.glued, word) for text, word in spelt if text]


def bare_text(text: str) -> str:
    """As "don't" for "Don't,"."""
    begin, end = 0, len(text)
    while begin < end and _is_punctuation(text[begin]):
        begin += 1
    while begin < end and _is_punctuation(text[end - 1]):
        end -= 1
    return text[begin:end].lower()


def _is_punctuation(char: str) -> bool:
    """Unicode's punctuation and separators only, so that signs of currencies and of vowels stay."""
    return char != "%" and unicodedata.category(char)[0] in "PZ"
