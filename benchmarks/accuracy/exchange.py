"""What happened on one connection: the audio sent and the messages received, each with its time. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from streaming.protocol.messages import ServerMessage, Summary, Transcript


@dataclass(frozen=True, slots=True)
class Sent:
    at_s: float
    """Seconds on the run's clock when the chunk was handed to the socket."""
    until_ms: float
    """The clip's time at the chunk's end."""


@dataclass(frozen=True, slots=True)
class Received:
    at_s: float
    message: ServerMessage


@dataclass(slots=True)
class Exchange:
    """One session, in order of time."""

    sent: list[Sent] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)

    def sent_ms(self, at_s: float) -> float:
        """How much of the clip was sent at that time, in ms."""
        index = bisect_right(self.sent, at_s, key=lambda sent: sent.at_s)
        return self.sent[index - 1].until_ms if index else 0.0

    def sent_at_s(self, position_ms: float) -> float | None:
        """When the audio up to that position was sent; None where it never was."""
        index = bisect_left(self.sent, position_ms, key=lambda sent: sent.until_ms)
        return self.sent[index].at_s if index < len(self.sent) else None

    @property
    def finals(self) -> list[Transcript]:
        """The finals in the order of their utterances."""
        finals = [r.message for r in self.received if isinstance(r.message, Transcript) and r.message.final]
        return sorted(finals, key=lambda final: final.utterance)

    @property
    def text(self) -> str:
        """All finals as one text."""
        return " ".join(final.text for final in self.finals if final.text)

    @property
    def summary(self) -> Summary:
        """The server's account of the session. Raises LookupError where the session ended without one."""
        for received in reversed(self.received):
            if isinstance(received.message, Summary):
                return received.message
        raise LookupError("the session ended without a summary")
