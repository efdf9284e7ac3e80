"""The client's protocol core: what it sends is what the server accepts, and its clock and states."""

import msgspec
import pytest
from tympan_client import AudioFormat, Endpointing, SessionOptions, TympanError
from tympan_client.protocol import ClientProtocol

from streaming.protocol import messages
from streaming.protocol.codec import decode_client
from tests.support.client_wire import READY, hear, said

CODECS = ["msgpack", "json"]
TOKENLESS = msgspec.structs.replace(READY, resume_token=None)


def open_protocol(codec: str = "msgpack", *, ready: messages.Ready = TOKENLESS, **options: object) -> ClientProtocol:
    unacknowledged_s = options.pop("unacknowledged_s", 30.0)
    protocol = ClientProtocol(SessionOptions(**options), codec, unacknowledged_s=unacknowledged_s)
    protocol.start()
    hear(protocol, ready)
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
    hear(protocol, READY)
    protocol.marker("m")
    protocol.finalize()
    protocol.configure(interim="off")
    protocol.stop()
    assert said(protocol) == [
        messages.Marker(id="m"),
        messages.Finalize(),
        messages.Configure(interim="off"),
        messages.Stop(),
    ]


@pytest.mark.parametrize("codec", CODECS)
def test_defaults_are_left_to_the_server(codec: str) -> None:
    assert decode_client(codec, ClientProtocol(SessionOptions(), codec).start()) == messages.Start()


def test_audio_is_placed_on_the_sample_clock() -> None:
    protocol = open_protocol(audio=AudioFormat(channels=2))
    protocol.audio(bytes(8))
    protocol.audio(bytes(12))
    assert said(protocol) == [
        messages.Audio(first_sample=0, data=bytes(8)),
        messages.Audio(first_sample=2, data=bytes(12)),
    ]
    assert protocol.next_sample == 5


def test_in_json_mode_audio_goes_as_binary_messages_that_continue_the_clock() -> None:
    protocol = open_protocol("json")
    protocol.audio(b"\1\0")
    assert protocol.next_payload() == b"\1\0"


def test_long_audio_is_cut_to_what_the_server_takes_and_nothing_is_lost() -> None:
    protocol = open_protocol(ready=msgspec.structs.replace(READY, max_message_bytes=1000))
    data = bytes(range(256)) * 20
    for piece in protocol.slices(data):
        protocol.audio(piece)
    payloads = list(iter(protocol.next_payload, None))
    assert all(len(payload) <= 1000 for payload in payloads)
    assert b"".join(decode_client("msgpack", payload).data for payload in payloads) == data


def test_half_a_sample_is_refused_before_it_is_sent() -> None:
    with pytest.raises(TympanError, match="bad_audio"):
        list(open_protocol().slices(b"\0\0\0"))


def test_sending_waits_while_too_much_is_unacknowledged() -> None:
    protocol = open_protocol(unacknowledged_s=1.0)
    second = bytes(32_000)
    protocol.audio(second)
    assert not protocol.has_room(b"\0\0")
    assert not protocol.has_room(b"\0\0", "drop")
    hear(protocol, messages.Ack(sample=16_000))
    assert protocol.has_room(second)


def test_a_server_without_its_store_holds_nobody_up() -> None:
    """No acks come then; what was sent is with the server, and what was not is not dropped."""
    protocol = open_protocol(unacknowledged_s=1.0)
    for _ in range(4):
        protocol.audio(bytes(8000))
    hear(protocol, messages.Load(level="normal", lag_ms=0, interim_ms=500, durable=False))
    assert not protocol.has_room(bytes(8000))
    protocol.next_payload()
    assert protocol.has_room(bytes(8000))
    assert not protocol.has_room(bytes(16_000))


def test_a_fatal_error_is_raised_with_its_code_and_remedy() -> None:
    protocol = open_protocol()
    message = messages.Error(code="overloaded", message="full", retryable=True, retry_after_ms=500)
    with pytest.raises(TympanError) as error:
        hear(protocol, message)
    assert (error.value.code, error.value.retryable, error.value.retry_after_ms) == ("overloaded", True, 500)
    assert protocol.state == "finished"


def test_an_error_that_is_not_fatal_is_an_event() -> None:
    protocol = open_protocol()
    hear(protocol, messages.Error(seq=2, code="internal", message="one final", fatal=False))
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
