"""A question that was put: its answer, piece by piece or whole."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

from tympan_client.errors import TympanError
from tympan_client.events import Answer
from tympan_client.link import Link

RETRYABLE = frozenset({"too_many", "engine_unavailable", "answer_failed", "connection_lost"})
"""Codes after which the same question may have an answer."""


class Asked:
    """Iterate over the pieces of its answer, once, or wait for the whole with `answer`.

    They come while somebody reads the session's events, where they are too; or while fewer than a thousand events wait
    for their reader.
    """

    def __init__(self, ask_id: str, link: Link) -> None:
        self.id = ask_id
        """Of its `Answer` events."""
        self._link = link
        self._pieces: deque[Answer] = deque()
        self._last: Answer | None = None

    def hear(self, piece: Answer) -> None:
        """Called by the session."""
        self._pieces.append(piece)

    def __aiter__(self) -> AsyncIterator[Answer]:
        return self

    async def __anext__(self) -> Answer:
        """Raises TympanError where there is no answer, or the rest of it will not come."""
        if self._last is not None:
            raise StopAsyncIteration
        await self._link.until(lambda: bool(self._pieces) or self._link.ended)
        if not self._pieces:
            raise self._link.outcome or TympanError("session_over", "the session ended before the answer was there")
        piece = self._pieces[0]
        if piece.error is not None:  # it stays, for whoever asks again
            code = piece.error.code
            raise TympanError(code, piece.error.message, retryable=code in RETRYABLE)
        self._pieces.popleft()
        self._last = piece if piece.done else None
        return piece

    async def answer(self) -> Answer:
        """The last piece, which has the whole `text`, and `words` where the model named times.

        Raises:
            TympanError: there is no answer, for one of the reasons that docs/protocol.md has under Questions.
        """
        async for _ in self:
            pass
        assert self._last is not None
        return self._last
