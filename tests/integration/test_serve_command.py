"""`tympan serve` as a process, with the real engine: ready line, a session, signals."""

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from websockets.asyncio.client import connect

from streaming.protocol.messages import Ack, Audio, Endpointing
from streaming.transcript.text import fold
from tests.support.clips import read_clip
from tests.support.live import Client

READY = re.compile(r"Tympan is ready: http://127\.0\.0\.1:(\d+)/ \(model tiny\.en, device cpu, dtype \w+\)\n")
PATIENCE_S = 90.0


@asynccontextmanager
async def serving(*flags: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A running `tympan serve --port 0` and its port."""
    command = [sys.executable, "-m", "streaming.cli.main", "serve", "--port", "0", "--device", "cpu", *flags]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
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
