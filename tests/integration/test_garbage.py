"""Generated garbage at a live server: every connection ends or goes on in a documented way, and the server stays up."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from streaming.protocol.errors import ERRORS
from streaming.protocol.messages import Audio, Configure, Endpointing, Finalize, Marker, Start, Stop
from tests.support.live import Live, live_server, pcm
from tests.support.sessions import ENDPOINTING, speech

DOCUMENTED = {kind.close_code for kind in ERRORS.values()} | {1000, 1007, 1009}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
types = st.sampled_from(["start", "audio", "marker", "finalize", "configure", "stop", "ready", ""]) | values
names = st.sampled_from(
    ["audio", "task", "interim", "endpointing", "events", "first_sample", "data", "id", "seq", "sample_rate", "x"]
)
structured = st.builds(lambda kind, fields: {"type": kind, **fields}, types, st.dictionaries(names, values, max_size=4))
valid = st.one_of(
    st.just(Start(endpointing=ENDPOINTING)),
    st.builds(Audio, first_sample=st.integers(0, 200_000), data=st.binary(max_size=300).map(lambda data: data * 20)),
    st.builds(Marker, id=st.text(max_size=8)),
    st.just(Finalize()),
    st.builds(Configure, endpointing=st.none() | st.builds(Endpointing, min_silence_ms=st.integers(0, 9000))),
    st.just(Stop()),
)
messages = st.lists(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200),
        structured.map(msgspec.msgpack.encode),
        structured.map(lambda fields: json.dumps(fields, default=repr)),
        valid.map(msgspec.msgpack.encode),
        valid.map(lambda message: msgspec.json.encode(message).decode()),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """A server on a thread of its own, the same one for all examples."""
    ready: list[Live] = []
    begun, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with live_server() as server:
            ready.append(server)
            begun.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert begun.wait(20)
    yield ready[0]
    over.set()
    thread.join()


def talk(live: Live, codec: str, payloads: list[bytes | str]) -> tuple[int | None, list[Any]]:
    """Sends it all; then asks for the end of a session, if there is one. Returns the close code and the messages."""
    received: list[Any] = []
    subprotocol = Subprotocol(f"tympan.v1.{codec}")
    with connect(live.url, subprotocols=[subprotocol], compression=None, max_size=None) as socket:
        with contextlib.suppress(ConnectionClosed):
            for payload in payloads:
                socket.send(payload)
            stop = msgspec.msgpack.encode(Stop())
            socket.send(stop if codec == "msgpack" else '{"type":"stop"}')
        with contextlib.suppress(ConnectionClosed):
            while True:
                payload = socket.recv(timeout=20)
                received.append(json.loads(payload) if codec == "json" else msgspec.msgpack.decode(payload))
        return socket.protocol.close_code, received


@pytest.mark.parametrize("codec", ["msgpack", "json"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payloads=messages, begin=st.booleans())
def test_garbage_ends_in_a_documented_way(live: Live, codec: str, payloads: list[bytes | str], begin: bool) -> None:
    start = Start(endpointing=ENDPOINTING)
    first = msgspec.msgpack.encode(start) if codec == "msgpack" else msgspec.json.encode(start).decode()
    close_code, received = talk(live, codec, [first, *payloads] if begin else payloads)
    assert close_code in DOCUMENTED
    assert close_code != 1011, "no input is a bug of the server"
    numbers = [message["seq"] for message in received if "seq" in message]
    assert numbers == list(range(1, len(numbers) + 1))
    last = received[-1] if received else {"type": "closed"}
    if close_code == 1000:
        assert last["type"] == "summary"
    elif close_code != 1007:
        assert last["type"] == "error"
        assert ERRORS[last["code"]].close_code == close_code


def test_a_good_session_works_after_all_that(live: Live) -> None:
    samples = pcm(speech((0.5, 1.5), total_s=3.0))
    start = msgspec.msgpack.encode(Start(endpointing=ENDPOINTING))
    close_code, received = talk(live, "msgpack", [start, msgspec.msgpack.encode(Audio(first_sample=0, data=samples))])
    assert close_code == 1000
    assert sum(bool(message.get("final")) for message in received) == 1
    assert received[-1]["type"] == "summary"
    assert live.service.sessions == frozenset()
