"""A query's parameters. Unknown ones are ignored; wrong ones are named, and their values never repeated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streaming.protocol.errors import ProtocolError

MAX_PARAMETERS: Final = 1000
MAX_DIGITS: Final = 9
_TRUE: Final = ("true", "1", "yes", "on", "")
_FALSE: Final = ("false", "0", "no", "off")


class Parameters:
    """Raises ProtocolError (`unsupported`) from all of its methods."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for count, (name, value) in enumerate(pairs):
            if count >= MAX_PARAMETERS:
                raise ProtocolError("unsupported", f"more than {MAX_PARAMETERS} parameters")
            self._values.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def every(self, name: str) -> list[str]:
        """Of a parameter that may come several times."""
        return self._values.get(name, [])

    def text(self, name: str) -> str | None:
        """None: it is not there, or empty."""
        return self.every(name)[0] or None if name in self else None

    def one_of(self, name: str, known: Iterable[str]) -> str | None:
        value = (self.text(name) or "").lower()
        if value and value not in known:
            raise ProtocolError("unsupported", f"{name}: must be one of {', '.join(known)}")
        return value or None

    def flag(self, name: str, default: bool = False) -> bool:
        """True and False in any case, as SDKs of many languages write them."""
        if name not in self:
            return default
        value = self.every(name)[0].lower()
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise ProtocolError("unsupported", f"{name}: must be true or false")

    def whole(self, name: str, low: int, high: int) -> int | None:
        text = self.text(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS and low <= int(text) <= high):
            raise ProtocolError("unsupported", f"{name}: must be a whole number from {low} to {high}")
        return int(text)
