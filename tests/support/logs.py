"""A store of logs that a test writes itself, and sessions to say in it: for tests of viewers, without an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from session_store.store import (
    AudioBlock,
    EventsTrimmed,
    Lease,
    NoSession,
    PcmChunk,
    SessionRecord,
    StoredEvent,
    StoreUnavailable,
    Versioned,
)
from streaming.protocol.messages import (
    AudioFormat,
    Resume,
    ServerMessage,
    Speech,
    Start,
    Summary,
    Transcript,
    Word,
)

SESSION = "Xeb4fMgrVu-vj7JrYGjm1A"
TOKEN = "the-resume-token"
START = Start(
    audio=AudioFormat(channels=2, labels=["agent", "customer"]), resume=Resume(session=SESSION, token=TOKEN, last_seq=0)
)


def words(text: str, *, state: str = "stable", first: int = 0) -> list[Word]:
    """Words of 400 ms each; `first` is the index in the utterance of the first one."""
    return [
        Word(id=at, text=word, start_ms=400 * at, end_ms=400 * at + 300, confidence=0.9, state=state)
        for at, word in enumerate(text.split(), first)
    ]


def interim(utterance: int, text: str, *, from_word: int = 0, revision: int = 1, channel: int = 0) -> Transcript:
    return Transcript(
        utterance=utterance,
        channel=channel,
        revision=revision,
        from_word=from_word,
        words=words(text, first=from_word),
        decoded_until_ms=1000,
    )


def final(utterance: int, text: str, *, revision: int = 9, channel: int = 0) -> Transcript:
    return Transcript(
        utterance=utterance,
        channel=channel,
        revision=revision,
        from_word=0,
        words=words(text, state="final"),
        final=True,
        text=text,
    )


def started(utterance: int, channel: int = 0) -> Speech:
    return Speech(channel=channel, state="started", utterance=utterance, at_ms=100)


SUMMARY = Summary(audio_ms=2500, speech_ms=2000, utterances=1, words=2)


class LogStore:
    """One session's record and log; what else a store does is not there."""

    def __init__(self, start: Start = START) -> None:
        self.record: SessionRecord | None = SessionRecord(session=SESSION, start=msgspec.msgpack.encode(start))
        self.events: list[StoredEvent] = []
        self.reads = 0
        self.waits: set[object] = set()
        self.away = False
        self._next_seq = 1
        self._changed = asyncio.Event()

    def say(self, *messages: ServerMessage) -> int:
        """Appends to the log; returns the last number."""
        for message in messages:
            message.seq = self._next_seq
            self.events.append(StoredEvent(self._next_seq, msgspec.msgpack.encode(message)))
            self._next_seq += 1
        self._tell()
        return self._next_seq - 1

    def trim(self, before_seq: int) -> None:
        self.events = [event for event in self.events if event.seq >= before_seq]

    def expire(self) -> None:
        self.record = None
        self._tell()

    async def get(self, session: str) -> Versioned | None:
        self._there()
        return Versioned(self.record, 1) if self.record is not None and session == SESSION else None

    async def read_events(self, session: str, after_seq: int) -> tuple[StoredEvent, ...]:
        self._there()
        if self.record is None or session != SESSION:
            raise NoSession(session)
        self.reads += 1
        first_seq = self.events[0].seq if self.events else self._next_seq
        if after_seq + 1 < first_seq:
            raise EventsTrimmed(first_seq)
        return tuple(event for event in self.events if event.seq > after_seq)

    async def wait_events(self, session: str, after_seq: int, timeout_s: float) -> tuple[StoredEvent, ...]:
        waiting = object()
        self.waits.add(waiting)
        try:
            async with asyncio.timeout(timeout_s):
                while not (events := await self.read_events(session, after_seq)):
                    await self._changed.wait()
        except TimeoutError:
            return ()
        finally:
            self.waits.discard(waiting)
        return events

    async def acquire(self, session: str, owner: str, ttl_s: float, *, take_over: bool = False) -> Lease:
        raise NotImplementedError

    async def renew(self, lease: Lease, ttl_s: float) -> None:
        raise NotImplementedError

    async def release(self, lease: Lease) -> None:
        raise NotImplementedError

    async def delete(self, lease: Lease) -> None:
        raise NotImplementedError

    async def commit(
        self, lease: Lease, record: SessionRecord, *, expected_version: int, audio: AudioBlock | None = None
    ) -> int:
        raise NotImplementedError

    async def read_pcm(self, session: str, channel: int) -> PcmChunk:
        raise NotImplementedError

    async def append_events(self, lease: Lease, events: Sequence[StoredEvent]) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        """It has no connections."""

    def _there(self) -> None:
        if self.away:
            raise StoreUnavailable("away")

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
