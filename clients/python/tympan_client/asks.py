"""Questions that have no whole answer yet. Without sockets.

A question whose answer had not begun when the connection was lost is put again on the next one; of one that had, the
application is told that the rest will not come. So it is of those that have no answer when the session ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from tympan_client.errors import TympanError
from tympan_client.events import Answer, AnswerError

MAX_ASKS = 16


@dataclass(slots=True)
class _Ask:
    place: int
    """All audio before this sample goes before it."""
    payload: bytes | str
    sent: bool = False
    begun: bool = False


class OpenAsks:
    def __init__(self) -> None:
        self._asks: dict[str, _Ask] = {}
        self._broken: list[Answer] = []

    def put(self, ask_id: str, place: int, payload: bytes | str) -> None:
        """
        Raises:
            TympanError: `bad_use` for an id that is in use, `too_many_asks`.
        """
        if ask_id in self._asks:
            raise TympanError("bad_use", f"the question {ask_id!r} is open already; give each its own id")
        if len(self._asks) >= MAX_ASKS:
            raise TympanError("too_many_asks", f"{MAX_ASKS} questions wait for their answers", retryable=True)
        self._asks[ask_id] = _Ask(place, payload)

    def next_payload(self, sent_until: int) -> bytes | str | None:
        """The next question whose audio is sent."""
        for ask in self._asks.values():
            if not ask.sent:
                if ask.place > sent_until:
                    return None
                ask.sent = True
                return ask.payload
        return None

    def heard(self, answer: Answer) -> None:
        ask = self._asks.get(answer.id)
        if answer.done:
            self._asks.pop(answer.id, None)
        elif ask is not None:
            ask.begun = True

    def lost(self) -> None:
        """The connection is gone."""
        message = "the connection was lost amid the answer; ask again"
        self._broken += [_failed(ask_id, "connection_lost", message) for ask_id, ask in self._asks.items() if ask.begun]
        self._asks = {ask_id: ask for ask_id, ask in self._asks.items() if not ask.begun}
        for ask in self._asks.values():
            ask.sent = False

    def over(self) -> None:
        """The session is: a question that was never sent, since `stop` came before it, is answered by that too."""
        message = "the session ended before the answer was there"
        self._broken += [_failed(ask_id, "session_over", message) for ask_id in self._asks]
        self._asks = {}

    def take_broken(self) -> list[Answer]:
        """The last word on answers that will not be whole."""
        broken, self._broken = self._broken, []
        return broken


def _failed(ask_id: str, code: str, message: str) -> Answer:
    return Answer(id=ask_id, done=True, finish="error", error=AnswerError(code=code, message=message))
