"""What can go wrong, as one exception type with a code that programs can act on."""

from __future__ import annotations


class TympanError(Exception):
    """A refusal by the server, or by this client before anything was sent.

    The server's codes are those of docs/protocol.md. This client's own are: `unreachable`, `not_tympan`,
    `connection_lost`, `goaway`, `ack_timeout`, `too_many_commands`, `bad_server_message`, `bad_audio`, `bad_use`.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        """True: the same request may succeed later, unchanged."""
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


class ConnectionLost(TympanError):
    """The connection ended before the session did, and the session could not be resumed, or not in time."""

    def __init__(self, message: str) -> None:
        super().__init__("connection_lost", message, retryable=True)
