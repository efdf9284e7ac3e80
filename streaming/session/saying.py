"""How messages leave the core: without the numbers that they may not tell, into the outbox at once, unless they were
said before the session was lost. Pure.

Nothing that is said of the session's audio goes another way. So the outbox, the log, the call model, what questions are
made of, viewers and transcripts know of hidden numbers only that they were there.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import msgspec

from streaming.audio.clock import ms_to_samples
from streaming.protocol.messages import ServerMessage, Transcript
from streaming.session.calling import Calling
from streaming.session.effects import Effect, Finished, Send, SlowReader
from streaming.session.outbox import Outbox, OutboxFullError
from streaming.session.said import SaidBefore
from streaming.transcript.redaction import Redactor


class Saying:
    def __init__(self, outbox: Outbox, said: SaidBefore, redactor: Redactor, calling: Calling) -> None:
        self.outbox = outbox
        self.said = said
        self._redactor = redactor
        self._calling = calling
        self.overflowed = False
        """A message did not fit: what waits is not all that there is to say."""
        self._waited: list[ServerMessage] = []

    def say(self, effects: Iterable[Effect]) -> list[Effect]:
        """Carries out what is to be sent, so that a snapshot taken next holds it; returns what is left to the shell."""
        left: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Send):
                message = self._redactor.mask(effect.message)
                left += self._put(message)
                for about_call in self._calling.hear(message):
                    left += self._put(about_call)
            elif isinstance(effect, Finished):
                left += self._finish(effect)
            else:
                left.append(effect)
        return [*left, *self._recall()]

    def restore(self, last_seq: int, unsaid: list[ServerMessage]) -> None:
        """Takes the outbox of a snapshot, before utterances are recalled."""
        self.outbox.last_seq = max(last_seq, self.said.last_seq)
        self._waited = [message for message in unsaid if not self._superseded(message)]

    def say_what_waited(self) -> list[Effect]:
        """After `restore`: what nobody has said since, in its order."""
        waited, self._waited = self._waited, []
        return list(chain.from_iterable(map(self._put, waited)))

    def _finish(self, finished: Finished) -> list[Effect]:
        """The account of the call comes before the session's."""
        recalled = self._recall()
        about_call = self._calling.finish(ms_to_samples(finished.summary.audio_ms))
        summary = msgspec.structs.replace(finished.summary, redacted=self._redactor.counts())
        return [*recalled, *chain.from_iterable(map(self._put, about_call)), Finished(summary)]

    def _recall(self) -> list[Effect]:
        """Finals that were said before a restore are said by nobody again, but count."""
        left: list[Effect] = []
        for final in self.said.take_finals():
            self._redactor.recall(final)
            for about_call in self._calling.hear(final):
                left += self._put(about_call)
        return left

    def _put(self, message: ServerMessage) -> list[Effect]:
        if self.said.swallow(message):
            return []
        try:
            self.outbox.put(message)
        except OutboxFullError as error:
            self.overflowed = True
            return [SlowReader(str(error))]
        return [Send(message)]

    def _superseded(self, message: ServerMessage) -> bool:
        return isinstance(message, Transcript) and not message.final and self.said.superseded(message)
