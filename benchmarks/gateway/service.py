"""The service with a scripted engine: everything but the model. Prints the ready line of `tympan serve`."""

from __future__ import annotations

import argparse
import asyncio
import sys

import numpy as np
from numpy.typing import NDArray

from benchmarks.serving import serve_until_signal
from inference.pool.fake import FakeEngine
from streaming.config import Config, ServerSettings, StoreSettings
from streaming.session.service import Service
from vad import SpeechDetector, make_detector


class NoDetector:
    """Hears nothing, and costs nothing."""

    frame_samples = 512

    def probability(self, frame: NDArray[np.int16]) -> float:
        return 0.0

    def reset(self) -> None:
        """It has no state."""

    def state(self) -> bytes:
        return b""

    def restore(self, state: bytes, recent: NDArray[np.int16]) -> None:
        """It has no state."""


async def serve(detector: str, max_sessions: int, store: StoreSettings) -> None:
    """Runs until SIGTERM or SIGINT."""

    def make(name: object) -> SpeechDetector:
        return NoDetector() if detector == "none" else make_detector("cascade")

    config = Config(server=ServerSettings(max_sessions=max_sessions, log_level="warning"), store=store)
    service = Service(config, engine=FakeEngine(), make_detector=make)
    await serve_until_signal(service, f"detector {detector}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway.service", description=__doc__)
    parser.add_argument("--detector", choices=("none", "cascade"), default="cascade")
    parser.add_argument("--max-sessions", type=int, default=2000)
    parser.add_argument("--store-url", help="of a Redis; without it sessions are kept in memory")
    options = parser.parse_args()
    store = StoreSettings("redis", options.store_url) if options.store_url else StoreSettings()
    asyncio.run(serve(options.detector, options.max_sessions, store))
    return 0


if __name__ == "__main__":
    sys.exit(main())
