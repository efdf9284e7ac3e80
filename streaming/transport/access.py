"""Who may come in: API keys on every route but the pages, health and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from streaming.config import AuthSettings, ConfigError
from streaming.protocol.credentials import Keyring, offered_keys, read_entries
from streaming.protocol.errors import ProtocolError
from streaming.transport.sessions_rest import refusal

NATIVE: Final = ("/v1/stream", "/v1/sessions", "/v1/calls")
"""The routes that are guarded here. A dialect guards its own, since it says no in its own words."""
MAX_FILE_BYTES: Final = 1 << 20


def read_keyring(settings: AuthSettings) -> Keyring:
    """Raises ConfigError: the file cannot be read, or has something else in it."""
    entries = list(settings.keys)
    if settings.keys_file:
        try:
            with Path(settings.keys_file).open("rb") as file:
                entries += read_entries(file.read(MAX_FILE_BYTES).decode("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise ConfigError(f"auth.keys_file: {settings.keys_file} cannot be read: {reason}") from None
        if not entries:
            raise ConfigError(f"auth.keys_file: {settings.keys_file} has no key in it")
    try:
        return Keyring(entries)
    except ValueError as error:
        raise ConfigError(f"auth: {error} (in {settings.keys_file})") from None


def let_in(scope: Scope, keyring: Keyring) -> None:
    """Raises ProtocolError (`unauthorized`)."""
    if keyring.open:
        return
    headers = Headers(scope=scope)
    query = QueryParams(scope.get("query_string", b"")).multi_items()
    if not keyring.allows(offered_keys(dict(headers), query, scope.get("subprotocols", []))):
        raise ProtocolError("unauthorized", "show an API key: Authorization: Bearer KEY, or ?token=KEY")


class NativeAccess:
    """Middleware: 401 for native routes without a key."""

    def __init__(self, app: ASGIApp, keyring: Keyring) -> None:
        self._app = app
        self._keyring = keyring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A page's browser asks by OPTIONS, without credentials, whether it may send them (Fetch, 3.3.5).
        guarded = scope["type"] in ("http", "websocket") and scope["path"].startswith(NATIVE)
        if guarded and scope.get("method") != "OPTIONS":
            try:
                let_in(scope, self._keyring)
            except ProtocolError as error:
                await refusal(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)
