"""Frames between gateway and worker: what goes in comes out, and what is no frame is refused."""

from __future__ import annotations

import asyncio
import socket

import pytest

from inference.pool.interface import (
    EngineInfo,
    Hypothesis,
    HypothesisWord,
    Job,
    JobError,
    StepResult,
    StepStats,
    StreamSpec,
)
from inference.pool.wire import (
    APPEND_BYTES,
    HEADER,
    MAX_FRAME_BYTES,
    Append,
    CloseStream,
    Command,
    Discard,
    Failed,
    FrameCodec,
    FrameError,
    Open,
    Ping,
    Pong,
    Reply,
    Started,
    Step,
    StepDone,
    Stop,
)

WORD = HypothesisWord("hello", 0, 6400, 0.5, (1, 2), glued=True)
COMMANDS: list[Command] = [
    Open("a", StreamSpec(language="de", task="translate")),
    Append("a", 3, 16_000, bytes(range(256))),
    Step(9, (Job("a", 3, 1, "interim", 0, 8000, prefix=(5, 6)),)),
    Discard("a", 3),
    CloseStream("a"),
    Ping(1),
    Stop(),
]
REPLIES: list[Reply] = [
    Started(EngineInfo("m", "cpu", "bf16", 4, ("en", "de"))),
    StepDone(
        9,
        StepResult(
            (Hypothesis("a", 3, 1, True, 8000, (WORD,)),),
            (JobError("b", 0, 1, "missing_audio", "gone"),),
            StepStats(jobs=2, encoder_frames=25, seconds=0.5),
        ),
    ),
    Failed("no"),
    Pong(1, 0.25),
]


def fed(*pieces: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    for piece in pieces:
        reader.feed_data(piece)
    reader.feed_eof()
    return reader


@pytest.mark.parametrize("command", COMMANDS, ids=lambda record: type(record).__name__)
def test_a_command_survives_a_blocking_socket(command: Command) -> None:
    here, there = socket.socketpair()
    with here, there:
        frame = FrameCodec().encode(command)
        here.sendall(frame)
        assert FrameCodec().receive_command(there) == (command, len(frame))


@pytest.mark.parametrize("reply", REPLIES, ids=lambda record: type(record).__name__)
async def test_a_reply_survives_a_stream_that_is_cut_anywhere(reply: Reply) -> None:
    frame = bytes(FrameCodec().encode(reply))
    reader = fed(*(frame[i : i + 1] for i in range(len(frame))))
    assert await FrameCodec().read_reply(reader) == reply
    assert await FrameCodec().read_reply(reader) is None


def test_the_longest_append_fits_into_a_frame() -> None:
    frame = FrameCodec().encode(Append("s" * 64, 1, 0, bytes(APPEND_BYTES)))
    assert len(frame) < MAX_FRAME_BYTES


def test_a_record_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(FrameError, match="at most 100 are allowed"):
        FrameCodec(max_frame_bytes=100).encode(Append("a", 1, 0, bytes(100)))


async def test_a_header_that_announces_too_much_is_refused_before_the_body_is_awaited() -> None:
    with pytest.raises(FrameError, match="at most"):
        await FrameCodec().read_reply(fed(HEADER.pack(MAX_FRAME_BYTES + 1)))


@pytest.mark.parametrize("cut", [1, 3, 4, 10])
async def test_a_stream_that_ends_within_a_frame_is_an_error_and_not_an_end(cut: int) -> None:
    frame = bytes(FrameCodec().encode(Failed("a sentence")))
    with pytest.raises(FrameError, match="ends within a frame"):
        await FrameCodec().read_reply(fed(frame[:cut]))
    here, there = socket.socketpair()
    with here, there:
        here.sendall(frame[:cut])
        here.close()
        with pytest.raises(FrameError, match="ends within a frame"):
            FrameCodec().receive_command(there)


def test_a_closed_socket_is_the_end() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.close()
        assert FrameCodec().receive_command(there) is None


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80", b"\x81\xa4type\xa3Foo"])
def test_a_body_that_is_no_record_is_refused(body: bytes) -> None:
    codec = FrameCodec()
    for decode in (codec.decode_command, codec.decode_reply):
        with pytest.raises(FrameError, match="not a record"):
            decode(body)
