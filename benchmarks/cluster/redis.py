"""A Redis as the deployment runs it, on a port of its own, with its data in a folder."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

from benchmarks.cluster.process import HOST, Process, ProcessError, free_port

START_S = 30.0
PERSISTENCE = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
"""As in deploy/redis.conf."""


class RedisProcess(Process):
    """Order of calls: `start`; `kill`, `start` again with what it had on disk or, after `forget`, without."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "redis.log")
        self.port = free_port()
        self._data = folder / "data"

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    async def start(self) -> None:
        """Returns when it answers. Raises ProcessError."""
        binary = shutil.which("redis-server")
        if binary is None:
            raise ProcessError("no Redis is installed: apt-get install redis-server")
        self._data.mkdir(parents=True, exist_ok=True)
        place = ("--port", str(self.port), "--bind", HOST, "--dir", str(self._data))
        await self.launch([binary, *place, *PERSISTENCE], {}, self.answers, START_S)

    def forget(self) -> None:
        """While it is down: the next `start` finds nothing."""
        shutil.rmtree(self._data)

    async def answers(self) -> bool:
        try:
            async with asyncio.timeout(1.0):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                try:
                    writer.write(b"PING\r\n")
                    return (await reader.readline()).startswith(b"+PONG")
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError):
            return False

    def freeze(self) -> None:
        """It takes connections and bytes, and answers nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)
