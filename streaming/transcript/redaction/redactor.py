"""Messages of a session with the numbers hidden that it must not say. Pure.

Every message passes here before anything else sees it. Of captions, **interims** hide every mark of a number, however
short: what it becomes is not known yet. **Finals** show again what may be shown (see `numbers.py`). Where interims bind
the final (`append_only`), words that were sent stay as they are, hidden ones for good.

Keys are hidden whatever they are, since each is told at once. Of answers to tasks, texts with MIN_DIGITS digits or more
have all of them hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from streaming.protocol.messages import (
    Analysis,
    Event,
    Gap,
    InterimPolicy,
    RedactKind,
    ServerMessage,
    Speech,
    TimedWord,
    Transcript,
    Word,
)
from streaming.transcript.redaction.marks import Mark, find, masked, split
from streaming.transcript.redaction.numbers import MIN_DIGITS, Number, Numbers
from streaming.transcript.text import plain_text

KEY: Final = "dtmf_"
MASKED_KEY: Final = "dtmf_masked"
MAX_OPEN: Final = 64
"""Utterances without a final; beyond it the oldest are forgotten."""


class OpenWords(msgspec.Struct, array_like=True):
    """An utterance without a final."""

    channel: int
    policy: InterimPolicy
    heard: list[Word] = []
    """Its words as they came ..."""
    said: list[Word] = []
    """... and as they left."""
    ids: dict[int, tuple[str, int]] = {}
    """Of each id that came: the text and the id with which it left last."""


class RedactionState(msgspec.Struct, array_like=True):
    policy: InterimPolicy
    numbers: dict[int, Numbers] = {}
    """By channel."""
    open: dict[int, OpenWords] = {}


class Redactor:
    """One session. Order of calls: `mask` for each message in order, or for a final that was said before a restore,
    and so is masked already, `recall`."""

    def __init__(
        self, kinds: Sequence[RedactKind], policy: InterimPolicy = "stable", next_word_id: Callable[[], int] = int
    ) -> None:
        """
        Args:
            kinds: none of them: nothing is hidden.
            policy: of interims.
            next_word_id: gives ids that no word has.
        """
        self.kinds = frozenset(kinds)
        self._next_word_id = next_word_id
        self._state = RedactionState(policy)

    @property
    def policy(self) -> InterimPolicy:
        """Of utterances that are still to begin."""
        return self._state.policy

    @policy.setter
    def policy(self, policy: InterimPolicy) -> None:
        self._state.policy = policy

    def state(self) -> RedactionState | None:
        """To be stored before anything else is masked; None: nothing is."""
        return self._state if self.kinds else None

    def restore(self, state: RedactionState | None) -> None:
        """Goes on where another one was; for None, which hid nothing, begins anew."""
        if self.kinds and state is not None:
            self._state = state

    def counts(self) -> dict[str, int]:
        """How many numbers were hidden, by what they look like."""
        counts: dict[str, int] = {}
        for numbers in self._state.numbers.values():
            for kind, count in numbers.counts().items():
                counts[kind] = counts.get(kind, 0) + count
        return counts

    def mask(self, message: ServerMessage) -> ServerMessage:
        """The message as it may leave."""
        if not self.kinds:
            return message
        match message:
            case Speech(state="started"):
                self._open(message.utterance, message.channel)
            case Gap(reason="lost"):
                self._lose(message.channel)
            case Transcript():
                return self._transcript(message)
            case Event():
                return msgspec.structs.replace(message, label=self._label(message.label))
            case Analysis():
                return self._analysis(message)
        return message

    def recall(self, final: Transcript) -> None:
        """Knows of its numbers what is left to be known."""
        if self.kinds:
            self._hide(final, final.words)
            self._state.open.pop(final.utterance, None)

    # -- captions ---------------------------------------------------------------------------------------------------

    def _transcript(self, message: Transcript) -> Transcript:
        known = self._open(message.utterance, message.channel)
        words = [*known.heard[: message.from_word], *message.words]
        if message.final:
            said = self._final(message, known, words)
            del self._state.open[message.utterance]
        else:
            said = self._interim(message, known, words)
        same = 0
        while same < min(message.from_word, len(said), len(known.said)) and said[same] == known.said[same]:
            same += 1
        known.heard, known.said = words, said
        return msgspec.structs.replace(
            message, from_word=same, words=said[same:], text=plain_text(said) if message.final else message.text
        )

    def _open(self, utterance: int, channel: int) -> OpenWords:
        opened = self._state.open
        if utterance not in opened:
            opened[utterance] = OpenWords(channel, self._state.policy)
            if len(opened) > MAX_OPEN:
                del opened[next(iter(opened))]
        return opened[utterance]

    def _lose(self, channel: int | None) -> None:
        """The next final of a channel will not come."""
        opened = self._state.open
        if mine := [utterance for utterance, words in opened.items() if words.channel == channel]:
            del opened[min(mine)]

    def _interim(self, message: Transcript, known: OpenWords, words: Sequence[Word]) -> list[Word]:
        first_ms = words[0].start_ms if words else 0
        open_before = self._numbers(message.channel).newest.open_at(first_ms)
        marks = find(split(words), dates=self._dates, doubtful=True, open_before=open_before)
        said = self._named(known, words, masked(words, marks))
        for place, word in enumerate(words):
            if word.state == "stable" and _stays(word, known, place):
                said[place] = known.said[place]
        return said

    def _final(self, message: Transcript, known: OpenWords, words: Sequence[Word]) -> list[Word]:
        said = self._named(known, words, masked(words, self._hide(message, words)))
        if known.policy == "append_only":
            for place, word in enumerate(words):
                if place < len(known.said) and known.heard[place].id == word.id:
                    before = known.said[place]
                    said[place] = msgspec.structs.replace(said[place], id=before.id, text=before.text)
        return said

    def _hide(self, final: Transcript, words: Sequence[Word]) -> list[Mark]:
        """The marks of a final that are to be hidden; they are counted."""
        numbers = self._numbers(final.channel)
        parts = split(words)
        marks = find(parts, dates=self._dates)
        return numbers.hide(self.kinds, parts, marks, final.decoded_until_ms)

    def _named(self, known: OpenWords, words: Sequence[Word], texts: Sequence[str]) -> list[Word]:
        """The words with these texts. One whose text is not what its id stood for has another id."""
        named = []
        for word, text in zip(words, texts, strict=True):
            before, word_id = known.ids.get(word.id, (text, word.id))
            if before != text:
                word_id = self._next_word_id()
            known.ids[word.id] = (text, word_id)
            named.append(msgspec.structs.replace(word, text=text, id=word_id))
        return named

    def _numbers(self, channel: int) -> Numbers:
        return self._state.numbers.setdefault(channel, Numbers(Number()))

    @property
    def _dates(self) -> bool:
        return "dob" in self.kinds

    # -- what else is said --------------------------------------------------------------------------------------------

    def _label(self, label: str) -> str:
        return MASKED_KEY if label.casefold().startswith(KEY) else self._texts([label])[0]

    def _analysis(self, message: Analysis) -> Analysis:
        names, values = list(message.fields), list(message.fields.values())
        texts = [message.text, *message.labels, *values, *(word.text for word in message.words)]
        hidden = self._texts(texts)
        labels_end = 1 + len(message.labels)
        fields_end = labels_end + len(values)
        words = [
            TimedWord(text=text, start_ms=word.start_ms, end_ms=word.end_ms)
            for text, word in zip(hidden[fields_end:], message.words, strict=True)
        ]
        return msgspec.structs.replace(
            message,
            text=hidden[0],
            labels=hidden[1:labels_end],
            fields=dict(zip(names, hidden[labels_end:fields_end], strict=True)),
            words=words,
        )

    def _texts(self, texts: Sequence[str]) -> list[str]:
        """The texts of one message; all of their digits are hidden, or none."""
        words = [Word(id=0, text=text, start_ms=0, end_ms=0, confidence=1, state="final") for text in texts]
        marks = find(split(words), dates=self._dates)
        return masked(words, marks) if sum(mark.digits for mark in marks) >= MIN_DIGITS else list(texts)


def _stays(word: Word, known: OpenWords, place: int) -> bool:
    """It was sent as a stable word: nothing of it changes while its utterance is open."""
    heard = known.heard
    return place < len(heard) and heard[place].id == word.id and heard[place].state == "stable"
