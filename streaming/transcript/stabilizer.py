"""What an utterance's successive hypotheses agree on: words with ids, a stable prefix, a final.

LocalAgreement-n: a word is stable once the last n hypotheses have the same text at its place, another word follows it
(the last one may still grow, "open" to "open-source"), and all words before it are stable. Source: `HypothesisBuffer`
of ufal/whisper_streaming; Macháček, Dabre, Bojar 2023, "Turning Whisper into Real-Time Transcription System", arXiv
2307.14743, section 3.1. Unlike there, the stable words' tokens bind the next interim (`prefix_tokens`), so that the
agreement starts right after them and not at a place guessed from time stamps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import takewhile

import msgspec

from inference.pool.interface import Hypothesis, HypothesisWord, JobKind
from streaming.protocol.messages import InterimPolicy, WordState
from streaming.transcript.spread import spread
from streaming.transcript.text import changed_words, common_words, fold, is_code, plain_text
from streaming.transcript.words import TranscriptWord

_WORDS_AFTER_CODE = 2


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """What a hypothesis changes for a reader who applied all updates before it."""

    utterance: int
    channel: int
    revision: int
    from_word: int
    """The reader's words from this index on are replaced by `words`."""
    words: tuple[TranscriptWord, ...]
    changed: bool
    """False: the words are as they were, only `decoded_until` moved on."""
    final: bool
    text: str
    """The whole utterance as the reader has it now."""
    decoded_until: int
    corrected: int = 0
    """With finals: stable words whose text, beyond case, punctuation and spaces, the final changed or dropped."""
    corrected_exact: int = 0
    """With finals: stable words whose text the final changed in any way, or dropped."""


class StabilizerState(msgspec.Struct, frozen=True, array_like=True):
    """All that an open stabiliser knows, beside its settings."""

    policy: InterimPolicy
    revision: int
    words: list[TranscriptWord]
    stable: int
    sent: int
    """The reader has so many of the words."""
    earlier: list[list[str]]
    """Texts of the hypotheses before, without those at the stable words' places."""


