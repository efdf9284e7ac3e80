"""Generated garbage, structured and raw, at every dialect of a live server: each connection ends in a way that its
clients know, no other session is disturbed, and nothing is left behind."""

import asyncio
import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from streaming.protocol.messages import Start
from tests.support.audiohook import AudioHookClient
from tests.support.live import Live, live_server
from tests.support.polling import eventually
from tests.support.sessions import ENDPOINTING, speech
from tests.support.twilio import TwilioStream

SENTENCES = speech((0.5, 2.5), (4.0, 5.5), total_s=7.0).tobytes()
SOUND = speech((0.1, 1.0), total_s=1.6).tobytes()

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True)
class Spoken:
    """A dialect, as garbage is made for it."""

    path: str
    types: tuple[str, ...]
    fields: tuple[str, ...]
    parameters: dict[str, tuple[str, ...]]
    good: tuple[str, ...]
    """Messages that are right."""
    end: tuple[str | bytes, ...]
    """What ends a session; nothing: the client closes."""
    query: tuple[tuple[str, str], ...]
    sound: str | bytes
    """A good session: its query, and a message with SOUND ..."""
    codes: frozenset[int]
    """Close codes that clients of it know."""
    hello: tuple[str, ...] = ()
    """... after these."""
    refusals: frozenset[int] = frozenset({400})
    tag: str = "type"
    """The field that names a message's type."""

    @property
    def messages(self) -> st.SearchStrategy[list[str | bytes]]:
        fields = st.dictionaries(st.sampled_from(self.fields), values, max_size=4)
        kinds = st.sampled_from(self.types) | values
        structured = st.builds(lambda kind, rest: json.dumps({self.tag: kind, **rest}), kinds, fields)
        sound = st.integers(0, len(SOUND)).map(lambda size: SOUND[:size])
        one = (
            structured
            | st.sampled_from((*self.good, self.sound))
            | st.binary(max_size=200)
            | st.text(max_size=200)
            | sound
        )
        return st.lists(one, max_size=8)

    @property
    def queries(self) -> st.SearchStrategy[list[tuple[str, str]]]:
        known = [(name, value) for name, choices in self.parameters.items() for value in choices]
        pairs = st.sampled_from(known) | st.tuples(st.sampled_from(sorted(self.parameters)), st.text(max_size=8))
        return st.lists(pairs | st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=6)


