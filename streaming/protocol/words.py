"""Words as text."""

from __future__ import annotations

from collections.abc import Iterable
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
