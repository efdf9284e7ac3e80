"""A session's way to the server: one connection after the other, until the session is over."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tympan_client.connection import abort, answers, close, open_socket
from tympan_client.errors import ConnectionLost, TympanError
from tympan_client.events import Ack, Answer, Event, GoAway, Ready, Reconnected, Reconnecting
from tympan_client.options import ConnectionOptions
from tympan_client.protocol import ClientProtocol
from tympan_client.reconnect import ReconnectPolicy, closed, leave_after_s

OPEN_TIMEOUT_S = 10.0
RESUME_OPEN_TIMEOUT_S = 5.0
"""Shorter: another attempt may reach another gateway."""
READY_TIMEOUT_S = 10.0
"""To resume a session the server reads it from its store."""
MAX_EVENTS = 1024
"""Events that wait for their reader. When so many do, the connection is not read, which stops the server's sending."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What reconnecting waits with."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


class Link:
    """Sends what the protocol has to send, collects its events, and connects again after a loss.

    The order of calls: `start`, once; `changed` after the protocol was given something; `next_event` until it gives
    None; `close`.
    """

    def __init__(self, url: str, protocol: ClientProtocol, options: ConnectionOptions, clock: Clock) -> None:
        self.outcome: Exception | None = None
        """Why the session ended, if not with its summary; the first error wins."""
        self.ended = False
        self.on_answer: Callable[[Answer], None] = lambda answer: None
        """Called with each piece of an answer, before it waits among the events."""
        self._url = url
        self._protocol = protocol
        self._options = options
        self._clock = clock
        self._connecting = ReconnectPolicy(options.connect_window_s, clock.chance)
        self._resuming = ReconnectPolicy(options.resume_window_s, clock.chance)
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._heard = 0  # messages
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def fail(self, error: Exception) -> None:
        """Ends the session with this error."""
        self.outcome = self.outcome or error
        if self._running:
            self._running.cancel()

    async def next_event(self) -> Event | None:
        """None: the session is over, see `outcome`."""
        await self.until(lambda: self.ended or bool(self._events))
        if not self._events:
            return None
        event = self._events.popleft()
        self.changed()
        return event

    def changed(self) -> None:
        """Wakes all who wait in `until`."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    async def _run(self) -> None:
        """Holds one connection after the other until the session is over."""
        try:
            while self._protocol.state != "finished":
                try:
                    await self._converse()
                except TympanError as error:
                    await self._wait_after(error)
        except Exception as error:  # noqa: BLE001 - whoever reads the events raises it
            self.outcome = self.outcome or error
        finally:
            self.ended = True
            self.changed()

    async def _wait_after(self, error: TympanError) -> None:
        """Until the next attempt. Raises the error where there is none."""
        opened = self._protocol.ready is not None
        self._protocol.lost()
        self.changed()
        await self._say_broken_answers()
        if opened and not (self._options.reconnect and self._protocol.can_resume):
            raise error
        policy = self._resuming if opened else self._connecting
        delay_s = policy.delay_s(error, self._clock.now())
        if delay_s is None:
            raise error
        if opened:
            await self._say(Reconnecting(reason=error.code, attempt=self._protocol.attempts, delay_s=delay_s))
        await self._clock.sleep(delay_s)

    async def _converse(self) -> None:
        """One connection, until the session is over. Raises TympanError: why the connection ended before."""
        opened = self._protocol.ready is not None
        timeout_s = RESUME_OPEN_TIMEOUT_S if opened else OPEN_TIMEOUT_S
        async with open_socket(self._url, self._protocol.codec, timeout_s, self._options.api_key) as socket:
            tasks = [asyncio.create_task(self._write(socket)), asyncio.create_task(self._watch(socket))]
            try:
                await self._read(socket, tasks, READY_TIMEOUT_S if opened else None)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, socket: ClientConnection, tasks: list[asyncio.Task[None]], timeout_s: float | None) -> None:
        leaving = False
        try:
            async with asyncio.timeout(timeout_s) as timer:
                async for payload in socket:
                    self._heard += 1
                    event = self._protocol.receive(payload)
                    self.changed()
                    if isinstance(event, Ready | Reconnected):
                        timer.reschedule(None)
                        self._resuming.connected(self._clock.now())
                    if isinstance(event, Ack):
                        self._resuming.acknowledged()
                    if isinstance(event, GoAway) and self._options.reconnect and self._protocol.can_resume:
                        if not leaving:
                            tasks.append(asyncio.create_task(self._leave(socket, event)))
                        leaving = True
                    await self._say_broken_answers()
                    if event is not None:
                        await self._say(event)
                    if self._protocol.state == "finished":
                        return
        except ConnectionClosed:
            pass
        except TimeoutError:
            raise ConnectionLost("the server did not answer in time") from None
        if leaving:
            raise TympanError("goaway", "the server is about to stop", retryable=True)
        raise closed(socket.close_code, socket.close_reason)

    async def _write(self, socket: ClientConnection) -> None:
        try:
            await socket.send(self._protocol.start())
            while True:
                await self.until(lambda: self._protocol.state in ("streaming", "stopping"))
                while (payload := self._protocol.next_payload()) is not None:
                    await socket.send(payload)
                    self.changed()  # what was sent may make room
                await self._changed.wait()
        except ConnectionClosed:
            pass  # the reader tells why
        except Exception as error:  # noqa: BLE001 - whoever reads the events raises it
            self.fail(error)

    async def _watch(self, socket: ClientConnection) -> None:
        """Cuts a connection whose peer is gone: neither a message nor the answer to a ping comes."""
        try:
            while True:
                heard = self._heard
                await asyncio.sleep(self._options.heartbeat_s)
                if await answers(socket, self._options.heartbeat_s):
                    continue
                if self._heard == heard and len(self._events) < MAX_EVENTS:
                    abort(socket)
        except ConnectionClosed:
            pass

    async def _leave(self, socket: ClientConnection, event: GoAway) -> None:
        """Before the server closes the connection, and not at the same moment as all its other clients."""
        await self._clock.sleep(leave_after_s(event.deadline_ms, self._clock.chance()))
        await close(socket)

    async def _say_broken_answers(self) -> None:
        for answer in self._protocol.asks.take_broken():
            await self._say(answer)

    async def _say(self, event: Event) -> None:
        if isinstance(event, Answer):
            self.on_answer(event)
            self.changed()
        await self.until(lambda: len(self._events) < MAX_EVENTS)
        self._events.append(event)
        self.changed()
