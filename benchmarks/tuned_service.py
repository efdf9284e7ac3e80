"""The service with other engine settings than a release has: for trade-off curves.

`python -m benchmarks.tuned_service --engine '{"encoder": {"right_context_frames": 50}}'` prints the same ready line as
`tympan serve` and ends at SIGTERM. The engine runs on a thread of the gateway's process instead of in a worker, so
figures of accuracy and cost are those of the service, and latencies are only comparable among such runs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from benchmarks.serving import serve_until_signal
from inference.engine.engine import WhisperEngine
from inference.engine.settings import EngineSettings
from inference.pool.core import StepEngine
from inference.pool.interface import EngineInfo, Job, StepResult, StreamSpec
from inference.whisper.weights import load_weights
from streaming.config import load_config
from streaming.session.service import Service


class ThreadEngine:
    """Implements `inference.pool.interface.Engine` on one thread, which keeps the order of the calls."""

    generation = 1
    up = True
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


def engine_settings(text: str) -> EngineSettings:
    """Reads EngineSettings as JSON, such as {"encoder": {"right_context_frames": 50}}; what is left out is the default.

    Raises:
        argparse.ArgumentTypeError: no JSON, no such field, or a value that it does not take.
    """
    try:
        given = msgspec.json.decode(text)
        settings = msgspec.convert(given, EngineSettings)
    except msgspec.MsgspecError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if unknown := _unknown(given, msgspec.to_builtins(settings)):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return settings


def _unknown(given: dict[str, Any], known: dict[str, Any]) -> set[str]:
    found = set(given) - set(known)
    for name, value in given.items():
        if isinstance(value, dict) and name in known:
            found |= {f"{name}.{inner}" for inner in _unknown(value, known[name])}
    return found


async def serve(model: str, device: str, settings: EngineSettings) -> None:
    """Runs until SIGTERM or SIGINT."""
    engine = ThreadEngine(lambda: WhisperEngine(load_weights(model), device, settings))
    service = Service(load_config(), engine=engine)
    await serve_until_signal(service, f"model {model}, {settings}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tuned_service", description="The service with other engine settings."
    )
    parser.add_argument("--engine", type=engine_settings, default=EngineSettings())
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    asyncio.run(serve(options.model, options.device, options.engine))
    return 0


if __name__ == "__main__":
    sys.exit(main())
