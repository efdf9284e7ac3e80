"""How OpenAI says no: the same object over HTTP, in `error` events and in event streams."""

from __future__ import annotations

from typing import Final

from streaming.protocol.errors import ErrorCode, ProtocolError

_HTTP: Final[dict[ErrorCode, tuple[int, str]]] = {
    "unauthorized": (401, "invalid_api_key"),
    "unsupported": (400, "invalid_value"),
    "bad_message": (400, "invalid_value"),
    "bad_audio": (400, "invalid_audio"),
    "too_large": (413, "file_too_large"),
    "idle_timeout": (408, "request_timeout"),
    "internal": (500, "server_error"),
    # Pipecat gives up for good at any 4xx; all others try again at 503.
    "overloaded": (503, "server_overloaded"),
    "draining": (503, "server_overloaded"),
    "engine_unavailable": (503, "server_overloaded"),
}


def refusal(error: ProtocolError, request_id: str = "") -> tuple[int, dict[str, object]]:
    """The HTTP status and body."""
    status, code = _HTTP.get(error.code, (400, "invalid_value"))
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return status, {"error": error_object(kind, code, error.text)}


def error_object(kind: str, code: str, message: str, param: str | None = None) -> dict[str, object]:
    return {"message": message, "type": kind, "param": param, "code": code}
