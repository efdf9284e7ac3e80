"""`tympan listen`: live captions from the microphone, or from a file played at its own speed.

On a terminal: settled text bright, tentative text dim, a level meter and how far the captions are behind. Elsewhere:
words as they become stable. Ctrl-C ends it after the last words.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from tympan_client import AudioFormat, Endpointing, Event, SessionOptions, TympanError

from streaming.cli.backend import add_engine_flags, engine_config, open_backend, paced
from streaming.cli.calls import add_redact_flag, parse_redact
from streaming.cli.errors import UserError
from streaming.cli.live import LiveCaptions, PlainCaptions, level_db
from streaming.cli.media import MediaFile
from streaming.cli.microphone import choose_rate, input_devices, record
from streaming.cli.tasks import add_task_flag, parse_tasks

FRAMES_PER_SECOND = 12


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "listen", help="live captions from the microphone", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--device", metavar="NAME", help="microphone: a number or a part of its name")
    parser.add_argument("--list-devices", action="store_true", help="say which microphones there are, and end")
    parser.add_argument("--file", type=Path, help="a file in the microphone's place, at its own speed")
    parser.add_argument("--language", metavar="CODE", help="ISO 639-1, for multilingual models; default: detect it")
    add_task_flag(parser)
    add_redact_flag(parser)
    parser.add_argument("--min-silence-ms", type=int, metavar="MS", help="silence that ends an utterance")
    parser.add_argument("--append-only", action="store_true", help="show only words that will never change")
    add_engine_flags(parser, "--engine-device")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Raises UserError."""
    if args.list_devices:
        print("\n".join(input_devices()) or "no microphone was found")
        return 0
    try:
        asyncio.run(listen(args, Console()))
    except TympanError as error:
        raise UserError(str(error)) from error
    return 0


async def listen(args: argparse.Namespace, console: Console) -> bool:
    """Shows captions until the source is over, or until Ctrl-C: then True is returned."""
    name, audio, source = _source(args)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, ended.set)
    options = SessionOptions(
        audio=audio,
        language=args.language,
        task=parse_tasks(args.task),
        interim="append_only" if args.append_only else "stable",
        endpointing=Endpointing(min_silence_ms=args.min_silence_ms),
        redact=parse_redact(args.redact),
    )
    captions = LiveCaptions(name)
    shown = on_terminal(captions, console) if console.is_terminal else in_pipe(PlainCaptions())
    async with open_backend(args.server, engine_config(args), live=args.file is None) as backend:
        heard = metered(until_ended(source, ended), captions)
        with shown as show:
            async with aclosing(backend.stream(heard, options)) as events:
                async for event in events:
                    show(event)
    return ended.is_set()


@contextmanager
def on_terminal(captions: LiveCaptions, console: Console) -> Iterator[Callable[[Event], None]]:
    """What is open stands at the bottom and is drawn again and again; finals scroll away above it."""
    with Live(console=console, refresh_per_second=FRAMES_PER_SECOND, get_renderable=captions.render) as live:

        def show(event: Event) -> None:
            lines = captions.receive(event)
            if lines:
                live.refresh()  # takes them out of the live part before they stand above it
                console.print(*lines, sep="\n")

        yield show


@contextmanager
def in_pipe(captions: PlainCaptions) -> Iterator[Callable[[Event], None]]:
    yield lambda event: print(captions.receive(event), end="", flush=True)


def _source(args: argparse.Namespace) -> tuple[str, AudioFormat, AsyncGenerator[bytes, None]]:
    """Its name, its format and its chunks. Raises UserError."""
    if args.file is not None:
        media = MediaFile.open(args.file)
        return args.file.name, media.audio, paced(_read(media), media.audio.bytes_per_frame * media.audio.sample_rate)
    device = int(args.device) if args.device and args.device.isdigit() else args.device
    rate = choose_rate(device)
    return "microphone", AudioFormat(sample_rate=rate), record(device, rate)


async def _read(media: MediaFile) -> AsyncIterator[bytes]:
    for chunk in media.chunks():
        yield chunk


async def until_ended(source: AsyncGenerator[bytes, None], ended: asyncio.Event) -> AsyncGenerator[bytes, None]:
    """The source's chunks until it is over or `ended` is set, even while it is silent."""
    stop = asyncio.ensure_future(ended.wait())
    try:
        while True:
            chunk = asyncio.ensure_future(anext(source))
            await asyncio.wait({chunk, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not chunk.done():
                chunk.cancel()
                await asyncio.gather(chunk, return_exceptions=True)
                return
            try:
                yield chunk.result()
            except StopAsyncIteration:
                return
    finally:
        stop.cancel()
        await source.aclose()


async def metered(source: AsyncGenerator[bytes, None], captions: LiveCaptions) -> AsyncGenerator[bytes, None]:
    async with aclosing(source):
        async for chunk in source:
            captions.level = level_db(chunk)
            yield chunk
