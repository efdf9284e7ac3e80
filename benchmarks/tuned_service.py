"""The service with other encoder settings than a release has: for trade-off curves.

`python -m benchmarks.tuned_service --encoder right_context_frames=50,tail_frames=750` prints the same ready line as
`tympan serve` and ends at SIGTERM. The engine runs on a thread of the gateway's process instead of in a worker, so
figures of accuracy and cost are those of the service, and latencies are only comparable among such runs.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from inference.engine.engine import WhisperEngine
from inference.engine.settings import EngineSettings
from inference.pool.core import StepEngine
from inference.pool.interface import EngineInfo, Job, StepResult, StreamSpec
from inference.whisper.encoder import EncoderSettings
from inference.whisper.weights import load_weights
from streaming.app import AppServer, listen, make_app
from streaming.config import load_config
from streaming.session.service import Service

HOST = "127.0.0.1"


class ThreadEngine:
    """Implements `inference.pool.interface.Engine` on one thread, which keeps the order of the calls."""

    generation = 1
    failure: str | None = None
    outbound_bytes = 0

    def __init__(self, build: Callable[[], StepEngine]) -> None:
        self._build = build
        self._thread = ThreadPoolExecutor(1, "engine")
        self._engine: StepEngine

    async def start(self) -> EngineInfo:
        """Raises what `build` raises."""
        self._engine = await asyncio.get_running_loop().run_in_executor(self._thread, self._build)
        return self._engine.info

    async def wait_ready(self) -> None:
        return

    async def wait_writable(self) -> None:
        return

    def open(self, stream: str, spec: StreamSpec) -> None:
        self._thread.submit(self._engine.open, stream, spec)

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        self._thread.submit(self._engine.append, stream, utterance, first_sample, pcm)

    async def step(self, jobs: Sequence[Job]) -> StepResult:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.step, jobs)

    def discard(self, stream: str, utterance: int) -> None:
        self._thread.submit(self._engine.discard, stream, utterance)

    def close(self, stream: str) -> None:
        self._thread.submit(self._engine.close, stream)

    async def stop(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def encoder_settings(text: str) -> EncoderSettings:
    """Reads "right_context_frames=50,tail_frames=750".

    Raises:
        argparse.ArgumentTypeError: no such field, or a value that it does not take.
    """
    pairs = {name: value for name, _, value in (pair.partition("=") for pair in text.split(",")) if name}
    unknown = set(pairs) - set(EncoderSettings.__slots__)
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    try:
        return msgspec.convert(pairs, EncoderSettings, strict=False)
    except msgspec.ValidationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


async def serve(model: str, device: str, encoder: EncoderSettings) -> None:
    """Runs until SIGTERM or SIGINT."""
    settings = EngineSettings(encoder=encoder)
    engine = ThreadEngine(lambda: WhisperEngine(load_weights(model), device, settings))
    service = Service(load_config(), engine=engine)
    listener = listen(HOST, 0)
    server = AppServer(make_app(service), listener)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    info = await service.start()
    serving = asyncio.create_task(server.run())
    print(f"Tympan is ready: http://{HOST}:{server.port}/ (model {info.model}, {encoder})", flush=True)
    await ended.wait()
    await service.stop()
    server.end()
    await serving


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tuned_service", description="The service with other encoder settings."
    )
    parser.add_argument("--encoder", type=encoder_settings, default=EncoderSettings())
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    asyncio.run(serve(options.model, options.device, options.encoder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
