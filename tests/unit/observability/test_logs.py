"""What is said in the logs, and what is not."""

import logging
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from streaming.config import AuthSettings
from streaming.observability.logs import is_worth_saying, set_up_logs
from tests.support.live import live_server


@pytest.fixture
def quiet() -> Iterator[None]:
    set_up_logs("warning")
    yield
    logging.getLogger("uvicorn.error").removeFilter(is_worth_saying)


async def test_a_refused_socket_is_no_error_of_the_server(quiet: None, caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise everybody without a key could fill the log."""
    async with live_server(auth=AuthSettings(keys=("a-key-of-the-kiosk",))) as live:
        for path in ("/v1/stream", "/v1/listen", "/v1/realtime"):
            with pytest.raises(InvalidStatus):
                async with connect(f"ws://{live.host}{path}"):
                    pass
    assert caplog.records == []
