"""Where a server is, and why it could not be reached, in one sentence."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, WebSocketException

from tympan_client.errors import TympanError
from tympan_client.protocol import ROUTE

DEFAULT_URL = "ws://127.0.0.1:8765"
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
UNAUTHORIZED = 401
NOT_READY = (429, 502, 503, 504)
"""HTTP statuses of a server that is starting, or of a proxy before one that is away or busy."""


def stream_url(address: str) -> str:
    """`host:port`, or an http, https, ws or wss URL, as the URL of the stream's route.

    Raises:
        TympanError: `bad_use` where it is none of these.
    """
    parts = urlsplit(address if "://" in address else f"ws://{address}")
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise TympanError("bad_use", f"{address!r} is not an address such as {DEFAULT_URL}")
    path = parts.path if parts.path.strip("/") else ROUTE
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))


def connect_error(url: str, error: Exception) -> TympanError:
    """What an exception of the WebSocket handshake means to the user."""
    match error:
        case InvalidStatus() if error.response.status_code in NOT_READY:
            return TympanError("unreachable", f"the server at {url} is not ready yet", retryable=True)
        case InvalidStatus() if error.response.status_code == UNAUTHORIZED:
            return TympanError("unauthorized", f"the server at {url} wants an API key: api_key, or TYMPAN_API_KEY")
        case InvalidStatus():
            status = error.response.status_code
            return TympanError("not_tympan", f"{url} refused the connection with HTTP status {status}")
        case InvalidMessage() if isinstance(error.__cause__, EOFError | OSError):
            return TympanError("unreachable", f"{url} closed the connection at once", retryable=True)
        case InvalidHandshake() | WebSocketException():
            return TympanError("not_tympan", f"{url} does not speak Tympan's protocol: {error}")
        case TimeoutError():
            return TympanError("unreachable", f"{url} did not answer in time", retryable=True)
    return TympanError("unreachable", f"no server answers at {url} (is `tympan serve` running?)", retryable=True)
