"""`tympan watch` against a server that breaks off, refuses and ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tympan_client import Event, TranscriptUpdate, TympanError
from websockets.asyncio.server import ServerConnection, serve

from streaming.cli.live import PlainCaptions
from streaming.cli.watch import MAX_ATTEMPTS, channel_labels, follow, watch_url
from streaming.protocol.errors import ErrorCode, error_message
from streaming.protocol.messages import AudioFormat, Task
from streaming.protocol.watching import Watching, encode_viewer
from tests.support.logs import SESSION, SUMMARY, final, interim

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0, subprotocols=["tympan.v1.json"]) as running:  # type: ignore[list-item]
        yield watch_url(f"http://127.0.0.1:{next(iter(running.sockets)).getsockname()[1]}/", SESSION)


def numbered(seq: int, message: object) -> str:
    message.seq = seq  # type: ignore[attr-defined]
    return str(encode_viewer("json", message))  # type: ignore[arg-type]


async def test_a_lost_connection_goes_on_after_the_last_message() -> None:
    asked: list[str] = []

    async def breaks_off_once(socket: ServerConnection) -> None:
        assert socket.request is not None
        asked.append(socket.request.path)
        if len(asked) == 1:
            await socket.send(numbered(7, interim(1, "good")))
            await socket.close(1012)
            return
        await socket.send(numbered(8, final(1, "Good.")))
        await socket.send(numbered(9, SUMMARY))

    shown: list[Event] = []
    async with server(breaks_off_once) as url:
        await follow(url, shown.append, pause_s=0)
    assert [event.seq for event in shown] == [7, 8, 9]
    assert asked == [f"/v1/sessions/{SESSION}/watch?after={after}" for after in (0, 7)]


@pytest.mark.parametrize(("code", "connections"), [("no_session", 1), ("draining", MAX_ATTEMPTS)])
async def test_what_may_pass_is_tried_again_and_what_will_not_is_told(code: ErrorCode, connections: int) -> None:
    count = 0

    async def refuses(socket: ServerConnection) -> None:
        nonlocal count
        count += 1
        await socket.send(encode_viewer("json", error_message(code, "why")))

    async with server(refuses) as url:
        with pytest.raises(TympanError) as refused:
            await follow(url, lambda event: None, pause_s=0)
    assert (refused.value.code, count) == (code, connections)


async def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(TympanError) as refused:
        await follow("ws://127.0.0.1:1/v1/sessions/s/watch", lambda event: None, pause_s=60)
    assert refused.value.code == "unreachable"


async def test_labels_of_a_call_stand_before_what_is_said() -> None:
    captions, written = PlainCaptions(), []

    async def call(socket: ServerConnection) -> None:
        audio = AudioFormat(channels=2, labels=["agent", "customer"])
        watching = Watching(session=SESSION, audio=audio, tasks=[Task()], interim="stable")
        await socket.send(encode_viewer("json", watching))
        await socket.send(numbered(1, final(1, "Good morning.")))
        await socket.send(numbered(2, final(2, "Hello.", channel=1)))

    def show(event: Event) -> None:
        if not isinstance(event, TranscriptUpdate):
            captions.labels = channel_labels(event)  # type: ignore[arg-type]
        written.append(captions.receive(event))

    async with server(call) as url:
        await follow(url, show)
    assert "".join(written) == "agent: Good morning.\ncustomer: Hello.\n"


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("localhost:8765", "ws://localhost:8765/v1/sessions/a/watch"),
        ("https://captions.example/", "wss://captions.example/v1/sessions/a/watch"),
        ("wss://example.org/tympan/v1/stream", "wss://example.org/tympan/v1/sessions/a/watch"),
    ],
)
def test_any_address_of_a_server_will_do(address: str, url: str) -> None:
    assert watch_url(address, "a") == url


def test_a_session_is_one_part_of_the_path() -> None:
    assert watch_url("localhost", "a/../b?x") == "ws://localhost/v1/sessions/a%2F..%2Fb%3Fx/watch"