DEEPGRAM = Spoken(
    path="/v1/listen",
    types=("KeepAlive", "Finalize", "CloseStream", "Configure", "Results", ""),
    fields=("keyterms", "features", "type", "x"),
    parameters={
        "encoding": ("linear16", "mulaw", "opus", "flac", ""),
        "sample_rate": ("16000", "8000", "0", "22050"),
        "channels": ("1", "2", "3"),
        "multichannel": ("true", "FALSE"),
        "interim_results": ("true", "false"),
        "utterance_end_ms": ("1000", "10"),
        "endpointing": ("false", "300", "10"),
        "audio_events": ("true",),
    },
    good=('{"type":"KeepAlive"}', '{"type":"Finalize"}', '{"type":"Configure","keyterms":["a"]}'),
    end=('{"type":"CloseStream"}',),
    query=(("encoding", "linear16"), ("sample_rate", "16000")),
    sound=SOUND,
    codes=frozenset({1000, 1007, 1008, 1009, 1011, 1013}),
)
APPEND = json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(SOUND).decode()})
OPENAI = Spoken(
    path="/v1/realtime",
    types=(
        "session.update",
        "transcription_session.update",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "input_audio_buffer.clear",
        "response.create",
    ),
    fields=("session", "audio", "event_id", "x"),
    parameters={"intent": ("transcription",), "model": ("gpt-4o-transcribe",)},
    good=(
        '{"type":"input_audio_buffer.commit"}',
        '{"type":"input_audio_buffer.clear"}',
        '{"type":"session.update","session":{"audio":{"input":{"turn_detection":null}}}}',
        '{"type":"session.update","session":{"audio":{"input":{"turn_detection":{"type":"semantic_vad"}}}}}',
        '{"type":"session.update","session":{"audio":{"input":{"format":{"type":"audio/pcmu"}}}}}',
        '{"type":"session.update","session":{"audio":{"input":{"transcription":{"language":"xx"}}}}}',
    ),
    end=(),
    query=(),
    sound=APPEND,
    codes=frozenset({1000, 1007, 1008, 1009, 1013}),
)
ASSEMBLYAI = Spoken(
    path="/v3/ws",
    types=("ForceEndpoint", "KeepAlive", "UpdateConfiguration", "Terminate"),
    fields=("min_turn_silence", "keyterms_prompt", "x"),
    parameters={
        "encoding": ("pcm_s16le", "pcm_mulaw", "opus", "ogg_opus"),
        "sample_rate": ("16000", "8000", "22050", "x"),
        "format_turns": ("True", "false"),
        "min_turn_silence": ("100", "x"),
    },
    good=('{"type":"ForceEndpoint"}', '{"type":"UpdateConfiguration","min_turn_silence":700}'),
    end=('{"type":"Terminate"}',),
    query=(("sample_rate", "16000"),),
    sound=SOUND,
    codes=frozenset({1000, 1007, 1009, 1013, 3005, 4008, 4101}),
)
ENDS = (b"END_OF_AUDIO", '{"eof":1}')
"""Of whichever of the two that the first message made it."""
VOSK = Spoken(
    path="/",
    types=("config", "eof", "reset"),
    fields=("config", "eof", "reset", "uid", "sample_rate"),
    parameters={"x": ("1",)},
    good=('{"config":{"sample_rate":16000}}', '{"config":{"sample_rate":22050}}', '{"reset":1}'),
    end=ENDS,
    query=(),
    sound=SOUND,
    codes=frozenset({1000, 1007, 1008, 1009, 1013}),
    hello=('{"config":{"sample_rate":16000}}',),
)
WHISPERLIVE = Spoken(
    path="/",
    types=("",),
    fields=("uid", "language", "task", "send_last_n_segments", "word_timestamps", "audio_format"),
    parameters={"token": ("x",)},
    good=('{"uid":"a"}', '{"uid":"a","word_timestamps":true}', '{"uid":"a","language":"xx"}'),
    end=ENDS,
    query=(),
    sound=(np.frombuffer(SOUND, "<i2") / 32_768).astype("<f4").tobytes(),
    codes=frozenset({1000, 1007, 1008, 1009, 1013}),
    hello=('{"uid":"a","language":"en"}',),
)
CALL = TwilioStream("inbound", "outbound")
TWILIO = Spoken(
    path="/twilio",
    tag="event",
    types=("connected", "start", "media", "dtmf", "mark", "stop", ""),
    fields=("start", "media", "dtmf", "mark", "stop", "streamSid", "sequenceNumber"),
    parameters={"tracks": ("inbound", "both", "x"), "token": ("x",)},
    good=(*CALL.begin(), CALL.piece("inbound", 1, 0, SOUND), CALL.piece("outbound", 9, 10**9, b"ab"), CALL.dtmf("5")),
    end=(CALL.stop(),),
    query=(),
    sound=CALL.piece("inbound", 1, 0, SOUND),
    codes=frozenset({1000, 1007, 1008, 1009, 1013}),
    hello=tuple(CALL.begin()),
)
CONVERSATION = AudioHookClient()
AUDIOHOOK = Spoken(
    path="/audiohook",
    types=("open", "ping", "close", "paused", "resumed", "discarded", "update", "error"),
    fields=("version", "id", "seq", "serverseq", "position", "parameters"),
    parameters={"x": ("1",)},
    hello=(CONVERSATION.open(),),
    end=(CONVERSATION.message("close", reason="end"),),
    good=(AudioHookClient().open(), AudioHookClient().message("ping"), CONVERSATION.skip("discarded", 1.0)),
    query=(),
    sound=SOUND,
    codes=frozenset({1000, 1007, 1008, 1009, 1013}),
)
FREESWITCH = Spoken(
    path="/freeswitch",
    types=("", "dtmf"),
    fields=("rate", "channels", "mix_type", "uuid", "language", "keywords", "dtmf", "channel"),
    parameters={"rate": ("8k", "16000", "22050", "x"), "channels": ("1", "2", "3"), "mix_type": ("stereo", "x")},
    good=('{"uuid":"a","rate":16000}', '{"dtmf":"5"}', '{"rate":12000,"channels":2}', "hello"),
    end=(),
    query=(("rate", "16000"),),
    sound=SOUND,
    codes=frozenset({1000, 1007, 1008, 1009, 1013}),
)
DIALECTS = {
    "assemblyai": ASSEMBLYAI,
    "audiohook": AUDIOHOOK,
    "deepgram": DEEPGRAM,
    "freeswitch": FREESWITCH,
    "openai": OPENAI,
    "twilio": TWILIO,
    "vosk": VOSK,
    "whisperlive": WHISPERLIVE,
}


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


