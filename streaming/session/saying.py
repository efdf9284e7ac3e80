"""How messages leave the core: into the outbox at once, unless they were said before the session was lost. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from streaming.protocol.messages import ServerMessage, Transcript
from streaming.session.effects import Effect, Send, SlowReader
from streaming.session.outbox import Outbox, OutboxFullError
from streaming.session.said import SaidBefore


class Saying:
    def __init__(self, outbox: Outbox, said: SaidBefore) -> None:
        self.outbox = outbox
        self.said = said
        self.overflowed = False
        """A message did not fit: what waits is not all that there is to say."""
        self._waited: list[ServerMessage] = []

    def say(self, effects: Iterable[Effect]) -> list[Effect]:
        """Carries out what is to be sent, so that a snapshot taken next holds it; returns what is left to the shell."""
        left: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Send):
                if self.said.swallow(effect.message):
                    continue
                try:
                    self.outbox.put(effect.message)
                except OutboxFullError as error:
                    self.overflowed = True
                    left.append(SlowReader(str(error)))
                    continue
            left.append(effect)
        return left

    def restore(self, last_seq: int, unsaid: list[ServerMessage]) -> None:
        """Takes the outbox of a snapshot, before utterances are recalled."""
        self.outbox.last_seq = max(last_seq, self.said.last_seq)
        self._waited = [message for message in unsaid if not self._superseded(message)]

    def say_what_waited(self) -> list[Effect]:
        """After `restore`: what nobody has said since, in its order."""
        waited, self._waited = self._waited, []
        return self.say(Send(message) for message in waited)

    def _superseded(self, message: ServerMessage) -> bool:
        return isinstance(message, Transcript) and not message.final and self.said.superseded(message)
