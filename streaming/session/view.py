"""A session as its viewers see it: its log folded into what stands there now, and what a viewer lacks of it. Pure.

Two memories: what was said last, message by message, for viewers that keep up; and what all of it comes to (each
utterance's words, the newest sounds and gaps) for those that come late, come back, or have fallen behind. So a viewer
is no more than the number that it has read up to, and however slow it is, nothing waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import takewhile

import msgspec

from streaming.protocol.codec import Codec
from streaming.protocol.messages import (
    Analysis,
    Call,
    CallSummary,
    Event,
    Gap,
    ServerMessage,
    Speech,
    Start,
    Summary,
    Transcript,
)
from streaming.protocol.watching import ViewerMessage, Watching, encode_viewer
from streaming.session.outbox import join_interims
from streaming.session.tasks import session_tasks

RECENT_MESSAGES = 256
MAX_SOUNDS = 256
"""Events and gaps kept for late viewers. The oldest go first."""
MAX_ANALYSES = 1024
"""Kept for late viewers. The oldest go first."""
MAX_CALL_EVENTS = 256
"""Kept for late viewers. The oldest go first."""
MAX_WORDS = 40_000
"""Of utterances kept for late viewers: about four hours of speech, some 10 MB. The oldest go first."""


UNNUMBERED_SEQ = -1


class Said:
    """One message for viewers, encoded once for all of them."""

    __slots__ = ("_payloads", "message", "seq")

    def __init__(self, message: ViewerMessage) -> None:
        self.message = message
        self.seq = UNNUMBERED_SEQ if isinstance(message, Watching) else message.seq
        self._payloads: dict[Codec, bytes | str] = {}

    @property
    def json(self) -> str:
        return str(self.payload("json"))

    def payload(self, codec: Codec) -> bytes | str:
        if codec not in self._payloads:
            self._payloads[codec] = encode_viewer(codec, self.message)
        return self._payloads[codec]


class Whole(Said):
    """An utterance with all of its words."""

    __slots__ = ()
    message: Transcript


class SessionView:
    """Give it the log's messages in order (`apply`), and its holes (`lose`)."""

    def __init__(self, session: str, start: Start) -> None:
        self.session = session
        self.start = start
        self.first_seq = 1
        """What was said before may be missing."""
        self.last_seq = 0
        self.done = False
        self.holes = 0
        """How often messages were lost."""
        self.summary: Said | None = None
        self.heard_ms = 0
        """The newest moment that the log speaks of."""
        self._utterances: dict[int, Whole] = {}
        self._words = 0
        self._speech: dict[int, Said] = {}
        self._sounds: deque[Said] = deque(maxlen=MAX_SOUNDS)
        self._analyses: deque[Said] = deque(maxlen=MAX_ANALYSES)
        self._call_events: deque[Said] = deque(maxlen=MAX_CALL_EVENTS)
        self._call_summary: Said | None = None
        self._recent: deque[Said] = deque(maxlen=RECENT_MESSAGES)
        self._lost_before = 1

    def apply(self, seq: int, message: ServerMessage | None) -> None:
        """The log's next message; None: there is nothing in it for viewers. One that was there before is ignored."""
        if seq <= self.last_seq:
            return
        self.last_seq = seq
        if message is None:
            return
        message.seq = seq
        said = Said(message)
        match message:
            case Transcript():
                if not self._put_words(message):
                    return
            case Speech():
                self._speech[message.channel] = said
                self.heard_ms = max(self.heard_ms, message.at_ms)
            case Event() | Gap():
                self._sounds.append(said)
            case Call():
                self._call_events.append(said)
            case CallSummary():
                self._call_summary = said
            case Analysis():
                self._analyses.append(said)
            case Summary():
                self.summary = said
                self.heard_ms = message.audio_ms
                self.done = True
        if len(self._recent) == RECENT_MESSAGES:
            self._lost_before = self._recent[0].seq + 1
        self._recent.append(said)

    def lose(self, first_seq: int) -> None:
        """The log goes on at `first_seq`. Of open utterances, what comes next may build on words that are not there."""
        self.first_seq = self._lost_before = first_seq
        self.last_seq = first_seq - 1
        self.holes += 1
        self._recent.clear()
        for whole in [one for one in self._utterances.values() if not one.message.final]:
            self._drop(whole)

    def since(self, after: int, *, knows_words: bool) -> list[Said]:
        """What a viewer lacks that has read up to number `after`, in order.

        Args:
            knows_words: it has the open utterances' words as they stood there; otherwise all of them are sent.
        """
        if knows_words and after + 1 >= self._lost_before:
            newest_first = takewhile(lambda said: said.seq > after, reversed(self._recent))
            return joined([*newest_first][::-1])
        kept = [*self._utterances.values(), *self._speech.values(), *self._sounds, *self._analyses, *self._call_events]
        kept += [said for said in (self._call_summary, self.summary) if said is not None]
        return sorted((said for said in kept if said.seq > after), key=lambda said: said.seq)

    def transcripts(self, *, interim: bool) -> list[Transcript]:
        """Whole utterances with words, by the time at which they begin."""
        every = (whole.message for whole in self._utterances.values())
        found = [one for one in every if one.words and (one.final or interim)]
        return sorted(found, key=lambda one: (one.words[0].start_ms, one.utterance))

    def analyses(self) -> dict[int, list[Analysis]]:
        """By utterance, those that are kept."""
        found: dict[int, list[Analysis]] = {}
        for said in self._analyses:
            if isinstance(said.message, Analysis):
                found.setdefault(said.message.utterance, []).append(said.message)
        return found

    def call_events(self) -> list[Call]:
        """Those that are kept."""
        return [said.message for said in self._call_events if isinstance(said.message, Call)]

    @property
    def call_summary(self) -> CallSummary | None:
        message = self._call_summary.message if self._call_summary is not None else None
        return message if isinstance(message, CallSummary) else None

    def watching(self) -> Watching:
        return Watching(
            session=self.session,
            audio=self.start.audio,
            tasks=session_tasks(self.start.task).every,
            interim=self.start.interim,
            first_seq=self.first_seq,
            last_seq=self.last_seq,
            done=self.done,
        )

    def _put_words(self, message: Transcript) -> bool:
        """False where words before the message's own are not known."""
        older = self._utterances.get(message.utterance)
        before = older.message.words if older else []
        if message.from_word > len(before):
            return False
        words = [*before[: message.from_word], *message.words]
        self._utterances[message.utterance] = Whole(msgspec.structs.replace(message, from_word=0, words=words))
        self._words += len(words) - len(before)
        self.heard_ms = max(self.heard_ms, message.decoded_until_ms)
        while self._words > MAX_WORDS and len(self._utterances) > 1:
            oldest = next(iter(self._utterances.values()))
            self.first_seq = max(self.first_seq, oldest.seq + 1)
            self._drop(oldest)
        return True

    def _drop(self, whole: Whole) -> None:
        del self._utterances[whole.message.utterance]
        self._words -= len(whole.message.words)


class Cursor:
    """How far one viewer has read."""

    def __init__(self, after: int = 0) -> None:
        """`after`: the highest number that the viewer has, of an earlier connection."""
        self._after = after
        self._knows_words = False
        self._holes: int | None = None

    def take(self, view: SessionView) -> list[Said]:
        """What the viewer is to be sent now; when it has got it, it has all that the view has."""
        taken = view.since(self._after, knows_words=self._knows_words)
        if self._holes != view.holes:
            taken.insert(0, Said(view.watching()))
        self._holes, self._knows_words = view.holes, True
        self._after = max(self._after, view.last_seq)
        return taken


def joined(said: Iterable[Said]) -> list[Said]:
    """The same in fewer messages: of each utterance one, at the place and with the number of its newest."""
    waiting: dict[object, Said] = {}
    for one in said:
        message = one.message
        if not isinstance(message, Transcript):
            waiting[one] = one
            continue
        older = waiting.pop(message.utterance, None)
        if older is not None and isinstance(older.message, Transcript):
            one = Said(join_interims(older.message, message))
        waiting[message.utterance] = one
    return list(waiting.values())
