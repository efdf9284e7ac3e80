"""The vocabularies of the adapters' checkpoints as bytes, and words made of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from inference.pool.interface import EngineStartError
from inference.whisper.text import WordSplitter

_SPACE = "\u2581"
"""How SentencePiece writes the space before a word."""


class PieceSplitter(WordSplitter):
    """Splits tokens into words where the bytes of each token are known, whatever kind of tokenizer made them."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        """`pieces`: of each token id its bytes, a space before a word included; empty where it is no text."""
        self._bytes = list(pieces)

    def piece(self, token: int) -> bytes:
        return self._bytes[token]

    def is_text(self, token: int) -> bool:
        return 0 <= token < len(self._bytes) and bool(self._bytes[token])


def read_tokenizer(folder: Path) -> Tokenizer:
    """Raises EngineStartError."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise EngineStartError(f"{folder} has no tokenizer.json: get the whole checkpoint again.")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:
        raise EngineStartError(f"{file} is no tokenizer that can be read: get the checkpoint again.") from error


def byte_level_splitter(tokenizer: Tokenizer) -> PieceSplitter:
    """Of a byte-level BPE (Qwen): special and added tokens are no text."""
    added = tokenizer.get_added_tokens_decoder()
    first_added = min(added, default=tokenizer.get_vocab_size())
    return PieceSplitter(WordSplitter(tokenizer, first_added)._bytes)


def sentence_piece_splitter(tokenizer: Tokenizer, size: int) -> PieceSplitter:
    """Of a SentencePiece vocabulary (Nemotron): tokens 0 … size - 1."""
    added = tokenizer.get_added_tokens_decoder()
    pieces = [tokenizer.id_to_token(token) or "" for token in range(size)]
    return PieceSplitter(
        [b"" if token in added else piece.replace(_SPACE, " ").encode() for token, piece in enumerate(pieces)]
    )


class Tekken:
    """The part of Mistral's tekken.json that transcription needs: each token's bytes, and control tokens by name."""

    def __init__(self, folder: Path) -> None:
        """Raises EngineStartError."""
        file = folder / "tekken.json"
        try:
            told: dict[str, Any] = json.loads(file.read_text("utf-8"))
            special = told["special_tokens"]
            offset = int(told["config"]["default_num_special_tokens"])
            size = int(told["config"]["default_vocab_size"])
            pieces = [base64.b64decode(entry["token_bytes"]) for entry in told["vocab"][: size - offset]]
            self.control = {str(entry["token_str"]): int(entry["rank"]) for entry in special}
            self.audio: dict[str, Any] = told.get("audio", {})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EngineStartError(f"{file} is missing or broken ({error!r}): get the checkpoint again.") from error
        self.splitter = PieceSplitter([b""] * offset + pieces)

    def control_token(self, name: str) -> int:
        """Raises EngineStartError."""
        if name not in self.control:
            raise EngineStartError(f"tekken.json has no {name}: it is not of a streaming Voxtral.")
        return self.control[name]
