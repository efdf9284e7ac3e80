"""The client's protocol core: what it sends is what the server accepts, and its clock and states."""

import msgspec
import pytest
from tympan_client import AudioFormat, Endpointing, SessionOptions, TympanError
from tympan_client.protocol import ClientProtocol

from streaming.protocol import messages
from streaming.protocol.codec import decode_client

READY = messages.Ready(
    seq=1,
    session="s",
    model=messages.ModelInfo(name="tiny.en", device="cpu", dtype="float32"),
    audio=messages.AudioFormat(),
    interim="stable",
    endpointing=messages.Endpointing(),
    max_message_bytes=1 << 20,
)
CODECS = ["msgpack", "json"]


def server_says(codec: str, message: messages.ServerMessage) -> bytes | str:
    return msgspec.msgpack.encode(message) if codec == "msgpack" else msgspec.json.encode(message).decode()


def open_protocol(codec: str = "msgpack", *, ready: messages.Ready = READY, **options: object) -> ClientProtocol:
    unacknowledged_s = options.pop("unacknowledged_s", 30.0)
    protocol = ClientProtocol(SessionOptions(**options), codec, unacknowledged_s=unacknowledged_s)
    protocol.start()
    protocol.receive(server_says(codec, ready))
    return protocol


@pytest.mark.parametrize("codec", CODECS)
def test_the_server_accepts_every_client_message(codec: str) -> None:
    options = SessionOptions(
        audio=AudioFormat(encoding="mulaw", sample_rate=8000, channels=2, labels=("agent", "customer")),
        language="en",
        interim="append_only",
        endpointing=Endpointing(min_silence_ms=500, detector="webrtc"),
        events=False,
    )
    protocol = ClientProtocol(options, codec)
    start = decode_client(codec, protocol.start())
    assert start == messages.Start(
        audio=messages.AudioFormat(encoding="mulaw", sample_rate=8000, channels=2, labels=["agent", "customer"]),
        task=messages.Task(language="en"),
        interim="append_only",
        endpointing=messages.Endpointing(min_silence_ms=500, detector="webrtc"),
        events=False,
    )
    protocol.receive(server_says(codec, READY))
    assert decode_client(codec, protocol.marker("m")) == messages.Marker(id="m")
    assert decode_client(codec, protocol.finalize()) == messages.Finalize()
    assert decode_client(codec, protocol.configure(interim="off")) == messages.Configure(interim="off")
    assert decode_client(codec, protocol.stop()) == messages.Stop()


@pytest.mark.parametrize("codec", CODECS)
def test_defaults_are_left_to_the_server(codec: str) -> None:
    assert decode_client(codec, ClientProtocol(SessionOptions(), codec).start()) == messages.Start()


def test_audio_is_placed_on_the_sample_clock() -> None:
    protocol = open_protocol(audio=AudioFormat(channels=2))
    sent = [decode_client("msgpack", protocol.audio(data)) for data in (bytes(8), bytes(12))]
    assert sent == [messages.Audio(first_sample=0, data=bytes(8)), messages.Audio(first_sample=2, data=bytes(12))]
    assert protocol.next_sample == 5


def test_in_json_mode_audio_goes_as_binary_messages_that_continue_the_clock() -> None:
    assert open_protocol("json").audio(b"\1\0") == b"\1\0"


def test_long_audio_is_cut_to_what_the_server_takes_and_nothing_is_lost() -> None:
    protocol = open_protocol(ready=msgspec.structs.replace(READY, max_message_bytes=1000))
    data = bytes(range(256)) * 20
    pieces = list(protocol.slices(data))
    assert b"".join(pieces) == data
    assert all(len(protocol.audio(piece)) <= 1000 for piece in pieces)


def test_half_a_sample_is_refused_before_it_is_sent() -> None:
    with pytest.raises(TympanError, match="bad_audio"):
        list(open_protocol().slices(b"\0\0\0"))


def test_sending_waits_while_too_much_is_unacknowledged() -> None:
    protocol = open_protocol(unacknowledged_s=1.0)
    second = bytes(32_000)
    protocol.audio(second)
    assert not protocol.can_send(b"\0\0")
    protocol.receive(server_says("msgpack", messages.Ack(seq=2, sample=16_000)))
    assert protocol.can_send(second)


def test_unacknowledged_audio_is_kept_for_a_resume() -> None:
    protocol = open_protocol()
    for value in (b"\1\0", b"\2\0", b"\3\0"):
        protocol.audio(value * 8000)
    protocol.receive(server_says("msgpack", messages.Ack(seq=2, sample=8000)))
    assert protocol.unacknowledged.since(8000) == [(8000, b"\2\0" * 8000), (16_000, b"\3\0" * 8000)]


def test_a_fatal_error_is_raised_with_its_code_and_remedy() -> None:
    protocol = open_protocol()
    message = messages.Error(seq=2, code="overloaded", message="full", retryable=True, retry_after_ms=500)
    with pytest.raises(TympanError) as error:
        protocol.receive(server_says("msgpack", message))
    assert (error.value.code, error.value.retryable, error.value.retry_after_ms) == ("overloaded", True, 500)
    assert protocol.state == "finished"


def test_an_error_that_is_not_fatal_is_an_event() -> None:
    protocol = open_protocol()
    protocol.receive(server_says("msgpack", messages.Error(seq=2, code="internal", message="one final", fatal=False)))
    assert protocol.state == "streaming"


def test_nothing_is_sent_before_ready_or_after_stop() -> None:
    with pytest.raises(TympanError, match="bad_use"):
        ClientProtocol(SessionOptions()).audio(b"\0\0")
    protocol = open_protocol()
    protocol.stop()
    with pytest.raises(TympanError, match="bad_use"):
        protocol.audio(b"\0\0")


@pytest.mark.parametrize("payload", [b"\xc1", b"", "{", b"\x81\xa4type\xa3ack"])
def test_unreadable_server_messages_are_typed_errors(payload: bytes | str) -> None:
    with pytest.raises(TympanError, match="bad_server_message"):
        open_protocol().receive(payload)
