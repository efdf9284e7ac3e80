"""Waits for what nobody announces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

POLL_S = 0.02
TIMEOUT_S = 30.0


async def eventually(condition: Callable[[], Coroutine[Any, Any, bool]], timeout_s: float = TIMEOUT_S) -> None:
    """Returns when it is true. Raises TimeoutError where that takes too long."""
    async with asyncio.timeout(timeout_s):
        while True:
            if await condition():
                return
            await asyncio.sleep(POLL_S)
