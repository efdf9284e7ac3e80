"""How clips are sent: against a scripted service on a loopback port that notes what it is told."""

import numpy as np
import pytest

from benchmarks.accuracy.clips import Clip
from benchmarks.accuracy.stream import StreamError, StreamSettings, stream_clip
from streaming.protocol.messages import (
    Audio,
    ClientMessage,
    Error,
    Marker,
    ServerMessage,
    Stop,
)
from tests.support.scripted_service import CLIP, RATE, SAMPLES, SUMMARY, good_answers, service


async def test_in_lock_step_each_half_second_waits_for_its_marker() -> None:
    """8 kHz is resampled, so the markers stand 20 ms behind the grid: the service then has the whole block."""
    async with service() as scripted:
        exchange = await stream_clip(CLIP, StreamSettings(scripted.url), "lock_step")
    sent = 0
    markers_at_ms = []
    for message in scripted.heard:
        sent += len(message.data) // 2 if isinstance(message, Audio) else 0
        if isinstance(message, Marker):
            markers_at_ms.append(sent * 1000 // RATE)
    assert markers_at_ms == [520, 1020]
    assert exchange.summary == SUMMARY


async def test_every_sample_is_sent_once_and_in_order() -> None:
    async with service() as scripted:
        await stream_clip(CLIP, StreamSettings(scripted.url, chunk_ms=33), "at_once")
    assert b"".join(message.data for message in scripted.audio) == SAMPLES.astype("<i2").tobytes()
    ends = np.cumsum([len(message.data) // 2 for message in scripted.audio])
    assert [message.first_sample for message in scripted.audio] == [0, *ends[:-1]]


async def test_chunks_of_zero_ms_are_as_large_as_the_service_takes() -> None:
    async with service() as scripted:
        await stream_clip(CLIP, StreamSettings(scripted.url, chunk_ms=0), "at_once")
    assert len(scripted.audio) == 1


async def test_in_real_time_no_chunk_is_sent_before_it_was_spoken() -> None:
    """Every chunk goes out once its last sample's time has come; 1.5 s of silence follow the clip."""
    short = Clip(CLIP.row, SAMPLES[: RATE // 10], 8_000)
    async with service() as scripted:
        exchange = await stream_clip(short, StreamSettings(scripted.url), "real_time")
    begin_s = exchange.received[0].at_s
    assert all(sent.at_s - begin_s >= sent.until_ms / 1000 - 1e-3 for sent in exchange.sent)
    assert exchange.sent[-1].until_ms == 1600


async def test_an_error_message_ends_the_clip_with_its_code() -> None:
    def refuse(message: ClientMessage) -> list[ServerMessage]:
        return [Error(code="overloaded", message="too many sessions")]

    async with service(refuse) as scripted:
        with pytest.raises(StreamError, match=r"a\.wav: overloaded: too many sessions"):
            await stream_clip(CLIP, StreamSettings(scripted.url), "lock_step")


async def test_a_session_that_breaks_off_is_an_error() -> None:
    def forget_the_summary(message: ClientMessage) -> list[ServerMessage]:
        return [] if isinstance(message, Stop) else good_answers(message)

    async with service(forget_the_summary) as scripted:
        with pytest.raises(StreamError, match="without a summary"):
            await stream_clip(CLIP, StreamSettings(scripted.url), "at_once")


async def test_an_answer_that_never_comes_is_an_error() -> None:
    def say_nothing(message: ClientMessage) -> list[ServerMessage]:
        return []

    async with service(say_nothing) as scripted:
        with pytest.raises(StreamError, match=r"a\.wav: no answer within 0.05 s"):
            await stream_clip(CLIP, StreamSettings(scripted.url, patience_s=0.05), "at_once")
