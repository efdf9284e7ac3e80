"""The sources of `tympan listen`, and how it ends."""

import argparse
import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from streaming.cli import listen
from streaming.cli.errors import UserError
from streaming.cli.live import FLOOR_DB, LiveCaptions

CLIPS = Path(__file__).parents[2] / "data"


def parsed(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    listen.add_parser(parser.add_subparsers())
    return parser.parse_args(["listen", *map(str, arguments)])


class Source:
    """Gives its chunks, then is silent for ever, as a microphone can be."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks
        self.silent = asyncio.Event()
        self.closed = False

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            for chunk in self._chunks:
                yield chunk
            self.silent.set()
            await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_ctrl_c_ends_a_source_even_while_it_is_silent() -> None:
    source, ended = Source(b"a", b"b"), asyncio.Event()

    async def collect() -> list[bytes]:
        return [chunk async for chunk in listen.until_ended(source.chunks(), ended)]

    collecting = asyncio.create_task(collect())
    async with asyncio.timeout(5):
        await source.silent.wait()
        ended.set()
        assert await collecting == [b"a", b"b"]
    assert source.closed


async def test_a_source_that_is_over_ends_without_ctrl_c() -> None:
    async def two() -> AsyncGenerator[bytes, None]:
        yield b"a"
        yield b"b"

    async with asyncio.timeout(5):
        assert [chunk async for chunk in listen.until_ended(two(), asyncio.Event())] == [b"a", b"b"]


async def test_the_meter_shows_the_chunk_that_was_just_heard() -> None:
    async def loud() -> AsyncGenerator[bytes, None]:
        yield b"\x00\x40" * 100

    captions = LiveCaptions("microphone")
    assert captions.level == FLOOR_DB
    assert [len(chunk) async for chunk in listen.metered(loud(), captions)] == [200]
    assert captions.level == pytest.approx(-6.02, abs=0.01)


def test_a_file_that_is_not_there_is_told_before_a_model_is_loaded() -> None:
    with pytest.raises(UserError, match="there is no such file"):
        listen.run(parsed("--file", "nowhere.wav"))


def test_a_wrong_address_is_told() -> None:
    with pytest.raises(UserError, match="is not an address"):
        listen.run(parsed("--file", CLIPS / "question.flac", "--server", "ftp://nowhere"))
