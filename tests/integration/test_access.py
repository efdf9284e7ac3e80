"""API keys on the native routes: shown in any way a client can, refused before anything else happens."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from tympan_client import Endpointing, TranscriptUpdate, TympanClient, TympanError
from tympan_client.options import ConnectionOptions
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from streaming.cli.errors import UserError
from streaming.cli.serve import check_access
from streaming.config import AuthSettings, Config, ConfigError, ServerSettings
from streaming.transport.access import read_keyring
from tests.support.live import Live, live_server
from tests.support.sessions import speech

KEY = "a key of the kiosk".replace(" ", "-")
AUTH = AuthSettings(keys=(KEY,))
SESSION_ROUTES = ["/v1/sessions/x", "/v1/sessions/x/watch", "/v1/sessions/x/transcript.txt"]


async def status(live: Live, path: str, query: str = "", **options: Any) -> int:
    """Of the handshake of a WebSocket; 101 where it is accepted."""
    try:
        async with connect(f"ws://{live.host}{path}{query}", compression=None, **options):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", {"additional_headers": {"Authorization": f"Bearer {KEY}"}}),
        ("", {"additional_headers": {"Authorization": f"Token {KEY}"}}),
        ("", {"additional_headers": {"X-API-Key": KEY}}),
        (f"?token={KEY}", {}),
        ("", {"subprotocols": ["tympan.v1.json", f"tympan.key.{KEY}"]}),
    ],
)
async def test_a_key_lets_in_wherever_it_stands(query: str, options: Any) -> None:
    async with live_server(auth=AUTH) as live:
        assert await status(live, "/v1/stream", query, **options) == 101


@pytest.mark.parametrize("path", ["/v1/stream", "/v1/sessions/x/watch"])
async def test_without_a_key_no_socket_is_opened(path: str) -> None:
    async with live_server(auth=AUTH) as live:
        assert await status(live, path) == 401
        assert await status(live, path, "?token=another-key-of-nobody") == 401
        assert live.service.sessions == frozenset()


@pytest.mark.parametrize("path", SESSION_ROUTES)
async def test_sessions_over_http_want_one_too(path: str) -> None:
    async with live_server(auth=AUTH) as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
        refused = await http.get(path)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert (await http.get(path, headers={"Authorization": f"Bearer {KEY}"})).status_code == 404
        assert (await http.post("/v1/sessions/x/chat", json={})).status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/"])
async def test_pages_and_health_want_none(path: str) -> None:
    async with live_server(auth=AUTH) as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
        assert (await http.get(path)).status_code == 200


async def test_without_keys_everybody_on_this_machine_may_come() -> None:
    async with live_server() as live:
        assert await status(live, "/v1/stream", additional_headers={"Authorization": "Bearer whatever"}) == 101


def test_keys_come_from_a_file_as_well(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# those of the kiosks\n{KEY} kiosk 1\n")
    keyring = read_keyring(AuthSettings(keys_file=str(file)))
    assert keyring.allows([KEY])
    assert not keyring.allows(["kiosk"])


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, "cannot be read"), (b"# none\n", "has no key"), (b"short", "16"), (b"\xff" * 20, "no text")],
)
def test_a_file_without_keys_is_an_error_and_opens_nothing(tmp_path: Path, content: bytes | None, text: str) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=text):
        read_keyring(AuthSettings(keys_file=str(file)))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "gateway.example"])
def test_other_machines_may_not_connect_unless_somebody_said_so(host: str) -> None:
    server = ServerSettings(host=host)
    with pytest.raises(UserError, match="no API keys"):
        check_access(Config(server=server))
    check_access(Config(server=server, auth=AuthSettings(open=True)))
    check_access(Config(server=server, auth=AUTH))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_may(host: str) -> None:
    check_access(Config(server=ServerSettings(host=host)))


class TestClient:
    async def heard(self, live: Live, **options: Any) -> str:
        client = TympanClient(live.url, endpointing=Endpointing(min_silence_ms=500), **options)
        texts = []
        async for event in client.stream(speech((0.5, 1.5), total_s=3.0).tobytes()):
            if isinstance(event, TranscriptUpdate) and event.final:
                texts.append(event.text or "")
        return " ".join(texts)

    async def test_the_key_is_an_option(self) -> None:
        async with live_server(auth=AUTH) as live:
            assert await self.heard(live, api_key=KEY)

    async def test_or_stands_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TYMPAN_API_KEY", KEY)
        async with live_server(auth=AUTH) as live:
            assert await self.heard(live)

    async def test_without_it_the_client_says_what_is_missing(self) -> None:
        async with live_server(auth=AUTH) as live:
            with pytest.raises(TympanError, match="API key") as refused:
                await self.heard(live)
            assert (refused.value.code, refused.value.retryable) == ("unauthorized", False)

    def test_it_is_not_shown(self) -> None:
        assert KEY not in repr(ConnectionOptions(api_key=KEY))
