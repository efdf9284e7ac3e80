"""A reader of `transcript` messages, and how steady what it read was. Pure; for benchmarks and tests.

All counts are of words as shown, one utterance at a time:

- *unstable words*: for each two successive versions of an utterance (the final is the last), the words of the older
  version that the newer one changed or dropped, beyond case and punctuation: those without a counterpart in a longest
  common subsequence, but for places where only the spaces moved. A word that changes twice counts twice. Divided by
  the words of the finals this is UPWR, the unstable partial word ratio of Shangguan et al. 2020, "Analyzing the
  Quality and Stability of a Streaming End-to-End On-Device Speech Recognizer", arXiv 2006.01416; the exception for
  spaces is ours. The *exact* one beside it counts case and punctuation as well.
- *erased words*: for each two successive versions, all words of the older one from the first one on whose text is
  not, exactly, at the same index in the newer one: what a reader sees redrawn. Divided by the words of the finals:
  flicker per word, the normalised erasure of Arivazhagan et al. 2019, "Re-Translation Strategies for Long Form,
  Simultaneous, Spoken Language Translation", arXiv 1912.03393.
- *stable violations*: words shown as stable that changed in anything (id, text, times, state) or went away before
  the final. Always 0 if the server keeps its promise.
- *final corrections*: words stable at the final that the final changed or dropped, by the same measure.
"""

from __future__ import annotations

from dataclasses import dataclass

from streaming.protocol.messages import Transcript, Word
from streaming.transcript.text import changed_words, fold


@dataclass
class Steadiness:
    """Sums over the utterances read; add several readers' with `+`."""

    finals: int = 0
    final_words: int = 0
    stable_words: int = 0
    """Words that were stable when their final came."""
    unstable_words: int = 0
    unstable_words_exact: int = 0
    erased_words: int = 0
    stable_violations: int = 0
    final_corrections: int = 0
    final_corrections_exact: int = 0
    """Changes of case and punctuation count as well."""

    @property
    def upwr(self) -> float:
        return self.unstable_words / max(self.final_words, 1)

    @property
    def upwr_exact(self) -> float:
        return self.unstable_words_exact / max(self.final_words, 1)

    @property
    def flicker_per_word(self) -> float:
        return self.erased_words / max(self.final_words, 1)

    @property
    def final_correction_share(self) -> float:
        return self.final_corrections / max(self.stable_words, 1)

    def __add__(self, other: Steadiness) -> Steadiness:
        return Steadiness(**{name: value + getattr(other, name) for name, value in vars(self).items()})


class TranscriptReader:
    """Applies `from_word` diffs as a client does. Keeps every utterance's words: meant for clips, not for days."""

    def __init__(self) -> None:
        self.steadiness = Steadiness()
        self.finals: dict[int, list[Word]] = {}
        """Utterance to words, in the order in which the finals came."""
        self._open: dict[int, list[Word]] = {}
        self._revisions: dict[int, int] = {}

    def read(self, message: Transcript) -> list[Word]:
        """The utterance's words after this message.

        Raises:
            ValueError: the message cannot follow what came before: a diff from beyond the known words, a revision
                that is not newer, anything after the final.
        """
        utterance = message.utterance
        old = self._open.get(utterance, [])
        if utterance in self.finals:
            raise ValueError(f"utterance {utterance}: revision {message.revision} after its final")
        if message.revision <= self._revisions.get(utterance, -1):
            raise ValueError(f"utterance {utterance}: revision {message.revision} is not newer")
        if not 0 <= message.from_word <= len(old):
            raise ValueError(f"utterance {utterance}: from_word {message.from_word} of {len(old)} words")
        new = old[: message.from_word] + message.words
        self._revisions[utterance] = message.revision
        self._count_changes(old, new)
        if message.final:
            self._count_final(old, new)
            self.finals[utterance] = new
            self._open.pop(utterance, None)
            del self._revisions[utterance]
        else:
            self._count_violations(old, new)
            self._open[utterance] = new
        return list(new)

    @property
    def open_words(self) -> dict[int, list[Word]]:
        """Utterance to words shown, of utterances without a final yet."""
        return {utterance: list(words) for utterance, words in self._open.items()}

    def _count_changes(self, old: list[Word], new: list[Word]) -> None:
        before, after = [word.text for word in old], [word.text for word in new]
        self.steadiness.unstable_words += changed_words([*map(fold, before)], [*map(fold, after)])
        self.steadiness.unstable_words_exact += changed_words(before, after)
        stayed = next((index for index, (x, y) in enumerate(zip(before, after, strict=False)) if x != y), None)
        self.steadiness.erased_words += len(before) - (min(len(before), len(after)) if stayed is None else stayed)

    def _count_violations(self, old: list[Word], new: list[Word]) -> None:
        self.steadiness.stable_violations += sum(
            word.state == "stable" and (index >= len(new) or new[index] != word) for index, word in enumerate(old)
        )

    def _count_final(self, old: list[Word], new: list[Word]) -> None:
        stable, final = [word.text for word in old if word.state == "stable"], [word.text for word in new]
        self.steadiness.finals += 1
        self.steadiness.final_words += len(final)
        self.steadiness.stable_words += len(stable)
        self.steadiness.final_corrections_exact += changed_words(stable, final)
        self.steadiness.final_corrections += changed_words([*map(fold, stable)], [*map(fold, final)])
