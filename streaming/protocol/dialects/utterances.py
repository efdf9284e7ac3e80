"""What is being said in a session, as its messages tell it: the words of utterances that have no final yet."""

from __future__ import annotations

from dataclasses import dataclass, field

from streaming.protocol.messages import EndpointRule, Gap, Speech, Transcript, Word


@dataclass(slots=True)
class Utterance:
    id: int
    channel: int
    onset_ms: int
    words: list[Word] = field(default_factory=list)
    rule: EndpointRule | None = None
    """What ended it; None while it is open."""
    ended_ms: int | None = None
    """Where the rule fired."""
    decoded_ms: int = 0
    language: str | None = None


class Utterances:
    """There are no more of them than the session has without a final, which is bounded."""

    def __init__(self) -> None:
        self._all: dict[int, Utterance] = {}
        """In the order in which they began."""

    def speech(self, message: Speech) -> Utterance:
        """Began or ended."""
        utterance = self._of(message.utterance, message.channel, message.at_ms)
        if message.state == "ended":
            utterance.rule, utterance.ended_ms = message.rule, message.at_ms
        return utterance

    def transcript(self, message: Transcript) -> Utterance:
        """With all of its words; forgotten here when they are final."""
        utterance = self._of(message.utterance, message.channel, message.decoded_until_ms)
        utterance.words[message.from_word :] = message.words
        utterance.decoded_ms = message.decoded_until_ms
        utterance.language = message.language
        if message.final:
            del self._all[utterance.id]
        return utterance

    def lost(self, gap: Gap) -> Utterance | None:
        """The one of which a gap says that it gets no final: finals of a channel come in their order."""
        found = next((one for one in self._all.values() if one.channel == gap.channel), None)
        if gap.reason != "lost" or found is None:
            return None
        return self._all.pop(found.id)

    def open(self, channel: int) -> Utterance | None:
        """The one that is being spoken."""
        return next((one for one in reversed(self._all.values()) if one.channel == channel and one.rule is None), None)

    def goes_on(self, utterance: Utterance) -> bool:
        """It was cut in the middle of speech: the next one began before it was said to have ended."""
        ended_ms = utterance.ended_ms or 0
        return any(
            one.channel == utterance.channel and one.id != utterance.id and one.onset_ms < ended_ms
            for one in self._all.values()
        )

    def any_before(self, utterance: int, channel: int) -> bool:
        """An earlier one of the channel has no final yet."""
        return any(one.channel == channel and one.id < utterance for one in self._all.values())

    def waiting(self) -> set[int]:
        """Those that ended and have no final yet."""
        return {one.id for one in self._all.values() if one.rule is not None}

    def _of(self, utterance: int, channel: int, onset_ms: int) -> Utterance:
        if utterance not in self._all:
            self._all[utterance] = Utterance(utterance, channel, onset_ms)
        return self._all[utterance]
