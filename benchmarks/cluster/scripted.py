"""A gateway whose worker process has no model, but is a process all the same. Prints the ready line of `tympan serve`.

Each half second of an utterance becomes a word that is the checksum of its samples, so that finals are right only if
every sample came, once and in its place. Settings come from the environment.
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.serving import serve_until_signal
from inference.pool.local import LocalPool
from inference.pool.process import WorkerSettings
from streaming.config import load_config
from streaming.observability.logs import set_up_logs
from streaming.session.service import Service


def main() -> int:
    config = load_config()
    set_up_logs(config.server.log_level)
    pool = LocalPool(WorkerSettings(model="fake", device="cpu", engine="fake"))
    service = Service(config, engine=pool)
    asyncio.run(serve_until_signal(service, "no model", port=config.server.port, drain=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
