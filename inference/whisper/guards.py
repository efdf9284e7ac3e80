"""What tells a hypothesis from a hallucination: loops, token rate, likelihood, silence."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

FRAMES_PER_SECOND = 50  # encoder frames of 20 ms
_LONGEST_NGRAM = 16
_FEWEST_REPEATS = 4
_FEWEST_TOKENS = 10  # a short word said four times in a row may be speech


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
    repeat_evidence: float = 3.5
    """A text that says something four times in a row must be so much likelier, as a difference of log probabilities,
    than the likeliest that does not. Ours: people do say "no, no, no, no", and then the model is sure of it."""

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


def repeats_itself(kinds: Sequence[int]) -> bool:
    """Whether an n-gram (n ≤ 16) stands four times in a row anywhere.

    Args:
        kinds: of each token what it says, whatever its case (`WordSplitter.kinds`).
    """
    for n in range(1, min(_LONGEST_NGRAM, len(kinds) // _FEWEST_REPEATS) + 1):
        run = 0
        for now, before in zip(kinds[n:], kinds, strict=False):
            run = run + 1 if now == before else 0
            if run == n * (_FEWEST_REPEATS - 1):
                return True
    return False


def without_silent_repeats(said: Sequence[str], heard: int) -> int:
    """How many words are left when the end says again what stands before it, in the silence after the speech.

    Args:
        said: what each word says, whatever its case and punctuation.
        heard: words from this index on begin in the silence.
    """
    count = len(said)
    while count > heard:
        silent = range(1, min(count - heard, count // 2) + 1)
        n = next((n for n in silent if said[count - n : count] == said[count - 2 * n : count - n]), None)
        if n is None:
            break
        count -= n
    return count


def fourth_repeats(kinds: Sequence[int]) -> set[int]:
    """What may not follow if no n-gram (n ≤ 16) is to begin a fourth time in a row. `kinds` as above."""
    most = _FEWEST_REPEATS - 1
    found = set()
    for n in range(1, min(_LONGEST_NGRAM, len(kinds) // most) + 1):
        if all(kinds[-i] == kinds[-i - n] for i in range(1, n * (most - 1) + 1)):
            found.add(kinds[-n])
    return found
