"""Every malformed message comes out typed, and its error never repeats what was said."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streaming.protocol.codec import CODECS, Codec, choose_subprotocol, decode_client, encode_server
from streaming.protocol.errors import ERRORS, MAX_TEXT_CHARS, ErrorCode, ProtocolError, error_message
from streaming.protocol.messages import (
    SUBPROTOCOLS,
    Ack,
    Ask,
    Audio,
    AudioFormat,
    Configure,
    Endpointing,
    Finalize,
    Marker,
    RawAudio,
    RefusedAsk,
    Start,
    Stop,
    Transcript,
)

pack = msgspec.msgpack.encode

MESSAGES = [
    Start(audio=AudioFormat(encoding="mulaw", sample_rate=8000, channels=2, labels=["agent", "customer"])),
    Audio(first_sample=0, data=b"\x00\xff" * 10),
    Marker(id="m-1"),
    Finalize(),
    Configure(interim="off", endpointing=Endpointing(min_silence_ms=500)),
    Stop(),
]


def refused(codec: Codec, payload: bytes | str) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode_client(codec, payload)
    assert len(caught.value.text) <= MAX_TEXT_CHARS
    return caught.value


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_come_through_in_both_forms(message: Any) -> None:
    assert decode_client("msgpack", msgspec.msgpack.encode(message)) == message
    assert decode_client("json", msgspec.json.encode(message).decode()) == message


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"temperature": 9.0}, "$.temperature: expected `float` <= 2.0"),
        ({"max_tokens": 0}, "$.max_tokens: expected `int` >= 1"),
        ({"messages": []}, "$.messages: expected `array` of length >= 1"),
        (
            {"messages": [{"role": "robot", "content": "secret"}]},
            "$.messages[0].role: not a supported value; known: assistant, system, user",
        ),
    ],
)
def test_a_question_with_a_value_out_of_range_is_one_that_is_refused(wrong: dict[str, Any], said: str) -> None:
    """The session goes on: see the runner."""
    ask = {"type": "ask", "id": "q", "messages": [{"role": "user", "content": "secret"}]} | wrong
    for codec, payload in (("msgpack", pack(ask)), ("json", json.dumps(ask))):
        refusal = decode_client(codec, payload)  # type: ignore[arg-type]
        assert isinstance(refusal, RefusedAsk)
        assert (refusal.id, refusal.reason.startswith(said), "secret" in refusal.reason) == ("q", True, False), refusal


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"max_tokns": 9}, "bad_message"),
        ({"messages": "secret"}, "bad_message"),
        ({"id": "q" * 129}, "unsupported"),
        ({"id": 3, "max_tokens": 0}, "bad_message"),
    ],
)
def test_one_that_is_no_message_or_has_no_id_to_answer_to_is_an_error(wrong: dict[str, Any], code: str) -> None:
    ask = {"type": "ask", "id": "q", "messages": [{"role": "user", "content": "secret"}]} | wrong
    for codec, payload in (("msgpack", pack(ask)), ("json", json.dumps(ask))):
        assert refused(codec, payload).code == code  # type: ignore[arg-type]


def test_audio_is_base64_in_json() -> None:
    assert decode_client("json", '{"type":"audio","first_sample":7,"data":"AAH/fw=="}') == Audio(
        first_sample=7, data=b"\x00\x01\xff\x7f"
    )


def test_a_binary_message_on_a_json_connection_is_raw_audio() -> None:
    assert decode_client("json", b"\x01\x02") == RawAudio(b"\x01\x02")


def test_server_messages_are_text_in_json_and_binary_in_msgpack() -> None:
    ack = Ack(seq=3, sample=8000)
    text, data = encode_server("json", ack), encode_server("msgpack", ack)
    assert isinstance(text, str)
    assert isinstance(data, bytes)
    assert json.loads(text) == msgspec.msgpack.decode(data) == {"type": "ack", "seq": 3, "sample": 8000}


def test_fields_at_their_default_are_left_out() -> None:
    sent = encode_server("json", Transcript(seq=1, utterance=0, channel=0, revision=0, from_word=0, words=[]))
    assert set(json.loads(sent)) == {"type", "seq", "utterance", "channel", "revision", "from_word", "words"}


BAD = {
    "nothing": ("msgpack", b"", "bad_message"),
    "text on msgpack": ("msgpack", '{"type":"stop"}', "bad_message"),
    "not msgpack": ("msgpack", b"\xc1", "bad_message"),
    "not an object": ("msgpack", pack([1]), "bad_message"),
    "cut off": ("msgpack", pack({"type": "marker", "id": "x"})[:-1], "bad_message"),
    "something after it": ("msgpack", pack({"type": "stop"}) + b"\x00", "bad_message"),
    "no type": ("msgpack", pack({"id": "x"}), "bad_message"),
    "unknown type": ("msgpack", pack({"type": "begin"}), "bad_message"),
    "type of a wrong type": ("msgpack", pack({"type": 3}), "bad_message"),
    "unknown field": ("msgpack", pack({"type": "start", "intrim": "off"}), "bad_message"),
    "unknown nested field": ("msgpack", pack({"type": "start", "audio": {"rate": 8000}}), "bad_message"),
    "field of a wrong type": ("msgpack", pack({"type": "audio", "first_sample": "0", "data": b""}), "bad_message"),
    "fractional sample": ("msgpack", pack({"type": "audio", "first_sample": 0.5, "data": b""}), "bad_message"),
    "missing field": ("msgpack", pack({"type": "audio", "data": b""}), "bad_message"),
    "text that is not UTF-8": ("msgpack", b"\x82\xa4type\xa6marker\xa2id\xa2\xff\xfe", "bad_message"),
    "key that is not UTF-8": ("msgpack", b"\x81\xa4\xff\xfe\xfd\xfc\xa4stop", "bad_message"),
    "key that is no text": ("msgpack", b"\x81\xc0\xc0", "bad_message"),
    "deep arrays": ("msgpack", b"\x91" * 500_000, "bad_message"),
    "deep maps": ("msgpack", b"\x81\xa5audio" * 100_000, "bad_message"),
    "deep start": ("msgpack", b"\x82\xa4type\xa5start\xa5audio" + b"\x81\xa5audio" * 100_000, "bad_message"),
    "huge array": ("msgpack", b"\xdd\xff\xff\xff\xff", "bad_message"),
    "huge map": ("msgpack", b"\xdf\xff\xff\xff\xff\xa4type", "bad_message"),
    "huge string": ("msgpack", b"\x82\xa4type\xa6marker\xa2id\xdb\xff\xff\xff\xff", "bad_message"),
    "huge bytes": ("msgpack", b"\x82\xa4type\xa5audio\xa4data\xc6\xff\xff\xff\xff", "bad_message"),
    "huge labels": ("msgpack", b"\x82\xa4type\xa5start\xa5audio\x81\xa6labels\xdd\xff\xff\xff\xff", "unsupported"),
    "unknown encoding": ("msgpack", pack({"type": "start", "audio": {"encoding": "opus"}}), "unsupported"),
    "unknown rate": ("msgpack", pack({"type": "start", "audio": {"sample_rate": 11025}}), "unsupported"),
    "three channels": ("msgpack", pack({"type": "start", "audio": {"channels": 3}}), "unsupported"),
    "negative sample": ("msgpack", pack({"type": "audio", "first_sample": -1, "data": b""}), "unsupported"),
    "sample beyond all": ("msgpack", pack({"type": "audio", "first_sample": 2**63, "data": b""}), "unsupported"),
    "no number": ("msgpack", pack({"type": "start", "endpointing": {"threshold": float("nan")}}), "unsupported"),
    "long marker": ("msgpack", pack({"type": "marker", "id": "x" * 129}), "unsupported"),
    "no language": ("msgpack", pack({"type": "start", "task": {"language": "English"}}), "unsupported"),
    "no text": ("json", "", "bad_message"),
    "not JSON": ("json", "{type:stop}", "bad_message"),
    "JSON after JSON": ("json", '{"type":"stop"}{"type":"stop"}', "bad_message"),
    "bad base64": ("json", '{"type":"audio","first_sample":0,"data":"%%"}', "bad_message"),
    "lone surrogate": ("json", '{"type":"marker","id":"\ud800"}', "bad_message"),
    "escaped lone surrogate": ("json", '{"type":"marker","id":"\\ud800"}', "bad_message"),
    "endless number": ("json", '{"type":"audio","data":"","first_sample":' + "9" * 100_000 + "}", "unsupported"),
    "infinity": ("json", '{"type":"start","endpointing":{"threshold":1e999}}', "unsupported"),
    "deep JSON": ("json", '{"type":"start","audio":' * 100_000, "bad_message"),
    "deep JSON arrays": ("json", "[" * 500_000, "bad_message"),
    "wrong JSON type": ("json", '{"type":"start","events":"yes"}', "bad_message"),
}


@pytest.mark.parametrize(("codec", "payload", "code"), BAD.values(), ids=BAD.keys())
def test_a_malformed_message_has_a_typed_error(codec: Codec, payload: bytes | str, code: ErrorCode) -> None:
    error = refused(codec, payload)
    assert error.code == code
    assert error.close_code == {"bad_message": 4400, "unsupported": 4422}[code]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            {"type": "start", "audio": {"sample_rate": 11025}},
            "$.audio.sample_rate: not a supported value; known: 8000, 16000, 24000, 44100, 48000",
        ),
        (
            {"type": "start", "audio": {"rate": 8000}},
            "$.audio: unknown field `rate`; known: encoding, sample_rate, channels, labels",
        ),
        (
            {"type": "begin"},
            "$.type: unknown message type; known: start, audio, marker, finalize, configure, stop, ask",
        ),
        (
            {"type": "start", "endpointing": {"min_silence_ms": 1}},
            "$.endpointing.min_silence_ms: expected `int` >= 100",
        ),
        (
            {"type": "configure", "task": [{}, {"name": "caption", "style": "klotho"}]},
            "$.task[1].style: not a supported value; known: audiocaps, clotho, plain",
        ),
        (
            {"type": "configure", "task": [{"language": "de", "langage": "de"}]},
            "$.task[0]: unknown field `langage`; known: name, language, target, style, written, question",
        ),
        ({"type": "marker"}, "$: object missing required field `id`"),
        ({"type": "start", "audio": {"channels": "2"}}, "$.audio.channels: expected `int`, got `str`"),
    ],
)
def test_the_error_names_the_field_and_what_would_be_right(message: dict[str, Any], text: str) -> None:
    assert refused("msgpack", pack(message)).text == text


@pytest.mark.parametrize(
    "message",
    [
        {"type": "my secret words"},
        {"type": "start", "interim": "my secret words"},
        {"type": "start", "audio": {"encoding": "my secret words"}},
        {"type": "start", "task": {"language": "my secret words"}},
        {"type": "marker", "id": "my secret words" * 20},
        {"type": "audio", "first_sample": "my secret words", "data": b"my secret words"},
    ],
)
def test_the_error_does_not_repeat_values(message: dict[str, Any]) -> None:
    assert "secret" not in refused("msgpack", pack(message)).text


def test_the_name_of_an_unknown_field_is_repeated_cut_and_in_printable_ascii() -> None:
    text = refused("msgpack", pack({"type": "start", "\n\u202e" + "ü" * 1000: 1})).text
    assert text == "$: unknown field `" + "?" * 40 + "`"


scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20) | st.binary()
)
names = st.sampled_from(
    [
        "type",
        "audio",
        "start",
        "marker",
        "id",
        "data",
        "first_sample",
        "task",
        "interim",
        "labels",
        "encoding",
        "channels",
    ]
)
values = st.recursive(
    scalars | names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


def check_any(codec: Codec, payload: bytes | str) -> None:
    outcome: object
    try:
        outcome = decode_client(codec, payload)
    except ProtocolError as error:
        outcome = (error.code in ("bad_message", "unsupported"), len(error.text) <= MAX_TEXT_CHARS)
    assert outcome == (True, True) or isinstance(
        outcome, Start | Audio | Marker | Finalize | Configure | Stop | Ask | RawAudio | RefusedAsk
    )


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
@example(b"\xd8" + bytes(17))
def test_any_bytes_are_a_message_or_a_typed_error(payload: bytes) -> None:
    """Also as text, as far as they are text."""
    check_any("msgpack", payload)
    check_any("json", payload.decode("utf-8", "surrogateescape"))


@settings(max_examples=100, deadline=None)
@given(values)
def test_any_structure_is_a_message_or_a_typed_error(value: Any) -> None:
    """Objects that look almost like messages."""
    for one in (value, {"type": "start", "audio": value}, {"type": "audio", "first_sample": value, "data": value}):
        check_any("msgpack", pack(one))
        check_any("json", msgspec.json.encode(one).decode())


def test_the_first_known_subprotocol_is_chosen() -> None:
    assert choose_subprotocol(["graphql-ws", "tympan.v1.json", "tympan.v1.msgpack"]) == "tympan.v1.json"
    assert choose_subprotocol(["tympan.v9.json"]) is None
    assert choose_subprotocol([]) is None
    assert tuple(CODECS) == SUBPROTOCOLS


def test_each_error_code_has_its_row() -> None:
    assert set(ERRORS) == set(get_args(ErrorCode))


def test_an_errors_message_says_what_its_row_says() -> None:
    refusal = ProtocolError("overloaded", "x" * 1000, retry_after_ms=500)
    message = refusal.as_message()
    assert (refusal.close_code, message.retryable, message.fatal, message.retry_after_ms) == (1013, True, True, 500)
    assert len(message.message) == MAX_TEXT_CHARS
    assert not error_message("decode_failed", "one utterance").fatal
