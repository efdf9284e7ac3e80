"""Commands (`marker`, `finalize`, `configure`, `stop`) that the server has not stored yet, in the session's count."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MAX_COMMANDS = 1024


@dataclass(frozen=True, slots=True)
class Command:
    place: int
    """All audio before this sample goes before it, none after it."""
    payload: bytes | str


class UnacknowledgedCommands:
    """Numbered from 0 in the session, bounded by `capacity`."""

    def __init__(self, capacity: int = MAX_COMMANDS) -> None:
        self._capacity = capacity
        self._held: deque[Command] = deque()
        self.first = 0
        """Number of the oldest one that is held."""

    @property
    def is_full(self) -> bool:
        return len(self._held) == self._capacity

    def append(self, command: Command) -> None:
        self._held.append(command)

    def acknowledge(self, count: int) -> None:
        """Forgets those before number `count`."""
        while self._held and self.first < count:
            self.drop_oldest()

    def drop_oldest(self) -> None:
        self._held.popleft()
        self.first += 1

    def line_up(self, count: int) -> None:
        """The server has `count` of them: the oldest that is left here has that number from now on."""
        self.acknowledge(count)
        self.first = count

    def numbered(self, number: int) -> Command | None:
        index = number - self.first
        return self._held[index] if 0 <= index < len(self._held) else None
