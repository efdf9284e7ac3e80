"""Records and dictionaries as text messages."""

from __future__ import annotations

from typing import Final

import msgspec

_encode: Final = msgspec.json.Encoder().encode


def json_text(body: object) -> str:
    return _encode(body).decode()
