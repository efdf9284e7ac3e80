"""Tokens of a caption as words, with the times that the model wrote, if it wrote any, else with the segment's bounds.

A word's tokens are all that stand from the end of the one before it to its own end, stamps included: those of the
first words, put together, are what an answer can be bound to begin with.
"""

from __future__ import annotations

from collections.abc import Sequence

from inference.adapters.text import PieceSplitter
from inference.pool.interface import SAMPLE_RATE, HypothesisWord
from inference.qwen_audio.marks import is_unspaced, spaced
from inference.qwen_audio.tokenizer import QwenTokenizer

_SLACK_SAMPLES = 640
"""A stamp may lie this much after the end of the audio: one frame that the model hears."""
_TRADITIONAL = "zh_tr"


class CaptionWords:
    def __init__(self, tokenizer: QwenTokenizer) -> None:
        self._specials = tokenizer.specials
        self.splitter = PieceSplitter([tokenizer.piece(token) for token in range(tokenizer.specials.base)])
        self._silence = tokenizer.specials.id("sil")

    def may_be(self, token: int, timed: bool) -> bool:
        """Whether a caption may have this token; `timed`: one with stamps."""
        if self.splitter.is_text(token):
            return True
        return timed and (token == self._silence or self._specials.seconds(token) is not None)

    def words(
        self,
        tokens: Sequence[int],
        probabilities: Sequence[float],
        start_sample: int,
        until_sample: int,
        language: str | None,
    ) -> tuple[HypothesisWord, ...]:
        """
        Args:
            tokens: of the answer, each of them one that `may_be`; `probabilities` are theirs.
            start_sample, until_sample: of the segment.
            language: of the text; None: it is told by its script whether it has spaces between words.
        """
        writer = _Writer(tokens, probabilities, start_sample)
        furthest, latest = start_sample, until_sample + _SLACK_SAMPLES
        at = 0
        while at < len(tokens):
            stamp = self._stamp(tokens[at], start_sample)
            if stamp is not None and furthest <= stamp <= latest:
                furthest = stamp
            if not self.splitter.is_text(tokens[at]):
                at += 1
                continue
            begin = at
            while at < len(tokens) and self.splitter.is_text(tokens[at]):
                at += 1
            stamp = self._stamp(tokens[at], start_sample) if at < len(tokens) else None
            closed = stamp is not None and furthest < stamp <= latest
            span = (min(furthest, until_sample), min(stamp, until_sample) if stamp and closed else until_sample)
            self._run(writer, begin, at, None if stamp is None else at + 1, span, language)
        return tuple(writer.words)

    def _run(
        self, writer: _Writer, begin: int, until: int, closed: int | None, span: tuple[int, int], language: str | None
    ) -> None:
        """The words of a run of text, tokens begin … until; `closed`: the token behind the stamp that closes it."""
        run = writer.tokens[begin:until]
        text = self.splitter.text(run)
        written = "zh" if language == _TRADITIONAL or (language is None and _has_no_spaces(text)) else language
        words = self.splitter.words(run, written)
        for place, word in enumerate(words):
            first = begin + word.first
            said = (first, first + len(word.tokens))
            end = said[1] if closed is None or place < len(words) - 1 else closed
            glued = word.glued if place else not writer.spaced_from(word.text, text)
            writer.add(word.text, said, end, span, glued)

    def _stamp(self, token: int, start_sample: int) -> int | None:
        """On the stream's clock, in samples."""
        seconds = self._specials.seconds(token)
        return None if seconds is None else start_sample + round(seconds * SAMPLE_RATE)


class _Writer:
    """Words so far, and how many of the tokens are theirs."""

    def __init__(self, tokens: Sequence[int], probabilities: Sequence[float], start_sample: int) -> None:
        self.tokens = tokens
        self.words: list[HypothesisWord] = []
        self._probabilities = probabilities
        self._taken = 0

    def spaced_from(self, word: str, raw: str) -> bool:
        """Whether a space stands between the last word and this one, the first of a run."""
        return not self.words or raw[:1].isspace() or spaced(self.words[-1].text[-1], word[0])

    def add(self, text: str, said: tuple[int, int], end: int, span: tuple[int, int], glued: bool) -> None:
        """`said`: the tokens of the text itself."""
        shares = self._probabilities[said[0] : said[1]]
        self.words.append(
            HypothesisWord(
                text=text,
                start_sample=span[0],
                end_sample=span[1],
                confidence=round(sum(shares) / len(shares), 4),
                tokens=tuple(self.tokens[self._taken : end]),
                glued=glued,
            )
        )
        self._taken = end


def _has_no_spaces(text: str) -> bool:
    letters = [character for character in text if character.isalpha()]
    return sum(map(is_unspaced, letters)) * 2 > len(letters)
