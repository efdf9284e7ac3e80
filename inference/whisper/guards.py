"""What tells a hypothesis from a hallucination: loops, token rate, likelihood, silence."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

FRAMES_PER_SECOND = 50  # encoder frames of 20 ms
_LONGEST_NGRAM = 16
_FEWEST_REPEATS = 4
_FEWEST_TOKENS = 10  # a short word said four times in a row is speech


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """No speech has more tokens than this: rate × duration + allowance."""

    per_second: float = 8.0
    allowance: int = 8

    def tokens(self, frames: int) -> int:
        """Most tokens for so many encoder frames of audio."""
        return int(frames / FRAMES_PER_SECOND * self.per_second) + self.allowance


@dataclass(frozen=True, slots=True)
class FinalGuard:
    """When a final is decoded again (Whisper's own thresholds, Radford et al. 2022, section 4.5)."""

    lowest_mean_logprob: float = -1.0
    highest_compression: float = 2.4
    silence_probability: float = 0.6

    def trips(self, text: str, mean_logprob: float, looped: bool, ended: bool) -> bool:
        return (
            looped
            or not ended
            or mean_logprob < self.lowest_mean_logprob
            or compression(text) > self.highest_compression
        )

    def is_silence(self, no_speech: float, mean_logprob: float) -> bool:
        """No speech according to the model itself, which is not sure of its words either."""
        return no_speech > self.silence_probability and mean_logprob < self.lowest_mean_logprob


def compression(text: str) -> float:
    """How many times smaller zlib makes the text: repetition shows as a large ratio."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def loop_start(tokens: Sequence[int]) -> int | None:
    """Index where the end of `tokens` begins to repeat itself, after the first repeat; None if it does not.

    A loop is an n-gram (n ≤ 16) four or more times in a row that covers at least ten tokens.
    """
    count = len(tokens)
    for n in range(1, min(_LONGEST_NGRAM, count // _FEWEST_REPEATS) + 1):
        repeats = max(_FEWEST_REPEATS, -(-_FEWEST_TOKENS // n))
        span = n * repeats
        if span <= count and all(tokens[-i] == tokens[-i - n] for i in range(1, span - n + 1)):
            return count - span + n
    return None
