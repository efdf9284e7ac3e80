"""Transcript updates put together: which words stand where, and which of them will not change any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tympan_client.events import TranscriptUpdate, Word


@dataclass(slots=True)
class Utterance:
    """Speech between two endpoints, as known so far."""

    id: int
    channel: int
    words: list[Word] = field(default_factory=list)
    revision: int = -1
    final: bool = False
    language: str | None = None

    @property
    def text(self) -> str:
        return join_words(self.words)

    @property
    def stable_text(self) -> str:
        """The part that a caption may show as settled."""
        return join_words(word for word in self.words if word.state != "tentative")

    @property
    def tentative_text(self) -> str:
        return join_words(word for word in self.words if word.state == "tentative")


class Transcript:
    """Applies `TranscriptUpdate`s, in the order in which they came, for all channels of a session.

    Bounded: keeps every open utterance and the newest `keep` finals.
    """

    def __init__(self, keep: int = 10_000) -> None:
        self._keep = keep
        self._utterances: dict[int, Utterance] = {}

    def apply(self, update: TranscriptUpdate) -> Utterance:
        """The utterance that the update belongs to, after it. Interims older than what is known change nothing; a final
        always counts: after a resume its revision may be lower than an interim's that the server has forgotten."""
        utterance = self._utterances.setdefault(update.utterance, Utterance(update.utterance, update.channel))
        if utterance.final or (update.revision < utterance.revision and not update.final):
            return utterance
        utterance.words[update.from_word :] = update.words
        utterance.revision = update.revision
        utterance.language = update.language or utterance.language
        if update.final:
            utterance.final = True
            self._forget_oldest_finals()
        return utterance

    @property
    def utterances(self) -> list[Utterance]:
        """In the order in which they were first heard of."""
        return list(self._utterances.values())

    @property
    def open(self) -> list[Utterance]:
        return [utterance for utterance in self._utterances.values() if not utterance.final]

    @property
    def finals(self) -> list[Utterance]:
        return [utterance for utterance in self._utterances.values() if utterance.final]

    @property
    def text(self) -> str:
        """All finals, one line each."""
        return "\n".join(utterance.text for utterance in self.finals if utterance.words)

    def _forget_oldest_finals(self) -> None:
        if len(self._utterances) > self._keep:
            oldest = next((known.id for known in self._utterances.values() if known.final), None)
            if oldest is not None:
                del self._utterances[oldest]


def join_words(words: Iterable[Word]) -> str:
    """Words with a space between them, except where a word is glued to the one before it."""
    text = ""
    for word in words:
        text += word.text if word.glued or not text else f" {word.text}"
    return text
