"""A tiny `qwen.tiktoken` for tests: 256 bytes and a few merges, so that special tokens begin at `RANKS`."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from inference.qwen_audio.special_tokens import SPECIAL_TOKENS
from inference.qwen_audio.tokenizer import FILE_NAME, QwenTokenizer, load_tokenizer

_WORDS = ["th", "the", " the", " a", "in", "er", "is", "ll", "llo", "ello", "hello", " w", "or", "\n\n", "  ", "é"]
MERGES = (*(word.encode() for word in _WORDS), "你".encode()[:2], "你".encode(), "👋".encode()[:2])
RANKS = 256 + len(MERGES)


def pieces() -> list[bytes]:
    """By rank."""
    return [*(bytes([byte]) for byte in range(256)), *MERGES]


def write_tiktoken(folder: Path, vocabulary: int = RANKS) -> Path:
    """Writes the file into the folder.

    Args:
        vocabulary: number of pieces; above `RANKS` they are filled up with ones that no text is made of.
    """
    filling = (bytes([0xFF, 0xFE]) + number.to_bytes(4, "big") for number in range(vocabulary - RANKS))
    file = folder / FILE_NAME
    with file.open("wb") as out:
        for rank, piece in enumerate([*pieces(), *filling]):
            out.write(base64.b64encode(piece) + b" %d\n" % rank)
    return file


@lru_cache(maxsize=2)
def tokenizer(vocabulary: int = RANKS) -> QwenTokenizer:
    """Loaded from such a file; with 151,643 pieces special tokens have the ids of the published model."""
    with TemporaryDirectory() as folder:
        write_tiktoken(Path(folder), vocabulary)
        return load_tokenizer(Path(folder))


def spell(shown: str, tokenizer: QwenTokenizer) -> list[int]:
    """The tokens of an answer as it is written for people, `<|0.54|>hello<|0.86|>`: only a test may read tags so."""
    ids = {written: tokenizer.specials.base + place for place, written in enumerate(SPECIAL_TOKENS)}
    parts = re.split(r"(<\|[\w.]+\|>)", shown)
    return [token for part in parts for token in ([ids[part]] if part in ids else tokenizer.encode_text(part))]
