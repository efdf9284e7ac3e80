"""What waits for the client to read it: bounded, numbered as it leaves. Pure.

A reader that keeps up sees every message. For one that falls behind, an interim joins the interim of its utterance
that still waits, a piece of an answer the piece before it, and a newer `ack` or `load` takes the place of the older
one; nothing else is ever left out.
"""

from __future__ import annotations

import msgspec

from streaming.protocol.messages import UNNUMBERED, Ack, Answer, Error, Load, ServerMessage, Transcript


class OutboxFullError(Exception):
    """The client does not read; what waits has reached its limit."""


class Outbox:
    def __init__(self, limit_messages: int, last_seq: int = 0) -> None:
        """`last_seq`: the number before the first one to be given."""
        self.last_seq = last_seq
        """Of the newest message that left with a number."""
        self._limit = limit_messages
        self._next_key = 0
        self._waiting: dict[object, ServerMessage] = {}
        self._ended = False

    @property
    def has_room(self) -> bool:
        """False from half of the limit on: nothing more should be asked for that the client may ask for."""
        return len(self._waiting) < self._limit // 2

    def unsaid(self) -> list[ServerMessage]:
        """What waits and will have a number, in order."""
        return [message for message in self._waiting.values() if is_numbered(message)]

    def put(self, message: ServerMessage) -> None:
        """Raises OutboxFullError; the message is not taken then. Nor is it after `put_last`."""
        if self._ended:
            return
        key = self._key(message)
        older = self._waiting.get(key)
        if older is None and len(self._waiting) >= self._limit:
            raise OutboxFullError(f"{self._limit} messages wait for the client")
        if isinstance(older, Transcript) and isinstance(message, Transcript):
            message = join_interims(older, message)
        if isinstance(older, Answer) and isinstance(message, Answer):
            message = msgspec.structs.replace(message, delta=older.delta + message.delta)
        if isinstance(message, Answer) and message.done:
            # The client may use its id again: what is said of the next question must not join it.
            self._waiting.pop(key, None)
            key = self._new_key()
        self._waiting[key] = message

    def put_last(self, message: ServerMessage) -> None:
        """Beyond the limit: nothing comes after it."""
        self._waiting[self._key(message)] = message
        self._ended = True

    def clear(self) -> None:
        """Drops what waits: the client does not read it."""
        self._waiting.clear()

    def pop(self) -> ServerMessage | None:
        """The next message; with its `seq`, 1, 2, 3 ... without holes, if it has one."""
        if not self._waiting:
            return None
        message = self._waiting.pop(next(iter(self._waiting)))
        if not is_numbered(message):
            return message
        self.last_seq += 1
        return msgspec.structs.replace(message, seq=self.last_seq)

    def _key(self, message: ServerMessage) -> object:
        """Messages of one key replace each other."""
        match message:
            case Transcript(final=False):
                return ("interim", message.utterance)
            case Answer():
                return ("answer", message.id)
            case Ack() | Load():
                return type(message)
        return self._new_key()

    def _new_key(self) -> int:
        self._next_key += 1
        return self._next_key


def is_numbered(message: ServerMessage) -> bool:
    """Whether a message is about the session's audio, and so in its event log."""
    return not isinstance(message, UNNUMBERED) and not (isinstance(message, Error) and message.fatal)


def join_interims(older: Transcript, newer: Transcript) -> Transcript:
    """One interim that does what the two do one after the other."""
    if newer.from_word <= older.from_word:
        return newer
    kept = older.words[: newer.from_word - older.from_word]
    return msgspec.structs.replace(newer, from_word=older.from_word, words=[*kept, *newer.words])
