"""What a session had said behind the snapshot that it was restored from, and does not say again. Pure.

A restored session works out again what it did after the snapshot. Messages are compared by what they are about (an
utterance's end, a marker's id and place), each occurrence once. An utterance that began after the snapshot is found
again by its channel and onset; its words, as far as they were said, are taken over, and so is its final.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable

from streaming.audio.clock import clock_to_input, ms_to_samples
from streaming.protocol.messages import (
    Analysis,
    Call,
    CallSummary,
    Error,
    Event,
    Gap,
    MarkerEcho,
    ServerMessage,
    Speech,
    Summary,
    Transcript,
    Word,
)
from streaming.session.utterance import SaidFinal, Utterance
from streaming.transcript.words import TranscriptWord

TOLD_WITHIN_MS = 700_000
"""Of a call something is told this long after it began or ended, at most: CallOptions.dead_air_ms, and more."""


class SaidBefore:
    """Order of calls: `recall` for each utterance, when it is restored or begins; `swallow` for each message."""

    def __init__(self, messages: Iterable[ServerMessage] = ()) -> None:
        """`messages` in the order of the log."""
        self.summary = False
        """The session had said all."""
        self.last_seq = 0
        self.last_utterance = 0
        self.last_word = 0
        self.heard_ms = 0
        """The newest moment that a message is about."""
        self._left: dict[Hashable, deque[ServerMessage]] = {}
        self._interims: dict[int, list[Transcript]] = {}
        self._finals: list[Transcript] = []
        """Of utterances that were recalled just now."""
        for message in messages:
            self._take(message)

    def left(self) -> list[ServerMessage]:
        """What has not come again yet, in the order of the log."""
        messages = [message for same in self._left.values() for message in same]
        messages += [interim for interims in self._interims.values() for interim in interims]
        return sorted(messages, key=lambda message: message.seq)

    def forget(self) -> None:
        """None of it will come again."""
        self._left.clear()
        self._interims.clear()

    def take_finals(self) -> list[Transcript]:
        """Those that were said, each once: when its utterance was recalled."""
        finals, self._finals = self._finals, []
        return finals

    def swallow(self, message: ServerMessage) -> bool:
        """Whether the message was said before; true once for each time that it was."""
        return self._pull(_key(message)) is not None if self._left else False

    def superseded(self, interim: Transcript) -> bool:
        """Whether something newer was said of the utterance."""
        return interim.utterance in self._interims or ("final", interim.utterance) in self._left

    def utterance(self, channel: int, onset_ms: int) -> int | None:
        """The id of the utterance that began there, if that was said."""
        started = (message for same in self._left.values() for message in same if isinstance(message, Speech))
        found = (
            message.utterance
            for message in started
            if (message.state, message.channel, message.at_ms) == ("started", channel, onset_ms)
        )
        return next(found, None)

    def recall(self, utterance: Utterance, channel: int, rate: int) -> None:
        """Gives an utterance its words and its final, as far as they were said. `rate`: the client's."""
        if interims := self._interims.pop(utterance.id, None):
            _recall_words(utterance, interims)
        final = self._pull(("final", utterance.id))
        if isinstance(final, Transcript):
            utterance.answer = SaidFinal(words=final.from_word + len(final.words), corrected=final.corrected)
            self._finals.append(final)
        elif self._lost(channel, clock_to_input(utterance.start_sample, rate)):
            utterance.answer = SaidFinal(lost=True)

    def _take(self, message: ServerMessage) -> None:
        self.last_seq = max(self.last_seq, message.seq)
        match message:
            case Transcript(utterance=utterance):
                self.last_utterance = max(self.last_utterance, utterance)
                self.last_word = max([self.last_word, *(word.id for word in message.words)])
                self.heard_ms = max(self.heard_ms, message.decoded_until_ms)
                if not message.final:
                    self._interims.setdefault(utterance, []).append(message)
            case Speech(utterance=utterance, at_ms=at_ms):
                self.last_utterance = max(self.last_utterance, utterance)
                self.heard_ms = max(self.heard_ms, at_ms)
            case Event(start_ms=start_ms):
                self.heard_ms = max(self.heard_ms, start_ms)
            case Analysis(end_ms=end_ms):
                self.heard_ms = max(self.heard_ms, end_ms)
            case Call():
                self.heard_ms = max(self.heard_ms, max(message.start_ms, message.end_ms or 0) + TOLD_WITHIN_MS)
            case Summary():
                self.summary = True
        if (key := _key(message)) is not None:
            self._left.setdefault(key, deque()).append(message)

    def _pull(self, key: Hashable) -> ServerMessage | None:
        same = self._left.get(key)
        if same is None:
            return None
        message = same.popleft()
        if not same:
            del self._left[key]
        return message

    def _lost(self, channel: int, from_input: int) -> bool:
        gaps = (message for same in self._left.values() for message in same if isinstance(message, Gap))
        return any((gap.reason, gap.channel, gap.from_sample) == ("lost", channel, from_input) for gap in gaps)


def _key(message: ServerMessage) -> Hashable:
    """What a message is about; None: nothing that comes twice."""
    match message:
        case Speech():
            return ("speech", message.state, message.utterance)
        case Transcript(final=True):
            return ("final", message.utterance)
        case Event():
            phase = (message.phase, message.source)
            return ("event", message.label, message.channel, message.start_ms, message.end_ms, *phase)
        case Call(kind="keyword"):
            return ("keyword", message.keyword, message.channel, message.utterance)
        case Call():
            return ("call", message.kind, message.phase, message.channel, message.start_ms, message.end_ms)
        case CallSummary():
            return ("call_summary",)
        case Analysis():
            return ("analysis", message.utterance, message.index)
        case MarkerEcho():
            return ("marker", message.id, message.sample)
        case Gap():
            return ("gap", message.reason, message.channel, message.from_sample, message.to_sample)
        case Error():
            return ("error", message.code)
    return None


def _recall_words(utterance: Utterance, interims: list[Transcript]) -> None:
    known = {word.id: word for word in utterance.stabilizer.words}
    shown = list(utterance.stabilizer.shown)
    for interim in interims:
        shown[interim.from_word :] = [_recalled(word, known.get(word.id)) for word in interim.words]
    newest = interims[-1]
    utterance.stabilizer.recall(shown, newest.revision)
    utterance.revision = max(utterance.revision, newest.revision)
    utterance.decoded_until = max(utterance.decoded_until, ms_to_samples(newest.decoded_until_ms))


def _recalled(word: Word, known: TranscriptWord | None) -> TranscriptWord:
    """A word that was said, with the tokens that it is known to have; on the wire it is the same again."""
    return TranscriptWord(
        id=word.id,
        text=word.text,
        start_sample=ms_to_samples(word.start_ms),
        end_sample=ms_to_samples(word.end_ms),
        confidence=word.confidence,
        state=word.state,
        tokens=known.tokens if known is not None and known.text == word.text else (),
        glued=word.glued,
    )
