"""Which of several decodings of a final is taken."""

from __future__ import annotations

from inference.whisper.decoding import Decoded
from inference.whisper.guards import FinalGuard, repeats_itself
from inference.whisper.text import WordSplitter, take_out_annotations


class FinalJudge:
    """The guard's rules, applied to what was decoded."""

    def __init__(self, splitter: WordSplitter, guard: FinalGuard) -> None:
        self.kinds = splitter.kinds()
        """Of each text token what it says."""
        self._splitter = splitter
        self._guard = guard

    def repeats(self, decoded: Decoded) -> bool:
        """It says something four times in a row, and is not taken for silence."""
        if self._guard.is_silence(decoded.no_speech, decoded.mean_logprob):
            return False
        return repeats_itself([self.kinds[token] for token in decoded.tokens])

    def sure_of_repeat(self, decoded: Decoded, without: Decoded) -> bool:
        """The text that repeats itself came to an end, and is much likelier than the one that does not."""
        whole = decoded.ended and not decoded.looped
        return whole and decoded.logprob >= without.logprob + self._guard.repeat_evidence

    def trips(self, decoded: Decoded) -> bool:
        """It must be decoded again. What the model takes for silence need not be: it has no words."""
        if self._guard.is_silence(decoded.no_speech, decoded.mean_logprob):
            return False
        text = self._splitter.text(decoded.tokens)
        return self._guard.trips(text, decoded.mean_logprob, decoded.looped, decoded.ended)

    def better(self, one: Decoded, other: Decoded) -> Decoded:
        """Of two that both tripped the guard: no loop before a loop, words before none, then the likelier."""
        return max(one, other, key=self._rank)

    def _rank(self, decoded: Decoded) -> tuple[bool, bool, float]:
        words, _ = take_out_annotations(self._splitter.words(decoded.tokens))
        return not decoded.looped, bool(words), decoded.mean_logprob
