"""Words as text: joining, folding, aligning. Shared by the stabiliser, the metrics and the captions."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from streaming.protocol.words import TextWord, plain_text

__all__ = ["TextWord", "changed_words", "common_words", "fold", "is_code", "plain_text"]


def fold(text: str) -> str:
    """A word without case and punctuation: two words that fold alike say the same. May be empty.

    Only Unicode's punctuation and separators go, so that the vowel signs of Indic scripts stay.
    """
    normal = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in normal if unicodedata.category(char)[0] not in "PZ")


_ENGLISH_NUMBER_WORDS = """
zero oh one two three four five six seven eight nine ten
eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty
fifty sixty seventy eighty ninety hundred thousand million double
"""
_NUMBER_WORDS = frozenset(_ENGLISH_NUMBER_WORDS.split())


def is_code(text: str) -> bool:
    """Whether a word is, or may be part of, a number or a spelling: "49", "seven", "G-I-B", "MNZ"; not "I" or "a"."""
    if fold(text) in _NUMBER_WORDS:
        return True
    letters = [char for char in text if char.isalpha()]
    if any(char.isdigit() for char in text):
        return True
    if len(letters) == 1:
        return letters[0] not in "aAI"
    return bool(letters) and all(char.isupper() for char in letters)


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
    """How many of `old` have no counterpart in `new`; words without text (pure punctuation, folded) do not count.

    Where only the spaces moved ("voice over IP", "VoiceOver IP", both folded) nothing has changed.
    """
    old_words, new_words = [text for text in old if text], [text for text in new if text]
    pairs = [(-1, -1), *common_words(old_words, new_words), (len(old_words), len(new_words))]
    changed = 0
    for (old_before, new_before), (old_after, new_after) in pairwise(pairs):
        gone, come = old_words[old_before + 1 : old_after], new_words[new_before + 1 : new_after]
        changed += len(gone) if "".join(gone) != "".join(come) else 0
    return changed


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
