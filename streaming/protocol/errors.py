"""The table of error codes: what a client reads in `error` and in the close frame. `docs/protocol.md` repeats it."""

from __future__ import annotations

from typing import Literal

import msgspec

from streaming.protocol.messages import Error

ErrorCode = Literal[
    "bad_message",
    "unauthorized",
    "start_expected",
    "already_started",
    "start_timeout",
    "idle_timeout",
    "taken_over",
    "no_session",
    "unsupported",
    "bad_audio",
    "slow_reader",
    "too_large",
    "internal",
    "draining",
    "store_unavailable",
    "overloaded",
    "engine_unavailable",
    "decode_failed",
]

CLOSE_NORMAL = 1000
MAX_TEXT_CHARS = 300
"""Longest text of an error, so that a hostile message cannot make a large answer."""


class ErrorKind(msgspec.Struct, frozen=True, kw_only=True):
    close_code: int | None
    """The WebSocket close code that follows, or None: the session goes on."""
    retryable: bool
    """True: the same client may succeed later without changing anything."""
    meaning: str


ERRORS: dict[ErrorCode, ErrorKind] = {
    "bad_message": ErrorKind(
        close_code=4400,
        retryable=False,
        meaning="Not a message of this protocol: not msgpack or JSON, a wrong type, an unknown message or field",
    ),
    "unauthorized": ErrorKind(close_code=4401, retryable=False, meaning="The credentials are missing or wrong"),
    "start_expected": ErrorKind(
        close_code=4405, retryable=False, meaning="Something else came before `start`, for example audio"
    ),
    "already_started": ErrorKind(close_code=4405, retryable=False, meaning="A second `start` on one connection"),
    "start_timeout": ErrorKind(close_code=4408, retryable=False, meaning="No `start` came in time"),
    "idle_timeout": ErrorKind(close_code=4408, retryable=False, meaning="Nothing came for too long"),
    "taken_over": ErrorKind(close_code=4409, retryable=False, meaning="Another connection resumed this session"),
    "no_session": ErrorKind(
        close_code=4404,
        retryable=False,
        meaning="The session to be resumed is not there: it expired, never was, or the token is not its own",
    ),
    "unsupported": ErrorKind(
        close_code=4422, retryable=False, meaning="A known field has a value that this server does not accept"
    ),
    "bad_audio": ErrorKind(
        close_code=4422,
        retryable=False,
        meaning="The audio is not a whole number of sample frames in the declared format",
    ),
    "slow_reader": ErrorKind(
        close_code=4429, retryable=True, meaning="The client reads too slowly; what it did not read grew too large"
    ),
    "too_large": ErrorKind(
        close_code=1009, retryable=False, meaning="The message is larger than `max_message_bytes` in `ready`"
    ),
    "internal": ErrorKind(close_code=1011, retryable=False, meaning="The server failed; this is a bug in it"),
    "draining": ErrorKind(close_code=1012, retryable=True, meaning="The server is shutting down: connect again"),
    "store_unavailable": ErrorKind(
        close_code=1013, retryable=True, meaning="The session cannot be read at the moment: try to resume it again"
    ),
    "overloaded": ErrorKind(
        close_code=1013, retryable=True, meaning="No room for another session: wait `retry_after_ms`, then try again"
    ),
    "engine_unavailable": ErrorKind(
        close_code=1013, retryable=True, meaning="The model is not loaded, or its worker cannot be restarted"
    ),
    "decode_failed": ErrorKind(
        close_code=None,
        retryable=False,
        meaning="One utterance could not be decoded; its samples are named by a `gap` with reason `lost`",
    ),
}


class ProtocolError(Exception):
    """What the client did wrong, or why it is refused. `text` is at most MAX_TEXT_CHARS long."""

    def __init__(self, code: ErrorCode, text: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + "…"
        self.retry_after_ms = retry_after_ms

    @property
    def close_code(self) -> int | None:
        return ERRORS[self.code].close_code

    def as_message(self) -> Error:
        """The `error` message to send before the connection is closed with `close_code`."""
        return error_message(self.code, self.text, retry_after_ms=self.retry_after_ms)


def error_message(code: ErrorCode, text: str, *, retry_after_ms: int | None = None) -> Error:
    """An `error` whose `retryable` and `fatal` are the table's."""
    kind = ERRORS[code]
    return Error(
        code=code,
        message=text,
        retryable=kind.retryable,
        retry_after_ms=retry_after_ms,
        fatal=kind.close_code is not None,
    )