class Stabilizer:
    """One utterance of one channel. After its final it takes nothing more.

    Invariants while the utterance is open: a stable word never changes in anything, and the stable prefix never
    shrinks. Always: ids are those of `next_word_id` and never used twice; a word starts at or after the end of the
    one before it, and the first one at or after `not_before_sample`.
    """

    def __init__(
        self,
        utterance: int,
        channel: int,
        policy: InterimPolicy,
        next_word_id: Callable[[], int],
        agreement: int = 2,
        *,
        patient_agreement: int = 6,
        hold_back_samples: int = 0,
        tentative_hold_back_samples: int = 8_000,
        sure_confidence: float = 0.9,
        min_confidence: float = 0.0,
        unsure_confidence: float = 0.0,
        not_before_sample: int = 0,
    ) -> None:
        """
        Args:
            agreement: how many hypotheses must agree on a word, at least 1.
            hold_back_samples: a word is not made stable while it ends less than this before the decoded audio's end,
            min_confidence: nor while its confidence is below this, unless `patient_agreement` hypotheses agree on it,
            unsure_confidence: nor ever while it is below this.
            tentative_hold_back_samples: a tentative word that ends less than this before the decoded audio's end, and
                those after it, are not shown yet, as the newest sounds are only half heard; 0: all are shown.
            sure_confidence: a half-heard word is shown all the same if its confidence is at least this.
            not_before_sample: end of the previous utterance's last word.
        """
        if not 1 <= agreement <= patient_agreement:
            raise ValueError("agreement must be at least 1 and at most patient_agreement")
        if unsure_confidence > min_confidence:
            raise ValueError("unsure_confidence must be at most min_confidence")
        self.utterance = utterance
        self.channel = channel
        self.policy = policy
        self.closed = False
        self._next_word_id = next_word_id
        self._hold_back_samples = hold_back_samples
        self._tentative_hold_back_samples = tentative_hold_back_samples
        self._sure_confidence = sure_confidence
        self._min_confidence = min_confidence
        self._unsure_confidence = unsure_confidence
        self._not_before_sample = not_before_sample
        self._revision = -1
        self._words: list[TranscriptWord] = []  # stable words, then tentative ones
        self._stable = 0  # how many of them are stable
        self._earlier: deque[list[str]] = deque(maxlen=patient_agreement - 1)  # texts of hypotheses before this one
        self._agreement = agreement
        self._patient_agreement = patient_agreement
        self._sent: list[TranscriptWord] = []

    @property
    def words(self) -> tuple[TranscriptWord, ...]:
        """All words known now, whether the policy shows them or not."""
        return tuple(self._words)

    @property
    def shown(self) -> tuple[TranscriptWord, ...]:
        """The words that the reader has."""
        return tuple(self._sent)

    @property
    def stable_words(self) -> int:
        return self._stable

    def state(self) -> StabilizerState:
        earlier = [texts[self._stable :] for texts in self._earlier]
        return StabilizerState(self.policy, self._revision, self._words, self._stable, len(self._sent), earlier)

    def restore(self, state: StabilizerState) -> None:
        """Goes on where another one of the same utterance was. Raises ValueError: the state is damaged."""
        if not (0 <= state.stable <= len(state.words) and 0 <= state.sent <= len(state.words)):
            raise ValueError("a stabiliser cannot have more words than it knows")
        self.policy = state.policy
        self._revision = state.revision
        self._words = list(state.words)
        self._stable = state.stable
        self._sent = self._words[: state.sent]
        self._earlier.extend([""] * state.stable + texts for texts in state.earlier)

    def recall(self, shown: Sequence[TranscriptWord], revision: int) -> None:
        """Takes over what a reader was told up to a revision: stable words, then tentative ones.

        The next update says all words again, since it is not known which of them the reader has.
        """
        self._revision = max(self._revision, revision)
        self._words = list(shown)
        self._stable = sum(word.state == "stable" for word in shown)
        self._sent = []
        self._earlier.clear()
        self._earlier.append([word.text for word in shown])

    def prefix_tokens(self, kind: JobKind = "interim") -> tuple[int, ...]:
        """What the next job's answer must begin with: the stable words; nothing for finals that may correct them.

        A word that was recalled may have no tokens: it and those after it bind nothing.
        """
        if kind != "interim" and self.policy != "append_only":
            return ()
        bound = takewhile(lambda word: word.tokens, self._words[: self._stable])
        return tuple(token for word in bound for token in word.tokens)

    def hypothesis(self, hypothesis: Hypothesis) -> Update | None:
        """Takes the engine's next answer. None: it is older than one taken before, or the policy shows none of it."""
        if self.closed or (hypothesis.revision <= self._revision and not hypothesis.final):
            return None
        self._revision = max(self._revision + 1, hypothesis.revision)
        if hypothesis.final:
            return self._close(hypothesis)
        if self.policy == "off":
            return None
        self._words = self._merge(self._after_stable(hypothesis.words))
        self._extend_stable(hypothesis.decoded_until)
        return self._update(self._words[: self._shown(hypothesis.decoded_until)], hypothesis)

    def _after_stable(self, words: Sequence[HypothesisWord]) -> list[HypothesisWord]:
        """The hypothesis' words after the stable ones, wherever those are in it."""
        stable = self._words[: self._stable]
        if not stable:
            return list(words)
        if (rest := self._after_tokens(words)) is not None:
            return rest
        if [fold(word.text) for word in words[: len(stable)]] == [fold(word.text) for word in stable]:
            return list(words[len(stable) :])
        end = stable[-1].end_sample
        return [word for word in words if (word.start_sample + word.end_sample) // 2 >= end]

    def _after_tokens(self, words: Sequence[HypothesisWord]) -> list[HypothesisWord] | None:
        """The words after the stable words' tokens, or None where the hypothesis does not begin with those."""
        if not all(word.tokens for word in self._words[: self._stable]):
            return None
        left = self.prefix_tokens("interim")
        for index, word in enumerate(words):
            if not left:
                return list(words[index:])
            length = len(left)
            if word.tokens[:length] != left[: len(word.tokens)]:
                return None
            if len(word.tokens) > length:
                return self._beyond(word, word.tokens[length:]) + list(words[index + 1 :])
            left = left[len(word.tokens) :]
        return None if left else []

    def _beyond(self, word: HypothesisWord, tokens: tuple[int, ...]) -> list[HypothesisWord]:
        """What a word says beyond the stable word that it begins with ("play" grew to "playing"): a glued word.

        Grown punctuation ("so" to "so,") is left to the final, which sets it right, unless the final is bound.
        """
        text = self._words[self._stable - 1].text
        rest = word.text.removeprefix(text) if word.text.startswith(text) else ""
        if not rest or (self.policy != "append_only" and not fold(rest)):
            return []
        start_sample = min(self._words[self._stable - 1].end_sample, word.end_sample)
        return [msgspec.structs.replace(word, text=rest, tokens=tokens, start_sample=start_sample, glued=True)]

    def _merge(self, tail: Sequence[HypothesisWord]) -> list[TranscriptWord]:
        """The stable words and this tail, tentative; a word keeps the id that the same text at its place had."""
        merged = self._words[: self._stable]
        for word in tail:
            index = len(merged)
            old = self._words[index] if index < len(self._words) else None
            word_id = old.id if old is not None and old.text == word.text else self._next_word_id()
            merged.append(_placed(word, word_id, "tentative", _end(merged, self._not_before_sample)))
        return merged

    def _extend_stable(self, decoded_until: int) -> None:
        texts = [word.text for word in self._words]
        if len(self._earlier) >= self._agreement - 1:
            until = self._stable
            while until < len(self._words) - 1 and self._agreed(until, decoded_until):  # the last one may still grow
                until += 1
            until = _without_open_code(texts, self._stable, until)
            for index in range(self._stable, until):
                self._words[index] = msgspec.structs.replace(self._words[index], state="stable")
            self._stable = until
        self._earlier.append(texts)

    def _agreed(self, index: int, decoded_until: int) -> bool:
        word = self._words[index]
        if word.end_sample > decoded_until - self._hold_back_samples:
            return False
        if word.confidence < self._unsure_confidence:
            return False
        sure = word.confidence >= self._min_confidence
        needed = (self._agreement if sure else self._patient_agreement) - 1
        earlier = list(self._earlier)[len(self._earlier) - needed :] if needed else []
        return len(self._earlier) >= needed and all(texts[index : index + 1] == [word.text] for texts in earlier)

    def _shown(self, decoded_until: int) -> int:
        """How many of the words an interim shows."""
        if self.policy != "stable":
            return self._stable
        if not self._tentative_hold_back_samples:
            return len(self._words)
        for index, word in enumerate(self._words[self._stable :], start=self._stable):
            ends_before = decoded_until - word.end_sample
            if ends_before < self._tentative_hold_back_samples and word.confidence < self._sure_confidence:
                return index
        return len(self._words)

    def _close(self, hypothesis: Hypothesis) -> Update:
        stable = [word.text for word in self._words[: self._stable]]
        if self.policy == "append_only":
            tail = self._merge(self._after_stable(spread(hypothesis.words)))
            self._words = [msgspec.structs.replace(word, state="final") for word in tail]
        else:
            self._words = self._final_words(spread(hypothesis.words))
        self.closed = True
        texts = [word.text for word in self._words]
        return self._update(
            self._words,
            hypothesis,
            corrected=changed_words([fold(text) for text in stable], [fold(text) for text in texts]),
            corrected_exact=changed_words(stable, texts),
        )

    def _final_words(self, words: Sequence[HypothesisWord]) -> list[TranscriptWord]:
        """The final's words with its times; one that was shown with the same text keeps its id."""
        pairs = common_words([word.text for word in self._words], [word.text for word in words])
        kept = {new: self._words[old].id for old, new in pairs}
        placed: list[TranscriptWord] = []
        for index, word in enumerate(words):
            word_id = kept[index] if index in kept else self._next_word_id()
            placed.append(_placed(word, word_id, "final", _end(placed, self._not_before_sample)))
        return placed

    def _update(
        self,
        shown: Sequence[TranscriptWord],
        hypothesis: Hypothesis,
        corrected: int = 0,
        corrected_exact: int = 0,
    ) -> Update:
        from_word = 0
        for old, new in zip(self._sent, shown, strict=False):
            if old != new:
                break
            from_word += 1
        changed = from_word < max(len(shown), len(self._sent))
        self._sent = list(shown)
        return Update(
            utterance=self.utterance,
            channel=self.channel,
            revision=self._revision,
            from_word=from_word,
            words=tuple(shown[from_word:]),
            changed=changed,
            final=hypothesis.final,
            text=plain_text(shown),
            decoded_until=hypothesis.decoded_until,
            corrected=corrected,
            corrected_exact=corrected_exact,
        )


def _without_open_code(texts: Sequence[str], first: int, until: int) -> int:
    """The words first … until without those at their end that are part of a number or a spelling still going on.

    How "eight four seven" is written ("8, 4, 7", "847", "84-7") is decided by what follows, so such words wait for
    `_WORDS_AFTER_CODE` ordinary ones after them.
    """
    index = until - 1
    while index >= max(first, until - _WORDS_AFTER_CODE):
        if is_code(texts[index]):
            until = index
        index -= 1
    return until


def _end(words: Sequence[TranscriptWord], otherwise: int) -> int:
    return words[-1].end_sample if words else otherwise


def _placed(word: HypothesisWord, word_id: int, state: WordState, not_before: int) -> TranscriptWord:
    start_sample = max(word.start_sample, not_before)
    return TranscriptWord(
        id=word_id,
        text=word.text,
        start_sample=start_sample,
        end_sample=max(word.end_sample, start_sample),
        confidence=word.confidence,
        state=state,
        tokens=word.tokens,
        glued=word.glued,
    )
