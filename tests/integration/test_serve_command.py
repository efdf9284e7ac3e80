"""`tympan serve` as a process, with the real engine: ready line, a session, signals."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from websockets.asyncio.client import connect

from streaming.protocol.messages import Ack, Audio, Endpointing, Error, GoAway, Transcript
from streaming.transcript.text import fold
from tests.support.callers import Caller
from tests.support.clips import read_clip
from tests.support.live import Client
from tests.support.redis_server import RedisServer

READY = re.compile(r"Tympan is ready: http://127\.0\.0\.1:(\d+)/ \(model tiny\.en, device cpu, dtype \w+\)\n")
PATIENCE_S = 90.0


@asynccontextmanager
async def serving(*flags: str, **variables: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A running `tympan serve --port 0` and its port."""
    command = [sys.executable, "-m", "streaming.cli.main", "serve", "--port", "0", "--device", "cpu", *flags]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, **variables}
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = (await process.stdout.readline()).decode()
        ready = READY.fullmatch(line)
        assert ready, line
        yield process, int(ready[1])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_clip_is_captioned_and_ctrl_c_drains() -> None:
    """The open utterance gets its final after SIGINT, and the process ends with 0."""
    samples, text = read_clip("question.flac")
    async with serving("--drain-timeout", "0.2") as (process, port):
        async with connect(f"ws://127.0.0.1:{port}/v1/stream", subprotocols=["tympan.v1.msgpack"]) as ws:
            client = Client(ws, "msgpack")
            await client.start(endpointing=Endpointing())
            for at in range(0, len(samples), 8_000):
                piece = np.ascontiguousarray(samples[at : at + 8_000])
                await client.send(Audio(first_sample=at, data=piece.tobytes()))
            await client.until(Ack, sample=len(samples) // 8_000 * 8_000)
            process.send_signal(signal.SIGINT)
            assert await client.rest() == 1012
        assert await asyncio.wait_for(process.wait(), 30) == 0
        heard = " ".join(final.text or "" for final in client.finals)
        assert [fold(word) for word in heard.split()] == [fold(word) for word in text.split()]


async def test_sigterm_leaves_sessions_in_redis_to_the_next_server(redis_server: RedisServer) -> None:
    """The first sentence has its final before; the second one is said to one server and heard by the next."""
    clip, text = read_clip("question.flac")
    pause = np.zeros(24_000, np.int16)
    caller = Caller(np.concatenate([clip, pause, clip, pause]).tobytes(), endpointing=Endpointing())
    cut = len(clip) + len(pause) + 24_000
    flags, url = ("--store", "redis", "--drain-timeout", "0.3", "--workers", "1"), redis_server.url
    async with serving(*flags, TYMPAN_STORE_URL=url) as (process, port):
        async with caller.connected(f"127.0.0.1:{port}") as client:
            await caller.send(client, cut)
            await client.has(Transcript, final=True)
            await client.has(Ack, sample=cut // 8_000 * 8_000)
            process.send_signal(signal.SIGTERM)
            assert (await client.until(GoAway)).deadline_ms == 300
            assert await client.rest() == 1012
            error = client.received[-1]
            assert isinstance(error, Error)
            assert (error.code, error.retryable) == ("draining", True)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    async with (
        serving(*flags, TYMPAN_STORE_URL=url) as (_, port),
        caller.connected(f"127.0.0.1:{port}") as client,
    ):
        assert caller.ready is not None
        assert caller.ready.next_sample == cut // 8_000 * 8_000
        assert await caller.stop(client) == 1000
    caller.check()
    heard = " ".join(message.text or "" for message in caller.heard if isinstance(message, Transcript))
    assert [fold(word) for word in heard.split()] == 2 * [fold(word) for word in text.split()]


async def test_a_port_in_use_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streaming.cli.main", "serve", "--port", str(port), stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
    assert process.returncode == 2
    assert said.decode().startswith(f"tympan serve: cannot listen on 127.0.0.1:{port}: ")
    assert len(said.decode().splitlines()) == 1
