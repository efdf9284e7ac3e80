"""Group commit: calls that come together, or while others are on their way, go to the server in one write."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from redis.exceptions import NoScriptError, RedisError, ResponseError

from session_store.scripts import Script
from session_store.store import StoreUnavailable

MAX_BATCH_BYTES = 8 << 20
MAX_BATCH_CALLS = 512

Argument = bytes | str | int


@dataclass(frozen=True, slots=True)
class Call:
    """A script on keys of one slot."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument]
    with_source: bool = False
    """The server does not know the script yet."""

    @property
    def size_bytes(self) -> int:
        return sum(len(argument) for argument in self.arguments if isinstance(argument, bytes | str))

    @property
    def command(self) -> tuple[Argument, ...]:
        script = ("EVAL", self.script.source) if self.with_source else ("EVALSHA", self.script.sha)
        return (*script, len(self.keys), *self.keys, *self.arguments)


class Wire(Protocol):
    """A way to the server or servers. What it raises: RedisError, OSError, TimeoutError."""

    async def send(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        """A reply, or the exception of that command alone, for each. Cancelled, it drops the connection."""

    async def block(self, key: str, command: tuple[Argument, ...]) -> Any:
        """A command on that key whose reply may take long; on a connection of its own."""

    async def aclose(self) -> None: ...


@dataclass(slots=True)
class _Waiting:
    call: Call
    future: asyncio.Future[Any]
    since_s: float


class Batcher:
    """Calls in the order in which they came, one batch on its way at a time.

    Args:
        timeout_s: no call takes longer, whatever the server does.
    """

    def __init__(self, wire: Wire, timeout_s: float) -> None:
        self._wire = wire
        self._timeout_s = timeout_s
        self._waiting: deque[_Waiting] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    async def call(self, call: Call) -> Any:
        """The script's answer. Raises StoreUnavailable."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(call, loop.create_future(), loop.time())
        self._waiting.append(waiting)
        if self._sender is None:
            self._sender = loop.create_task(self._send_all(), name="the store's writes")
        return await waiting.future

    async def aclose(self) -> None:
        """Waits for what is on its way. Further calls are refused."""
        self._closed = True
        if self._sender is not None:
            await asyncio.wait([self._sender])

    async def _send_all(self) -> None:
        batch: list[_Waiting] = []
        try:
            while batch := self._next_batch():
                try:
                    async with asyncio.timeout_at(batch[0].since_s + self._timeout_s):
                        replies = await self._replies([waiting.call for waiting in batch])
                except (RedisError, OSError, TimeoutError) as error:
                    # Those behind would only wait for their own timeouts, one batch after the other.
                    batch += self._waiting
                    self._waiting.clear()
                    replies = [error] * len(batch)
                for waiting, reply in zip(batch, replies, strict=True):
                    _settle(waiting.future, reply)
        finally:
            self._sender = None
            for waiting in (*batch, *self._waiting):
                _settle(waiting.future, StoreUnavailable("the write was given up"))
            self._waiting.clear()

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size_bytes = 0
        while self._waiting and len(batch) < MAX_BATCH_CALLS:
            size_bytes += self._waiting[0].call.size_bytes
            if batch and size_bytes > MAX_BATCH_BYTES:
                break
            waiting = self._waiting.popleft()
            if not waiting.future.done():  # its caller went away
                batch.append(waiting)
        return batch

    async def _replies(self, calls: list[Call]) -> list[Any]:
        replies = await self._wire.send([call.command for call in calls])
        unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = [replace(calls[index], with_source=True).command for index in unknown]
            for index, reply in zip(unknown, await self._wire.send(again), strict=True):
                replies[index] = reply
        return replies


def unavailable(error: BaseException) -> StoreUnavailable:
    """In a few words, without what a server or a library may have put into its message."""
    if isinstance(error, StoreUnavailable):
        return error
    if isinstance(error, TimeoutError):
        return StoreUnavailable("Redis did not answer in time")
    if isinstance(error, ResponseError):
        return StoreUnavailable(f"Redis refused: {_code(error)}")
    return StoreUnavailable(f"Redis cannot be reached: {type(error).__name__}")


def _code(error: ResponseError) -> str:
    """The word that a server's error begins with, as OOM or READONLY."""
    code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    return code if code.isalpha() and code.isupper() else "ERR"


def _settle(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(unavailable(reply))
    else:
        future.set_result(reply)
