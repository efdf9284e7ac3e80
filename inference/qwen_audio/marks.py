"""An answer's tokens as runs of text and the special tokens between them: what every parser reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inference.qwen_audio.tokenizer import QwenTokenizer


@dataclass(frozen=True, slots=True)
class Mark:
    """A special token."""

    name: str
    seconds: float | None = None
    """Of a stamp."""


Run = str | Mark

NONSENSE = Mark("")
"""A number beyond the vocabulary: a checkpoint's embedding has rows that no token uses."""

# Han and kana, with the punctuation that goes with them.
_UNSPACED = (
    ("\u3000", "\u30ff"),
    ("\u3400", "\u9fff"),
    ("\uf900", "\ufaff"),
    ("\uff00", "\uffef"),
    ("\U00020000", "\U0003ffff"),
)


def up_to_end(tokens: Sequence[int], tokenizer: QwenTokenizer) -> tuple[Sequence[int], bool]:
    """The tokens before the first that ends an answer, and whether there is one."""
    ends = tokenizer.specials.ends
    end = next((at for at, token in enumerate(tokens) if token in ends), None)
    return (tokens, False) if end is None else (tokens[:end], True)


def read_runs(tokens: Iterable[int], tokenizer: QwenTokenizer) -> list[Run]:
    """Text and marks in their order; no two texts in a row, none of them blank."""
    specials = tokenizer.specials
    runs: list[Run] = []
    pieces: list[int] = []

    def close() -> None:
        text = tokenizer.decode(pieces)
        if text.strip():
            runs.append(text)
        pieces.clear()

    for token in tokens:
        if tokenizer.piece(token):
            pieces.append(token)
            continue
        close()
        name = specials.name(token)
        runs.append(NONSENSE if name is None else Mark(name, specials.seconds(token)))
    close()
    return runs


def plain_text(runs: Iterable[Run]) -> str:
    """All text, without marks."""
    return join(run for run in runs if isinstance(run, str))


def join(texts: Iterable[str]) -> str:
    """Texts that marks stood between as one, with spaces as people write: none in Chinese and Japanese."""
    whole = ""
    for text in texts:
        if whole and text and spaced(whole[-1], text[0]):
            whole += " "
        whole += text
    return whole.strip()


def spaced(before: str, after: str) -> bool:
    """Whether people write a space between a text that ends with one character and one that begins with another."""
    if before.isspace() or after.isspace() or after in ",.;:!?%)]}":
        return False
    return not (is_unspaced(before) or is_unspaced(after))


def is_unspaced(character: str) -> bool:
    """Chinese and Japanese."""
    return any(first <= character <= last for first, last in _UNSPACED)
