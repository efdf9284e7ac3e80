"""However a line cuts its audio a session hears the same, and whatever it says ends in an error with a name or not at
all."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.protocol.dialect import CallDialect, Close, Encoded, Reply
from streaming.protocol.dialects.audiohook.stream import AudioHook
from streaming.protocol.dialects.audiosocket import AudioSocket, frame
from streaming.protocol.dialects.freeswitch import FreeSwitch
from streaming.protocol.dialects.twilio.stream import Twilio
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Audio, Configure, Marker, Signal, Start, Stop, Transcript
from tests.support.asterisk import HANGUP, identity
from tests.support.audiohook import RATE, AudioHookClient
from tests.support.callers import mulaw
from tests.support.dialects import Talk, handshake, speech
from tests.support.twilio import TwilioStream

ONE, TWO = speech((0.4, 1.4), total_s=3.0, rate=RATE), speech((1.8, 2.6), total_s=3.0, rate=RATE)
STEREO = np.stack([ONE, TWO], axis=1).astype("<i2").tobytes()
MULAW = np.frombuffer(mulaw(ONE) + mulaw(TWO), np.uint8).reshape(2, -1).T.tobytes()

cuts = st.lists(st.integers(1, 9001), min_size=1, max_size=6)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, turn = [], 0
    while data:
        size = max(200, sizes[turn % len(sizes)])
        pieces.append(data[:size])
        data, turn = data[size:], turn + 1
    return pieces


def audiohook(sizes: list[int]) -> Talk:
    client, talk = AudioHookClient(), Talk(AudioHook(handshake("/audiohook")), at_once=True)
    talk.send(client.open(), *cut(MULAW, sizes), client.message("close", reason="end"))
    return talk


def freeswitch(sizes: list[int]) -> Talk:
    talk = Talk(FreeSwitch(handshake("/freeswitch", "channels=2")), at_once=True)
    talk.send("{}", *cut(STEREO, sizes))
    return talk


def audiosocket(sizes: list[int]) -> Talk:
    talk = Talk(AudioSocket(handshake()), at_once=True)
    mono = ONE.astype("<i2").tobytes()
    talk.send(identity(), *(frame(0x10, piece) for piece in cut(mono, sizes)), HANGUP)
    return talk


def said(talk: Talk) -> list[bytes]:
    """In any order, as the engine's pace decides which of two channels comes first; and without the lag, which is
    behind what was received."""
    assert talk.driver is not None
    lagless = (
        msgspec.structs.replace(message, lag_ms=0) if isinstance(message, Transcript) else message
        for message in talk.driver.read
    )
    return sorted(map(msgspec.json.encode, lagless))


@pytest.mark.parametrize("line", [audiohook, freeswitch, audiosocket])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sizes=cuts)
def test_the_cut_of_the_audio_changes_nothing(line: Callable[[list[int]], Talk], sizes: list[int]) -> None:
    assert said(line(sizes)) == said(line([320]))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
whole = st.integers(-5, 2**45).map(str) | st.integers(-5, 2**45) | st.sampled_from(["", "x", "1e9", "٣"])
durations = st.sampled_from(["PT0S", "PT1.5S", "PT59S", "PT99999999S", "PT-1S", "1", ""]) | values
parameters = st.fixed_dictionaries(
    {},
    optional={
        "start": durations,
        "discarded": durations,
        "language": st.sampled_from(["en", "en-US", "", "klingon", "ß"]) | values,
        "media": st.lists(
            st.fixed_dictionaries({"format": st.just("PCMU"), "rate": st.just(8000)}, optional={"channels": values})
        ),
        "conversationId": st.text(max_size=40),
        "customConfig": st.dictionaries(st.sampled_from(["labels", "redact", "silence_ms", "keywords"]), values),
    },
)


def end_of(dialect: CallDialect, payloads: list[Any]) -> None:
    """Feeds it; what it may do is what the shell can carry out, and it says why it ends."""
    begun, now = False, 0.0
    for payload in payloads:
        now += 0.02
        try:
            outcomes = dialect.receive(payload, now)
        except ProtocolError as error:
            for text in dialect.say(error.as_message()):
                assert isinstance(text, bytes) or json.loads(text)
            code = dialect.goodbye(error.close_code or 1000, error.code).code
            break
        for outcome in outcomes:
            if isinstance(outcome, Start):
                assert not begun
                assert dialect.call is not None
                begun = True
                continue
            assert isinstance(outcome, Audio | Signal | Marker | Stop | Configure | Encoded | Reply | Close)
            assert begun or isinstance(outcome, Reply | Close), "nothing for a session before it begins"
        assert dialect.deadline is None or dialect.deadline >= now - 0.02
    else:
        code = 1000
    assert code < 4000 or isinstance(dialect, AudioSocket)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_audiohook_takes_any_numbered_message(data: st.DataObject) -> None:
    client = AudioHookClient()
    kinds = st.sampled_from(["open", "ping", "close", "paused", "resumed", "discarded", "update", "error"])
    payloads: list[Any] = [client.open()] if data.draw(st.booleans()) else []
    for kind, rest in data.draw(st.lists(st.tuples(kinds, parameters), max_size=8)):
        payloads += [client.message(kind, **rest), data.draw(st.binary(max_size=9))]
    end_of(AudioHook(handshake("/audiohook")), payloads)


media = st.fixed_dictionaries(
    {"payload": st.sampled_from(["", "/w==", "////", "?"])},
    optional={"track": st.sampled_from(["inbound", "outbound", "x"]), "chunk": whole, "timestamp": whole},
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pieces=st.lists(
        media.map(lambda one: {"event": "media", "media": one})
        | st.fixed_dictionaries(
            {"event": st.sampled_from(["dtmf", "mark", "stop", "start"])}, optional={"dtmf": values}
        )
    ),
    begin=st.booleans(),
)
def test_twilio_takes_any_piece(pieces: list[dict[str, Any]], begin: bool) -> None:
    begun = TwilioStream("inbound", "outbound").begin() if begin else []
    end_of(Twilio(handshake("/twilio")), [*begun, *map(json.dumps, pieces)])


@settings(max_examples=150, deadline=None)
@given(frames=st.lists(st.builds(frame, st.integers(0, 255), st.binary(max_size=20)) | st.binary(max_size=9)))
def test_audiosocket_takes_any_frame(frames: list[bytes]) -> None:
    end_of(AudioSocket(handshake()), [identity(), *frames])


@settings(max_examples=100, deadline=None)
@given(
    payloads=st.lists(
        st.binary(max_size=9) | st.text(max_size=20) | st.dictionaries(st.text(max_size=9), values).map(json.dumps)
    )
)
def test_freeswitch_takes_any_text(payloads: list[Any]) -> None:
    end_of(FreeSwitch(handshake("/freeswitch")), payloads)
