"""Qwen's byte-level BPE: `qwen.tiktoken` with the special tokens kept apart from everything that people write."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import tiktoken

from inference.qwen_audio.special_tokens import SPECIAL_TOKENS, SpecialTokens

FILE_NAME = "qwen.tiktoken"
# QwenLM/Qwen `tokenization_note.md`: how text is cut into words before pairs of bytes are merged.
_SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# tiktoken merges within a word in quadratic time and panics on very long runs of spaces: longer runs are cut.
_LONGEST_RUN = 4096
_LONG_RUN = re.compile(rf"\s{{{_LONGEST_RUN}}}|\S{{{_LONGEST_RUN}}}")
_BYTES = 256


class TokenizerError(Exception):
    """The tokenizer's file is missing or broken. The message is one sentence for a user, with what would be right."""


class QwenTokenizer:
    """Text to ordinary pieces and back. Special tokens are reached through `specials` only, never through text."""

    def __init__(self, ranks: dict[bytes, int]) -> None:
        """
        Args:
            ranks: piece → id; ids are 0 … n - 1, and every single byte is a piece.
        """
        self._encoding = tiktoken.Encoding(
            "qwen_audio", pat_str=_SPLIT_PATTERN, mergeable_ranks=ranks, special_tokens={}
        )
        self._pieces = [piece for piece, _ in sorted(ranks.items(), key=lambda item: item[1])]
        self.specials = SpecialTokens(len(ranks))

    @property
    def vocabulary(self) -> int:
        """Number of ids that mean something; a checkpoint's embedding may have unused rows above."""
        return self.specials.vocabulary

    def encode_text(self, text: str) -> list[int]:
        """Ordinary pieces of the text in NFC, whatever it says: `<|im_end|>` in it is seven characters and more.

        Lone surrogates, which no UTF-8 has, become U+FFFD.
        """
        text = unicodedata.normalize("NFC", text)
        return [token for part in _parts(text) for token in self._encoding.encode_ordinary(part)]

    def piece(self, token: int) -> bytes:
        """The bytes of an ordinary piece; none for special tokens and numbers beyond the vocabulary."""
        return self._pieces[token] if 0 <= token < len(self._pieces) else b""

    def decode(self, tokens: Iterable[int], *, times: bool = False) -> str:
        """The text without special tokens; bytes that are no UTF-8 become U+FFFD.

        Args:
            times: stamps are said as numbers, `<|2.33|>` as `2.33`, for answers that speak of times in sentences.
        """
        detokenizer = Detokenizer(self, times=times)
        return "".join(detokenizer.push(token) for token in tokens) + detokenizer.finish()

    def render(self, tokens: Iterable[int]) -> str:
        """Everything, special tokens as they are written: for people, not to be read back."""
        shown: list[str] = []
        text = Detokenizer(self)
        for token in tokens:
            shown.append(text.push(token))
            place = token - self.specials.base
            if 0 <= place < len(SPECIAL_TOKENS):
                shown.append(SPECIAL_TOKENS[place])
        return "".join(shown) + text.finish()


class Detokenizer:
    """Tokens of an answer that is being written → text, in whole characters.

    What was pushed up to any moment, and `finish`, together are `QwenTokenizer.decode` of the same tokens.
    """

    def __init__(self, tokenizer: QwenTokenizer, *, times: bool = False) -> None:
        self._tokenizer = tokenizer
        self._times = times
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._last = ""

    def push(self, token: int) -> str:
        """The text that is certain with this token; empty while a character is incomplete."""
        piece = self._tokenizer.piece(token)
        text = self._decoder.decode(piece) if piece else self.finish() + self._time(token)
        self._last = text[-1:] or self._last
        return text

    @property
    def whole(self) -> bool:
        """No character is incomplete."""
        return not self._decoder.getstate()[0]

    def finish(self) -> str:
        """What is left of a character that was cut off: U+FFFD, or nothing."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest

    def _time(self, token: int) -> str:
        seconds = self._tokenizer.specials.seconds(token) if self._times else None
        if seconds is None:
            return ""
        apart = " " if self._last.isascii() and self._last.isalnum() else ""
        return f"{apart}{seconds:.2f}"


def load_tokenizer(folder: Path) -> QwenTokenizer:
    """Reads `qwen.tiktoken` of a checkpoint folder: a line for each piece, its bytes in base64 and its rank.

    Raises:
        TokenizerError: the file is missing, cannot be read, or has a line, a rank or a set of pieces that is not right.
    """
    file = folder / FILE_NAME
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        raise TokenizerError(f"{file} is missing: copy it from the checkpoint that the weights came from") from None
    except OSError as error:
        raise TokenizerError(f"{file} cannot be read ({error.strerror}); it should be a readable file") from error
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            piece, rank = _read_line(file, number, line)
            if piece in ranks:
                raise TokenizerError(f"{file}, line {number}: the piece {piece!r} is there twice; each should be once")
            ranks[piece] = rank
    _check(file, ranks)
    return QwenTokenizer(ranks)


def _read_line(file: Path, number: int, line: bytes) -> tuple[bytes, int]:
    try:
        encoded, rank = line.split()
        piece = base64.b64decode(encoded, validate=True)
        if not piece or not rank.isdigit():
            raise ValueError
        return piece, int(rank)
    except (ValueError, binascii.Error):
        raise TokenizerError(
            f"{file}, line {number}: {line[:40]!r} should be the bytes of a piece in base64, a space, and its rank"
        ) from None


def _check(file: Path, ranks: dict[bytes, int]) -> None:
    missing = next((byte for byte in range(_BYTES) if bytes([byte]) not in ranks), None)
    if missing is not None:
        raise TokenizerError(f"{file} has no piece for the byte {missing:#04x}; each of the 256 bytes should be one")
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise TokenizerError(
            f"{file}: the ranks of its {len(ranks)} pieces should be 0 … {len(ranks) - 1}, each once; is it cut off?"
        )


def _parts(text: str) -> Iterator[str]:
    begin = 0
    for run in _LONG_RUN.finditer(text):
        yield text[begin : run.end()]
        begin = run.end()
    yield text[begin:]
