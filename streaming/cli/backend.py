"""Where a command's audio goes: to a server, or to the service inside this process. Both give the client's events.

The order of calls: enter the backend once; then `stream` once for each source, one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Protocol

import msgspec
from tympan_client import ErrorEvent, Event, SessionOptions, TympanClient, TympanError
from tympan_client.events import parse_event
from tympan_client.protocol import ClientProtocol

from inference.pool.interface import EngineStartError
from streaming.cli.errors import UserError
from streaming.config import Config, ConfigError, load_config
from streaming.protocol.codec import decode_client
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Audio, Start, Stop
from streaming.session.runner import SessionRunner
from streaming.session.service import Service


class Backend(Protocol):
    def stream(self, source: AsyncGenerator[bytes, None], options: SessionOptions) -> AsyncGenerator[Event, None]:
        """Sends the source, then `stop`, while yielding the events up to the summary.

        Raises:
            TympanError: the session failed. What the source raises comes out as it is.
        """


def add_engine_flags(parser: argparse.ArgumentParser, device_flag: str) -> None:
    """`--server`, or the engine's flags for a service in this process."""
    parser.add_argument("--server", metavar="URL", help="use this server; default: the engine runs in this process")
    parser.add_argument("--model", help="without --server: see `tympan models`")
    parser.add_argument(
        device_flag, dest="engine_device", metavar="DEVICE", help="without --server: auto, cpu, cuda, cuda:1 ..."
    )


def engine_config(args: argparse.Namespace) -> Config:
    """Raises UserError for settings, from the environment or flags, that cannot be used."""
    try:
        return load_config(flags={"engine.model": args.model, "engine.device": args.engine_device})
    except ConfigError as error:
        raise UserError(str(error)) from None


def open_backend(server: str | None, config: Config, *, live: bool = False) -> AbstractAsyncContextManager[Backend]:
    """A server's, or, where None is named, one in this process with `config`. Raises UserError.

    A `live` source does not wait while the server is away: what is too old then is given up.
    """
    return in_place(Service(config)) if server is None else _server(server, live)


async def paced(chunks: AsyncIterator[bytes], bytes_per_second: int) -> AsyncGenerator[bytes, None]:
    """The chunks, each when it would have been spoken to its end."""
    begin, sent = time.monotonic(), 0
    async for chunk in chunks:
        sent += len(chunk)
        await asyncio.sleep(max(0.0, begin + sent / bytes_per_second - time.monotonic()))
        yield chunk


class _ServerBackend:
    def __init__(self, client: TympanClient) -> None:
        self._client = client

    async def stream(self, source: AsyncGenerator[bytes, None], options: SessionOptions) -> AsyncGenerator[Event, None]:
        given = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
        async with aclosing(self._client.stream(source, **given)) as events:
            async for event in events:
                yield event


@asynccontextmanager
async def _server(address: str, live: bool) -> AsyncIterator[Backend]:
    try:
        yield _ServerBackend(TympanClient(address, on_overflow="drop" if live else "wait"))
    except TympanError as error:
        raise UserError(str(error)) from error


class _InPlaceBackend:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def stream(self, source: AsyncGenerator[bytes, None], options: SessionOptions) -> AsyncGenerator[Event, None]:
        try:
            start = decode_client("msgpack", ClientProtocol(options).start())
            assert isinstance(start, Start)
            runner = await self._service.new_session(start)
        except ProtocolError as error:
            raise parse_error(error) from None
        failures: list[Exception] = []
        feeder = asyncio.create_task(_feed(runner, source, options.audio.bytes_per_frame, failures))
        try:
            async for message in runner.events():
                event = parse_event(msgspec.to_builtins(message))
                if isinstance(event, ErrorEvent) and event.fatal:
                    raise event.as_exception()
                yield event
            if failures:
                raise failures[0]
        finally:
            feeder.cancel()
            await asyncio.gather(feeder, return_exceptions=True)
            await runner.close()


def parse_error(error: ProtocolError) -> TympanError:
    """The exception that a client of a server would have got."""
    event = parse_event(msgspec.to_builtins(error.as_message()))
    assert isinstance(event, ErrorEvent)
    return event.as_exception()


async def _feed(
    runner: SessionRunner, source: AsyncGenerator[bytes, None], bytes_per_frame: int, failures: list[Exception]
) -> None:
    """What goes wrong in the source ends the session and goes into `failures`."""
    next_sample = 0
    try:
        async with aclosing(source):
            async for data in source:
                await runner.feed(Audio(first_sample=next_sample, data=data))
                next_sample += len(data) // bytes_per_frame
        await runner.feed(Stop())
    except Exception as error:  # noqa: BLE001 - whoever reads the events raises it
        failures.append(error)
        await runner.close()


@asynccontextmanager
async def in_place(service: Service) -> AsyncIterator[Backend]:
    """Starts the service and stops it again. Raises UserError where its engine does not start."""
    try:
        await service.start()
        yield _InPlaceBackend(service)
    except EngineStartError as error:
        raise UserError(str(error)) from None
    finally:
        await service.stop()
