"""Asterisk at a live server's TCP port: captions by the call's UUID; what is no AudioSocket does no harm."""

import asyncio
import contextlib
import uuid
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.app import listen
from streaming.cli.main import main
from streaming.config import Config, ServerSettings, TelephonySettings
from tests.support.asterisk import CALL, ERROR, HANGUP, audio, dialled, frame, identity, key
from tests.support.live import Live
from tests.support.polling import eventually
from tests.support.sessions import speech
from tests.support.tcp_ports import tcp_server
from tests.support.webhook_receiver import webhook_receiver

BEFORE = uuid.UUID(int=1)
SOUND = audio(speech((0.5, 2.5), total_s=4.0, rate=8000))


def asterisk_server(port: int = 0, **telephony: Any) -> AbstractAsyncContextManager[tuple[Live, int]]:
    """A server, and its AudioSocket port."""
    config = Config(server=ServerSettings(max_sessions=4), telephony=TelephonySettings(**telephony))
    return tcp_server(config, "audiosocket", port)


async def call(port: int, *frames: bytes) -> bytes:
    """What comes back until the server closes."""
    async with asyncio.timeout(20), dialled(port) as (reader, writer):
        try:
            for one in frames:
                writer.write(one)
                await writer.drain()
            return await reader.read()
        except ConnectionError:
            return b""


async def test_a_call_is_heard_and_told_of_by_its_uuid() -> None:
    async with webhook_receiver() as hook, asterisk_server(webhook_url=hook.url) as (live, port):
        assert await call(port, identity(), *SOUND, key("5"), HANGUP) == b""
        await hook.until("call.ended")
        assert {(one["call"], one["protocol"]) for one in hook.reports} == {(str(CALL), "audiosocket")}
        assert [one["message"]["label"] for one in hook.reports if one["type"] == "event"] == ["dtmf_5"]
        (final,) = [one["message"] for one in hook.reports if one["type"] == "transcript"]
        async with httpx.AsyncClient(base_url=f"http://{live.host}") as http:
            assert (await http.get(f"/v1/calls/{CALL}/transcript.txt")).text == f"{final['text']}\n"


async def test_a_connection_that_breaks_has_its_last_words() -> None:
    async with webhook_receiver() as hook, asterisk_server(webhook_url=hook.url) as (_, port):
        async with dialled(port) as (_, writer):
            for one in (identity(), *SOUND[:100], SOUND[100][:50]):
                writer.write(one)
            await writer.drain()
            writer.close()
        ended = await hook.until("call.ended")
        assert ended["message"]["summary"]["utterances"] == 1


async def test_where_there_is_no_room_it_is_hung_up_at_once() -> None:
    async with asterisk_server() as (live, port), contextlib.AsyncExitStack() as lines:
        for _ in range(4):
            _, writer = await lines.enter_async_context(dialled(port))
            writer.write(identity(uuid.uuid4()) + SOUND[0])

        async def full() -> bool:
            return len(live.service.sessions) == 4

        await eventually(full)
        assert await call(port) == HANGUP


async def test_other_addresses_are_not_let_in() -> None:
    async with asterisk_server(audiosocket_peers=("10.1.0.0/16", "::1")) as (live, port):
        assert await call(port, identity(), SOUND[0], HANGUP) == b""
        assert not live.service.sessions
    async with asterisk_server(audiosocket_peers=("127.0.0.0/8",)) as (_, port):
        assert await call(port, frame(0x01, b"")) == HANGUP


@pytest.mark.parametrize("flag", ["--audiosocket-port", "--wyoming-port"])
def test_a_port_that_is_taken_is_said_before_the_model_is_loaded(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", "0", flag, str(port)]) != 0
        said = capsys.readouterr().err
        assert f"cannot listen on 127.0.0.1:{port}" in said
        assert f"choose another --host or {flag}" in said


frames = st.one_of(
    st.binary(max_size=100),
    st.builds(frame, st.integers(0, 255), st.binary(max_size=700)),
    st.sampled_from([identity(), HANGUP, ERROR, key("1"), key("xx"), *SOUND[30:34]]),
    st.builds(
        lambda kind, size: frame(kind, b"")[:1] + size.to_bytes(2, "big"), st.integers(0, 255), st.integers(0, 65_535)
    ),
)


async def test_garbage_does_no_harm() -> None:
    """Structured and raw; a call that is there all along hears nothing of it."""
    async with webhook_receiver() as hook, asterisk_server(webhook_url=hook.url) as (live, port):
        assert await call(port, identity(BEFORE), *SOUND, HANGUP) == b""
        await hook.until("call.ended")
        loop = asyncio.get_running_loop()

        def texts(of: str) -> list[str]:
            told = [one for one in hook.reports if (one["call"], one["type"]) == (of, "transcript")]
            return [one["message"]["text"] for one in told]

        async with dialled(port) as (reader, writer):
            writer.write(b"".join([identity(), *SOUND[:60]]))

            @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
            @given(first=st.sampled_from([b"", identity(uuid.uuid4())]), rest=st.lists(frames, max_size=8))
            def fuzz(first: bytes, rest: list[bytes]) -> None:
                async def one() -> None:
                    async with asyncio.timeout(20), dialled(port) as (their_reader, their_writer):
                        their_writer.write(first + b"".join(rest))
                        their_writer.write_eof()
                        while await their_reader.read(4096):
                            pass

                asyncio.run_coroutine_threadsafe(_quiet(one()), loop).result()

            await asyncio.to_thread(fuzz)
            writer.write(b"".join([*SOUND[60:], HANGUP]))
            assert await reader.read() == b""

        async def told() -> bool:
            return len(texts(str(CALL))) == 1

        await eventually(told)
        assert texts(str(CALL)) == texts(str(BEFORE)) != []

        async def empty() -> bool:
            return not live.service.sessions

        await eventually(empty)
        assert "internal" not in _codes(live)


async def _quiet(connection: Any) -> None:
    try:
        await connection
    except ConnectionError:
        """The server had enough of it."""


def _codes(live: Live) -> set[str]:
    """Of errors that were counted."""
    lines = live.service.metrics.render().decode().splitlines()
    return {line.split('"')[1] for line in lines if line.startswith("tympan_errors_total{")}
