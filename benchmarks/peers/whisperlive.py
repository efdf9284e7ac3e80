"""WhisperLive's server in its own environment, and a client of its protocol (float32 in, segments out)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.peers.timeline import Said, Timeline
from benchmarks.peers.venvs import PeerError

RATE = 16_000
START_PATIENCE_S = 60.0
LAST_WORDS_S = 5.0
"""WhisperLive does not say that it is done: how long words after the last chunk are waited for."""
_SERVE = """
from whisper_live.server import TranscriptionServer
TranscriptionServer().run("127.0.0.1", port={port}, backend="faster_whisper", single_model=True,
    faster_whisper_custom_model_path={model!r}, max_clients={clients}, max_connection_time=3600,
    batch_enabled={batch}, batch_max_admissions_per_s=1000.0)
"""


@contextmanager
def running_server(python: Path, model: Path, clients: int, batch: bool) -> Iterator[str]:
    """Starts the server on a free loopback port; yields its address.

    Raises:
        PeerError: it ended, or did not listen in time.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code = _SERVE.format(port=port, model=str(model), clients=clients, batch=batch)
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([str(python), "-c", code], stdout=output, stderr=output, start_new_session=True)
        try:
            _wait_for_port(port, process, output)
            yield f"ws://127.0.0.1:{port}/"
        finally:
            process.kill()
            process.wait()


def _wait_for_port(port: int, process: subprocess.Popen[bytes], output: IO[str]) -> None:
    until = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.2)
    output.seek(0)
    raise PeerError(f"WhisperLive did not start: {output.read()[-1500:]}")


async def run_stage(
    url: str, clips: Sequence[NDArray[np.int16]], offsets_s: Sequence[float], chunk_ms: int
) -> list[Timeline]:
    """One client for each clip, paced in real time."""
    starts = enumerate(zip(clips, offsets_s, strict=True))
    return await asyncio.gather(*(_client(url, f"client-{n}", clip, at, chunk_ms) for n, (clip, at) in starts))


async def _client(url: str, uid: str, clip: NDArray[np.int16], offset_s: float, chunk_ms: int) -> Timeline:
    timeline = Timeline()
    await asyncio.sleep(offset_s)
    try:
        async with connect(url, max_size=None, compression=None, open_timeout=30) as server:
            hello = {"uid": uid, "language": "en", "task": "transcribe", "model": "tiny.en", "use_vad": False}
            await server.send(json.dumps(hello | {"send_last_n_segments": 10_000}))
            await _until_ready(server)
            reading = asyncio.create_task(_read(server, timeline))
            await _talk(server, clip, chunk_ms, timeline)
            await asyncio.sleep(LAST_WORDS_S)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    except (OSError, ConnectionClosed, PeerError, TimeoutError) as error:
        timeline.problem = f"{uid}: {type(error).__name__}: {error}"
    return timeline


async def _until_ready(server: ClientConnection) -> None:
    """Raises PeerError where the server is full."""
    while True:
        message = json.loads(await asyncio.wait_for(server.recv(), 60))
        if message.get("message") == "SERVER_READY":
            return
        if message.get("status") in ("WAIT", "ERROR"):
            raise PeerError(str(message))


async def _talk(server: ClientConnection, clip: NDArray[np.int16], chunk_ms: int, timeline: Timeline) -> None:
    floats = clip.astype("<f4") / np.float32(32768)
    chunk = RATE * chunk_ms // 1000
    began = time.perf_counter()
    for at in range(0, len(floats), chunk):
        piece = floats[at : at + chunk]
        due = began + (at + len(piece)) / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await server.send(piece.tobytes())
        timeline.sent.append((time.perf_counter(), (at + len(piece)) * 1000 / RATE))


async def _read(server: ClientConnection, timeline: Timeline) -> None:
    async for payload in server:
        segments = json.loads(payload).get("segments")
        if segments:
            text = " ".join(segment["text"].strip() for segment in segments)
            until_ms = max(1000 * float(segment["end"]) for segment in segments)
            timeline.said.append(Said(time.perf_counter(), until_ms, text))
