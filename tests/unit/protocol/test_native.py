"""One connection of the native protocol, without a socket and with times as numbers."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from streaming.protocol.codec import Codec
from streaming.protocol.errors import ErrorCode, ProtocolError
from streaming.protocol.messages import Audio, AudioFormat, Endpointing, Finalize, Marker, ModelInfo, Ready, Start, Stop
from streaming.protocol.native import NativeProtocol

pack = msgspec.msgpack.encode


def started(codec: Codec = "msgpack", **audio: Any) -> NativeProtocol:
    protocol = NativeProtocol(0.0, codec)
    start = Start(audio=AudioFormat(**audio))
    data = pack(start) if codec == "msgpack" else msgspec.json.encode(start).decode()
    assert protocol.receive(data, 0.0) == [start]
    return protocol


def refused(protocol: NativeProtocol, payload: bytes | str) -> tuple[ErrorCode, int | None]:
    with pytest.raises(ProtocolError) as caught:
        protocol.receive(payload, 0.0)
    return caught.value.code, caught.value.close_code


def test_a_session_from_start_to_stop() -> None:
    protocol = started()
    said = [Audio(first_sample=0, data=b"\x00\x00"), Marker(id="a"), Finalize(), Stop()]
    assert [message for one in said for message in protocol.receive(pack(one), 1.0)] == said
    assert protocol.state == "stopping"


@pytest.mark.parametrize("message", [Audio(first_sample=0, data=b""), Marker(id="x"), Finalize(), Stop()])
def test_start_comes_first(message: Any) -> None:
    assert refused(NativeProtocol(0.0, "msgpack"), pack(message)) == ("start_expected", 4405)


def test_raw_audio_before_start_is_refused() -> None:
    assert refused(NativeProtocol(0.0, "json"), b"\x00\x00") == ("start_expected", 4405)


def test_start_comes_once() -> None:
    assert refused(started(), pack(Start())) == ("already_started", 4405)


def test_after_stop_everything_is_ignored_unread() -> None:
    protocol = started()
    protocol.receive(pack(Stop()), 0.0)
    for late in (pack(Audio(first_sample=0, data=b"\x00\x00")), pack(Start()), b"garbage", "x" * 10_000_000):
        assert protocol.receive(late, 1.0) == []
    assert protocol.deadline is None


@pytest.mark.parametrize("codec", ["msgpack", "json"])
def test_a_message_too_large_is_refused_before_it_is_read(codec: Codec) -> None:
    protocol = NativeProtocol(0.0, codec, max_message_bytes=100)
    assert refused(protocol, b"x" * 101) == ("too_large", 1009)
    assert refused(protocol, "x" * 101) == ("too_large", 1009)
    assert refused(protocol, "é" * 51) == ("too_large", 1009)
    assert refused(protocol, "x" * 100) == ("bad_message", 4400)


@pytest.mark.parametrize(
    ("audio", "frame_bytes"),
    [
        ({}, 2),
        ({"encoding": "f32le"}, 4),
        ({"encoding": "mulaw", "channels": 2}, 2),
        ({"encoding": "f32le", "channels": 2}, 8),
    ],
)
def test_a_torn_sample_is_refused(audio: dict[str, Any], frame_bytes: int) -> None:
    protocol = started("json", **audio)
    assert len(protocol.receive(bytes(3 * frame_bytes), 0.0)) == 1
    assert refused(protocol, bytes(frame_bytes + 1)) == ("bad_audio", 4422)


def test_a_byte_of_mulaw_is_a_whole_sample() -> None:
    assert started("json", encoding="mulaw", sample_rate=8000).receive(b"\xff", 0.0) == [
        Audio(first_sample=0, data=b"\xff")
    ]


def test_raw_audio_continues_the_clock() -> None:
    protocol = started("json", channels=2)
    places = [message.first_sample for _ in range(3) for message in protocol.receive(bytes(40), 0.0)]  # type: ignore[union-attr]
    assert places == [0, 10, 20]
    protocol.receive('{"type":"audio","first_sample":100,"data":"AAAAAA=="}', 0.0)
    assert protocol.receive(bytes(4), 0.0) == [Audio(first_sample=101, data=bytes(4))]


def test_audio_sent_again_does_not_turn_the_clock_back() -> None:
    protocol = started("json")
    protocol.receive(bytes(20), 0.0)
    protocol.receive('{"type":"audio","first_sample":0,"data":"AAA="}', 0.0)
    assert protocol.receive(bytes(2), 0.0) == [Audio(first_sample=10, data=bytes(2))]


def ready_with(next_sample: int) -> Ready:
    return Ready(
        seq=1,
        session="s",
        next_sample=next_sample,
        model=ModelInfo(name="m", device="cpu", dtype="float32"),
        audio=AudioFormat(),
        interim="stable",
        endpointing=Endpointing(),
        max_message_bytes=1,
    )


def test_ready_says_where_the_clock_goes_on() -> None:
    protocol = started("json")
    assert json.loads(protocol.encode(ready_with(500)))["next_sample"] == 500
    assert protocol.receive(bytes(2), 0.0) == [Audio(first_sample=500, data=bytes(2))]


def test_raw_audio_that_came_before_ready_keeps_its_place() -> None:
    """A client need not wait for `ready`; were the clock set back, its second message would pass for the first."""
    protocol = started("json")
    assert protocol.receive(bytes(20), 0.0) == [Audio(first_sample=0, data=bytes(20))]
    protocol.encode(ready_with(0))
    assert protocol.receive(bytes(20), 0.0) == [Audio(first_sample=10, data=bytes(20))]


def test_empty_audio_is_ignored() -> None:
    assert started("json").receive(b"", 0.0) == []
    assert started().receive(pack(Audio(first_sample=10**9, data=b"")), 0.0) == []


@pytest.mark.parametrize(("channels", "labels"), [(1, ["agent", "customer"]), (2, ["agent"])])
def test_there_are_as_many_labels_as_channels(channels: int, labels: list[str]) -> None:
    start = Start(audio=AudioFormat(channels=channels, labels=labels))
    assert refused(NativeProtocol(0.0, "msgpack"), pack(start)) == ("unsupported", 4422)


def test_a_client_that_does_not_start_is_timed_out() -> None:
    protocol = NativeProtocol(5.0, start_timeout_s=10.0)
    assert protocol.deadline == 15.0
    protocol.timeout(14.9)
    with pytest.raises(ProtocolError) as caught:
        protocol.timeout(15.0)
    assert (caught.value.code, caught.value.close_code) == ("start_timeout", 4408)


def test_a_client_that_falls_silent_is_timed_out_and_any_message_counts() -> None:
    protocol = NativeProtocol(0.0, "msgpack", idle_timeout_s=60.0)
    protocol.receive(pack(Start()), 1.0)
    protocol.receive(pack(Marker(id="still here")), 50.0)
    assert protocol.deadline == 110.0
    protocol.timeout(109.9)
    with pytest.raises(ProtocolError) as caught:
        protocol.timeout(110.0)
    assert (caught.value.code, caught.value.close_code) == ("idle_timeout", 4408)


def test_a_client_that_stopped_is_never_timed_out() -> None:
    protocol = started()
    protocol.receive(pack(Stop()), 0.0)
    protocol.timeout(10**9)