@pytest.fixture(scope="module")
def neighbour(live: Live) -> Iterator[ClientConnection]:
    """A session that begins before all garbage, and has half of its audio."""
    url = f"ws://{live.host}/v1/stream"
    with connect(url, subprotocols=[Subprotocol("tympan.v1.json")], compression=None) as socket:
        socket.send(msgspec.json.encode(Start(endpointing=ENDPOINTING)).decode())
        socket.send(SENTENCES[: len(SENTENCES) // 2])
        yield socket


def talk(live: Live, spoken: Spoken, query: list[tuple[str, str]], payloads: list[str | bytes]) -> int | None:
    """Sends it all, and what ends a session. Returns the HTTP status of a refusal, or the close code."""
    url = f"ws://{live.host}{spoken.path}?{urlencode(query, errors='surrogatepass')}"
    try:
        with connect(url, compression=None, max_size=None) as socket:
            with contextlib.suppress(ConnectionClosed):
                for payload in (*payloads, *spoken.end):
                    socket.send(payload)
                if not spoken.end:
                    socket.close()
            _read_to_the_end(socket)
            return socket.protocol.close_code
    except InvalidStatus as refused:
        return refused.response.status_code


def _read_to_the_end(socket: ClientConnection) -> list[Any]:
    heard: list[Any] = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            payload = socket.recv(timeout=20)
            heard.append(json.loads(payload))
    return heard


@pytest.mark.parametrize("name", sorted(DIALECTS))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_garbage_ends_in_a_way_that_clients_know(
    live: Live, neighbour: ClientConnection, name: str, data: st.DataObject
) -> None:
    spoken = DIALECTS[name]
    outcome = talk(live, spoken, data.draw(spoken.queries), data.draw(spoken.messages))
    assert outcome in spoken.codes | spoken.refusals
    assert outcome != 1011, "no input is a bug of the server"


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_other_sessions_go_on_and_nothing_is_left(live: Live, name: str) -> None:
    """After all that: a good session is served, and then there is none."""
    spoken = DIALECTS[name]
    assert talk(live, spoken, list(spoken.query), [*spoken.hello, spoken.sound]) == 1000

    async def only_the_neighbours() -> bool:
        return len(live.service.sessions) <= 1

    asyncio.run(eventually(only_the_neighbours))


def test_the_session_that_was_there_all_along_is_undisturbed(neighbour: ClientConnection) -> None:
    neighbour.send(SENTENCES[len(SENTENCES) // 2 :])
    neighbour.send('{"type":"stop"}')
    heard = _read_to_the_end(neighbour)
    texts = [message["text"] for message in heard if message["type"] == "transcript" and message.get("final")]
    assert texts == ["bravo charlie delta echo foxtrot", "kilo lima mike november"]
    assert neighbour.protocol.close_code == 1000
