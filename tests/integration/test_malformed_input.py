"""Every malformed message gets a typed error and the documented close code, and the server goes on."""

import contextlib
import json
import struct

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from streaming.protocol.errors import ERRORS
from streaming.protocol.messages import (
    Answer,
    Ask,
    Audio,
    AudioFormat,
    ChatMessage,
    Configure,
    Error,
    Marker,
    Start,
    Stop,
    Summary,
)
from tests.support.live import Live, live_server, pcm
from tests.support.sessions import ENDPOINTING, speech

START = msgspec.msgpack.encode(Start())
STEREO = msgspec.msgpack.encode(Start(audio=AudioFormat(channels=2)))


def packed(**fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


def nested(depth: int) -> bytes:
    """A msgpack message whose value is an array in an array in an array ..."""
    return b"\x81\xa4type" + b"\x91" * depth + b"\xc0"


MSGPACK_CASES = {
    "not msgpack": ([b"\xc1\xc1\xc1"], "bad_message"),
    "an empty message": ([b""], "bad_message"),
    "a text message": (["{}"], "bad_message"),
    "not an object": ([b"\x01"], "bad_message"),
    "no type": ([packed(audio={})], "bad_message"),
    "an unknown type": ([packed(type="begin")], "bad_message"),
    "a type that is a number": ([packed(type=3)], "bad_message"),
    "an unknown field": ([packed(type="start", audoi={})], "bad_message"),
    "an unknown field below": ([packed(type="start", audio={"codec": "opus"})], "bad_message"),
    "a field of a wrong type": ([packed(type="start", events="yes")], "bad_message"),
    "an unknown value": ([packed(type="start", audio={"encoding": "opus"})], "unsupported"),
    "a rate that is not served": ([packed(type="start", audio={"sample_rate": 11025})], "unsupported"),
    "too many channels": ([packed(type="start", audio={"channels": 3})], "unsupported"),
    "labels that do not fit": ([packed(type="start", audio={"channels": 1, "labels": ["a", "b"]})], "unsupported"),
    "a value out of its range": ([packed(type="start", endpointing={"threshold": 7.0})], "unsupported"),
    "a language that the model does not know": ([packed(type="start", task={"language": "xx"})], "unsupported"),
    "audio before start": ([msgspec.msgpack.encode(Audio(first_sample=0, data=b"\0\0"))], "start_expected"),
    "stop before start": ([msgspec.msgpack.encode(Stop())], "start_expected"),
    "a second start": ([START, START], "already_started"),
    "an odd byte count": ([START, msgspec.msgpack.encode(Audio(first_sample=0, data=b"\0" * 3))], "bad_audio"),
    "half a stereo frame": ([STEREO, msgspec.msgpack.encode(Audio(first_sample=0, data=b"\0" * 6))], "bad_audio"),
    "audio hours ahead": ([START, msgspec.msgpack.encode(Audio(first_sample=1 << 40, data=b"\0\0"))], "bad_audio"),
    "audio at a negative sample": ([START, packed(type="audio", first_sample=-1, data=b"\0\0")], "unsupported"),
    "audio as text": ([START, packed(type="audio", first_sample=0, data="AAAA")], "bad_message"),
    "a marker without id": ([START, packed(type="marker")], "bad_message"),
    "a marker with a long id": ([START, msgspec.msgpack.encode(Marker(id="m" * 129))], "unsupported"),
    "configure with an unknown value": ([START, packed(type="configure", interim="some")], "unsupported"),
    "ten megabytes": ([START, msgspec.msgpack.encode(Audio(first_sample=0, data=bytes(10 << 20)))], "too_large"),
    "ten megabytes instead of start": ([bytes(10 << 20)], "too_large"),
    "a deep nest": ([nested(100_000)], "bad_message"),
    "a string that claims four gigabytes": ([b"\x81\xa4type\xdb\xff\xff\xff\xff"], "bad_message"),
    "an array that claims four billion entries": ([b"\xdd\xff\xff\xff\xff"], "bad_message"),
    "a map that claims four billion entries": ([b"\xdf\xff\xff\xff\xff"], "bad_message"),
    "a cut message": ([START[:-3]], "bad_message"),
    "bytes after the message": ([START + b"\x00"], "bad_message"),
    "a string that is not UTF-8": ([b"\x81\xa4type\xa2\xff\xfe"], "bad_message"),
}
JSON_CASES = {
    "not JSON": (["start"], "bad_message"),
    "an empty message": ([""], "bad_message"),
    "an array": (["[]"], "bad_message"),
    "a deep nest": (['{"type":' + "[" * 100_000], "bad_message"),
    "raw audio before start": ([b"\0\0"], "start_expected"),
    "an odd byte count of raw audio": (['{"type":"start"}', b"\0\0\0"], "bad_audio"),
    "audio that is not base64": (['{"type":"start"}', '{"type":"audio","first_sample":0,"data":"*"}'], "bad_message"),
    "a number beyond all bounds": (['{"type":"start","audio":{"sample_rate":1e999}}'], "unsupported"),
    "ten megabytes of text": ([" " * (10 << 20)], "too_large"),
    "characters that cannot be paired": (['{"type":"\\ud800"}'], "bad_message"),
}


async def assert_refused(live: Live, codec: str, payloads: list[bytes | str], code: str) -> None:
    async with live.client(codec) as client:
        for payload in payloads[:-1]:
            await client.socket.send(payload)
        with contextlib.suppress(ConnectionClosed):  # it may be refused before all of it was taken
            await client.socket.send(payloads[-1])
        close_code = await client.rest()
        error = client.received[-1]
        assert isinstance(error, Error)
        assert error.code == code
        assert error.fatal
        assert close_code == ERRORS[error.code].close_code
        assert error.seq == -1, "it is about the connection"
        assert len(error.message) <= 300


@pytest.mark.parametrize("case", MSGPACK_CASES)
async def test_malformed_msgpack(case: str) -> None:
    async with live_server() as live:
        await assert_refused(live, "msgpack", *MSGPACK_CASES[case])
        assert live.service.sessions == frozenset()


@pytest.mark.parametrize("case", JSON_CASES)
async def test_malformed_json(case: str) -> None:
    async with live_server() as live:
        await assert_refused(live, "json", *JSON_CASES[case])
        assert live.service.sessions == frozenset()


async def test_text_that_is_not_utf_8_is_closed_as_the_websocket_protocol_says() -> None:
    """RFC 6455, 8.1: the connection fails with 1007 before a message exists that could be answered."""
    async with live_server() as live, live.client("json") as client:
        await client.socket.send(b'{"type": "\xff"}', text=True)
        assert await client.rest() == 1007


async def test_a_message_beyond_the_hard_limit_is_closed_with_1009() -> None:
    async with live_server() as live, live.client() as client:
        with contextlib.suppress(ConnectionClosed):
            await client.socket.send(bytes(17 << 20))
        assert await client.rest() == 1009


async def test_a_frame_that_breaks_the_websocket_protocol_ends_its_connection_only() -> None:
    async with live_server() as live, live.client() as client:
        await client.start()
        async with live.connect("tympan.v1.msgpack") as broken:
            # RFC 6455, 5.1: a client's frame must be masked.
            broken.transport.write(b"\x82\x7e" + struct.pack("!H", 300) + bytes(300))
            with pytest.raises(ConnectionClosed):
                await broken.recv()
        await client.send(Stop())
        assert await client.rest() == 1000


async def test_errors_do_not_repeat_what_the_client_said() -> None:
    """It could be speech."""
    secret = "my mother's maiden name"
    async with live_server() as live, live.client("json") as client:
        await client.socket.send(json.dumps({"type": "start", "interim": secret}))
        await client.rest()
        assert secret not in client.received[-1].message


async def test_a_bad_configure_leaves_other_sessions_alone() -> None:
    async with live_server() as live, live.client() as good, live.client() as bad:
        await good.start()
        await bad.start()
        broken = msgspec.structs.replace(ENDPOINTING, pre_roll_ms=99_999)
        await bad.send(Configure(endpointing=broken))
        assert await bad.rest() == 4422
        await good.send_audio(pcm(speech((0.5, 1.5), total_s=3.0)))
        await good.send(Stop())
        assert await good.rest() == 1000
        assert isinstance(good.received[-1], Summary)
        assert len(good.finals) == 1


@pytest.mark.parametrize("codec", ["msgpack", "json"])
async def test_a_question_with_a_value_out_of_range_is_answered_by_that_and_ends_no_captions(codec: str) -> None:
    async with live_server() as live, live.client(codec) as client:
        await client.start()
        await client.send(Ask(id="hot", messages=[ChatMessage(role="user", content="Who?")], temperature=9.0))
        answer = await client.until(Answer)
        assert answer.error is not None
        assert (answer.id, answer.done, answer.finish, answer.error.code) == ("hot", True, "error", "unsupported")
        assert answer.error.message == "$.temperature: expected `float` <= 2.0"
        await client.send_audio(pcm(speech((0.5, 1.5), total_s=3.0)))
        await client.send(Stop())
        assert await client.rest() == 1000
        assert len(client.finals) == 1
