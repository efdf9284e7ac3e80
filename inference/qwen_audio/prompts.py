"""What Qwen-Audio is given: token ids, with places where a clip's frames stand. No torch.

Framing is made of special tokens by id; everything that people or models wrote goes in as ordinary pieces, so that no
text can end a turn, begin another, or name a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.qwen_audio.special_tokens import SpecialTokens
from inference.qwen_audio.tags import Tags, encode

if TYPE_CHECKING:
    from inference.qwen_audio.tokenizer import QwenTokenizer

SYSTEM = "You are a helpful assistant."
"""What the chat model was trained with."""
CONTEXT_TOKENS = 128
"""Of the text before a window of long audio; about a minute of speech."""


@dataclass(frozen=True, slots=True)
class AudioSlot:
    """The frames of a clip, between the embeddings of their begin and their end."""

    index: int
    """Among the clips that are given with the prompt, from 0."""


Part = tuple[int, ...] | AudioSlot


@dataclass(frozen=True, slots=True)
class Prompt:
    parts: tuple[Part, ...]
    """Token ids, never empty and never two in a row, and slots, whose indices are 0, 1, … in their order."""

    @property
    def clips(self) -> int:
        """How many clips are given with it."""
        return sum(isinstance(part, AudioSlot) for part in self.parts)

    def positions(self, spans: Sequence[int]) -> int:
        """How many positions of the language model it takes.

        Args:
            spans: of each clip its frames and 2, begin and end (`ClipLengths.span`).

        Raises:
            ValueError: not as many spans as clips.
        """
        self._check(spans)
        return sum(spans[part.index] if isinstance(part, AudioSlot) else len(part) for part in self.parts)

    def ids(self, spans: Sequence[int], specials: SpecialTokens) -> list[int]:
        """One id for each position: of a clip the tokens of its begin, of padding for each frame, and of its end.

        Args:
            spans: as of `positions`.

        Raises:
            ValueError: not as many spans as clips.
        """
        self._check(spans)
        ids: list[int] = []
        for part in self.parts:
            if isinstance(part, AudioSlot):
                pads = [specials.audio_pad] * (spans[part.index] - 2)
                ids += [specials.audio_start, *pads, specials.audio_end]
            else:
                ids += part
        return ids

    def _check(self, spans: Sequence[int]) -> None:
        if len(spans) != self.clips:
            raise ValueError(f"the prompt has {self.clips} clips, not {len(spans)}; each should have one span")


@dataclass(frozen=True, slots=True)
class UserTurn:
    text: str
    """Data, whatever it says."""
    clips: int = 0
    """How many clips come before the text."""


@dataclass(frozen=True, slots=True)
class ModelTurn:
    tokens: tuple[int, ...]
    """As the model wrote them, so that what it is cached for stays the same; of a text, `encode_text`."""


def task_prompt(tags: Tags, tokenizer: QwenTokenizer, *, context: str = "") -> Prompt:
    """The base model's: the clip, then the tags.

    The clip is always first: what the model computes of it serves every task that is asked about it.

    Args:
        context: what was said before the clip began, of a window of longer audio. It stands between the clip and its
            tags, and is cut to its last `CONTEXT_TOKENS`.
    """
    return _prompt([AudioSlot(0), tuple(_recent(context, tokenizer)), encode(tags, tokenizer)])


def chat_prompt(turns: Iterable[UserTurn | ModelTurn], tokenizer: QwenTokenizer, *, system: str = SYSTEM) -> Prompt:
    """The chat model's (ChatML): the turns so far, and the begin of the one that it writes.

    The clips of all turns are numbered through, `Audio 1:`, `Audio 2:`, so that each can be spoken of. The prompt of a
    conversation is the begin of its next one, which has the answer and a turn more.
    """
    specials = tokenizer.specials
    line = tokenizer.encode_text("\n")
    parts: list[Part] = []
    clips = 0

    def begin(role: str) -> None:
        parts.append((specials.im_start, *tokenizer.encode_text(role), *line))

    def end() -> None:
        parts.append((specials.im_end, *line))

    begin("system")
    parts.append(tuple(tokenizer.encode_text(system)))
    end()
    for turn in turns:
        if isinstance(turn, UserTurn):
            begin("user")
            for _ in range(turn.clips):
                parts += [tuple(tokenizer.encode_text(f"Audio {clips + 1}:")), AudioSlot(clips), tuple(line)]
                clips += 1
            parts.append(tuple(tokenizer.encode_text(turn.text)))
        else:
            begin("assistant")
            parts.append(tuple(_without_framing(turn.tokens, specials)))
        end()
    begin("assistant")
    return _prompt(parts)


def _without_framing(tokens: Iterable[int], specials: SpecialTokens) -> list[int]:
    """Up to what ends an answer, without places of audio and numbers that are no tokens."""
    kept: list[int] = []
    for token in tokens:
        if token in specials.ends:
            break
        if 0 <= token < specials.vocabulary and token not in specials.audio:
            kept.append(token)
    return kept


def _recent(context: str, tokenizer: QwenTokenizer) -> list[int]:
    """The end of the text, from where a character begins."""
    tokens = tokenizer.encode_text(context)[-CONTEXT_TOKENS:]
    begin = next((at for at, token in enumerate(tokens) if not b"\x80" <= tokenizer.piece(token)[:1] <= b"\xbf"), 0)
    return tokens[begin:]


def _prompt(parts: Iterable[Part]) -> Prompt:
    """Joins what stands side by side."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, AudioSlot):
            joined.append(part)
        elif isinstance(last, tuple):
            joined[-1] = last + part
        elif part:
            joined.append(part)
    return Prompt(tuple(joined))
