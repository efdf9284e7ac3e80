"""The gateway's end of a mishap of `fake_step`'s engine, for tests: which step it befell, and when."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path


class Trap:
    """A named pipe for the models `hang-once:PATH` and `crash-once:PATH`. Made on a running event loop."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "trap"
        self.sprung = asyncio.Event()
        """Set when a step has begun to hang, or is about to crash."""
        os.mkfifo(self.path)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._fd, self.sprung.set)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
