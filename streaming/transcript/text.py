"""Words as text: joining, folding, aligning. Shared by the stabiliser, the metrics and the captions."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Protocol


class TextWord(Protocol):
    """Anything with a word's text: the session's words and the wire's alike."""

    @property
    def text(self) -> str: ...

    @property
    def glued(self) -> bool: ...


def plain_text(words: Iterable[TextWord]) -> str:
    """The words with single spaces between them, and none before a glued one."""
    parts: list[str] = []
    for word in words:
        if parts and not word.glued:
            parts.append(" ")
        parts.append(word.text)
    return "".join(parts)


def fold(text: str) -> str:
    """A word without case and punctuation: two words that fold alike say the same. May be empty.

    Only Unicode's punctuation and separators go, so that the vowel signs of Indic scripts stay.
    """
    normal = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in normal if unicodedata.category(char)[0] not in "PZ")


def common_words(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Index pairs of a longest common subsequence, both indices rising: the most words that can have stayed.

    Equal heads and tails are paired first (which keeps it a longest one), so that the quadratic part is only as
    large as what changed.
    """
    head = _common_prefix(old, new)
    tail = _common_prefix(old[head:][::-1], new[head:][::-1])
    a, b = old[head : len(old) - tail], new[head : len(new) - tail]
    pairs = [(i, i) for i in range(head)]
    pairs += [(head + i, head + j) for i, j in _longest_common_subsequence(a, b)]
    pairs += [(len(old) - i, len(new) - i) for i in range(tail, 0, -1)]
    return pairs


def changed_words(old: Sequence[str], new: Sequence[str]) -> int:
    """How many of `old` have no counterpart in `new`; words without text (pure punctuation, folded) do not count."""
    old_words, new_words = [text for text in old if text], [text for text in new if text]
    return len(old_words) - len(common_words(old_words, new_words))


def _common_prefix(a: Sequence[str], b: Sequence[str]) -> int:
    length = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        length += 1
    return length


def _longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    longest = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]  # of a[i:] and b[j:]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            longest[i][j] = longest[i + 1][j + 1] + 1 if a[i] == b[j] else max(longest[i + 1][j], longest[i][j + 1])
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs
