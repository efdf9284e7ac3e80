"""From token ids to words: bytes, words with the tokens they are made of, and annotations taken out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tokenizers import Tokenizer

_UNSPACED_LANGUAGES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
_OPEN, _CLOSE = "([{", ")]}"
_NOTES = "♪♫♬♩"
_LONGEST_ANNOTATION = 8  # words; a bracket that stays open longer is taken for text


@dataclass(frozen=True, slots=True)
class TokenWord:
    """A word and its place in the token sequence: tokens first … first + len(tokens)."""

    text: str
    first: int
    tokens: tuple[int, ...]
    glued: bool


@dataclass(frozen=True, slots=True)
class Annotation:
    """A non-speech remark of the model: label in lower case, and the tokens that it was made of."""

    label: str
    first: int
    count: int


class WordSplitter:
    """Splits byte-level BPE tokens into words as people write them.

    With spaces between words a word begins at a token that begins with a space, so that punctuation stays with its
    word (openai/whisper `tokenizer.py:split_tokens_on_spaces`); in languages written without spaces each group of
    tokens that makes whole characters is a word of its own.
    """

    def __init__(self, tokenizer: Tokenizer, end_of_text: int) -> None:
        to_byte = {character: byte for byte, character in _byte_characters().items()}
        self._bytes: list[bytes] = []
        for token in range(end_of_text):
            piece = tokenizer.id_to_token(token) or ""
            self._bytes.append(bytes(to_byte[c] for c in piece if c in to_byte))

    def kinds(self) -> list[int]:
        """Of each text token what it says, as a number: alike for tokens that differ in case, spaces or punctuation."""
        numbers: dict[str, int] = {}
        return [numbers.setdefault(_said(piece), len(numbers)) for piece in self._bytes]

    def text(self, tokens: Sequence[int]) -> str:
        return b"".join(self._bytes[token] for token in tokens).decode("utf-8", errors="replace")

    def said(self, tokens: Sequence[int]) -> str:
        """The text whatever its case, spaces and punctuation."""
        return _said(b"".join(self._bytes[token] for token in tokens))

    def words(self, tokens: Sequence[int], language: str | None = None) -> list[TokenWord]:
        """Every token belongs to one word; tokens that are only space are put to the word after them."""
        words: list[TokenWord] = []
        start = 0
        for first, until in self._whole_characters(tokens):
            piece = self.text(tokens[first:until])
            opens = piece[:1].isspace() or first == 0 or language in _UNSPACED_LANGUAGES
            if opens and self.text(tokens[start:first]).strip():
                words.append(self._word(tokens, start, first))
                start = first
        if self.text(tokens[start:]).strip():
            words.append(self._word(tokens, start, len(tokens)))
        return words

    def spoken(self, tokens: Sequence[int]) -> int:
        """How many of a word's tokens are left without the punctuation at its end, which lasts as long as a pause."""
        count = len(tokens)
        while count > 1 and all(unicodedata.category(c)[0] == "P" for c in self.text(tokens[count - 1 : count])):
            count -= 1
        return count

    def _word(self, tokens: Sequence[int], first: int, until: int) -> TokenWord:
        raw = self.text(tokens[first:until])
        return TokenWord(raw.strip(), first, tuple(tokens[first:until]), glued=first > 0 and not raw[:1].isspace())

    def _whole_characters(self, tokens: Sequence[int]) -> list[tuple[int, int]]:
        """Runs of tokens, as short as they can be, that begin where a UTF-8 character does.

        Bytes that are no text end with their run: UTF-8 tells the begin of a character by its first byte.
        """
        begins = [at for at, token in enumerate(tokens) if at == 0 or not _goes_on(self._bytes[token])]
        return list(pairwise([*begins, len(tokens)]))


def _said(piece: bytes) -> str:
    text = piece.decode("utf-8", errors="backslashreplace").casefold()
    return "".join(c for c in text if unicodedata.category(c)[0] not in "PZ")


def _goes_on(piece: bytes) -> bool:
    """Whether the first byte belongs to a character that an earlier token began."""
    return b"\x80" <= piece[:1] <= b"\xbf"


def take_out_annotations(words: Sequence[TokenWord]) -> tuple[list[TokenWord], list[Annotation]]:
    """Parts "(laughs)", "[BLANK_AUDIO]", "*sighs*" and music notes are remarks about sound, not words that were said.

    A bracket that is still open at the end is a remark being written: its words are held back as well.
    """
    spoken: list[TokenWord] = []
    remarks: list[Annotation] = []
    index = 0
    while index < len(words):
        until = _remark_end(words, index)
        if until is None:
            spoken.append(words[index])
            index += 1
            continue
        part = words[index:until]
        label = re.sub(r"[\s_]+", " ", "".join(c for w in part for c in f"{w.text} " if c.isalnum() or c in " _'-"))
        label = label.strip().lower() or ("music" if any(c in _NOTES for w in part for c in w.text) else "")
        if label:
            remarks.append(Annotation(label[:64], part[0].first, sum(len(word.tokens) for word in part)))
        index = until
    return spoken, remarks


def _remark_end(words: Sequence[TokenWord], index: int) -> int | None:
    """Index after the remark that begins at `index`, or None where a spoken word stands."""
    text = words[index].text
    if text and all(c in _NOTES or not c.isalnum() for c in text) and any(c in _NOTES for c in text):
        return index + 1
    if text.startswith("*") and text.rstrip(".,!?").endswith("*") and len(text) > 2:
        return index + 1
    kind = _OPEN.find(text[:1]) if text else -1
    if kind < 0:
        return None
    for until in range(index, min(len(words), index + _LONGEST_ANNOTATION)):
        if _CLOSE[kind] in words[until].text:
            return until + 1
    return len(words) if len(words) - index < _LONGEST_ANNOTATION else None


def _byte_characters() -> dict[int, str]:
    """GPT-2's printable character for each byte (openai/gpt-2 `encoder.py:bytes_to_unicode`)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = {byte: chr(byte) for byte in printable}
    spare = 256
    for byte in range(256):
        if byte not in characters:
            characters[byte] = chr(spare)
            spare += 1
    return characters
