"""Asterisk's AudioSocket: who it is, audio at the rate of its type, keys, and a hangup from either side."""

import pytest

from streaming.protocol.dialect import Close, Encoded, Source
from streaming.protocol.dialects.audiosocket import AudioSocket
from streaming.protocol.messages import CallSummary, Event, Start, Stop, Summary, Transcript
from tests.support.asterisk import AUDIO_TYPES, CALL, ERROR, HANGUP, audio, frame, identity, key
from tests.support.dialects import Talk, handshake, speech


def talk(*frames: bytes) -> Talk:
    spoken = Talk(AudioSocket(handshake("")), at_once=True)
    spoken.send(*frames)
    return spoken


@pytest.mark.parametrize("rate", [8000, 16_000, 24_000, 44_100, 48_000])
def test_a_call_at_each_rate_that_sessions_take(rate: int) -> None:
    spoken = talk(identity(), *audio(speech((0.5, 2.0), total_s=4.0, rate=rate), rate), HANGUP)
    assert spoken.driver is not None
    assert spoken.driver.core.start.audio.sample_rate == rate
    (final,) = [one for one in spoken.driver.read if isinstance(one, Transcript) and one.final]
    assert final.text
    (summary,) = [one for one in spoken.driver.read if isinstance(one, Summary)]
    assert summary.audio_ms == 4000
    assert spoken.closed is not None
    assert spoken.closed.code == 1000
    assert spoken.heard == []


def test_any_other_rate_is_resampled_before() -> None:
    dialect = AudioSocket(handshake(""))
    assert dialect.receive(identity(), 0.0) == []
    start, encoded = dialect.receive(frame(AUDIO_TYPES[32_000], b"abcd"), 0.0)
    assert isinstance(start, Start)
    assert (start.audio.sample_rate, encoded) == (16_000, Encoded(b"abcd"))
    assert dialect.source == Source(raw="s16le", sample_rate=32_000)


def test_the_call_is_known_by_its_uuid() -> None:
    dialect = AudioSocket(handshake(""))
    dialect.receive(identity(), 0.0)
    assert dialect.call is not None
    assert (dialect.call.protocol, dialect.call.id) == ("audiosocket", str(CALL))


def test_keys_stand_where_they_were_pressed_also_before_all_audio() -> None:
    sound = audio(speech(total_s=2.0, rate=8000))
    spoken = talk(identity(), key("1"), *sound[:50], key("*"), *sound[50:], HANGUP)
    assert spoken.driver is not None
    keys = [one for one in spoken.driver.read if isinstance(one, Event) and one.source == "signalling"]
    assert [(one.label, one.start_ms) for one in keys] == [("dtmf_1", 0), ("dtmf_star", 1000)]
    (summary,) = [one for one in spoken.driver.read if isinstance(one, CallSummary)]
    assert [one.label for one in summary.call.keys] == ["1", "*"]


def test_torn_samples_and_unknown_frames_do_no_harm() -> None:
    data = speech((0.5, 1.0), total_s=2.0, rate=8000).astype("<i2").tobytes()
    frames = [frame(0x10, data[at : at + 333]) for at in range(0, len(data), 333)]
    spoken = talk(identity(), frame(0x42, b"news"), *frames, frame(0x10, b""), HANGUP)
    assert spoken.driver is not None
    assert spoken.driver.read[-1].audio_ms == 2000  # type: ignore[union-attr]


@pytest.mark.parametrize("end", [HANGUP, ERROR])
def test_a_hangup_before_all_audio_is_no_session(end: bytes) -> None:
    dialect = AudioSocket(handshake(""))
    dialect.receive(identity(), 0.0)
    assert dialect.receive(end, 0.0) == [Close(1000)]


def test_an_error_of_asterisk_ends_the_call() -> None:
    dialect = AudioSocket(handshake(""))
    dialect.receive(identity(), 0.0)
    dialect.receive(frame(0x10, bytes(320)), 0.0)
    assert dialect.receive(ERROR, 0.0) == [Stop()]
    assert dialect.receive(frame(0x10, bytes(320)), 0.0) == []


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([frame(0x10, bytes(320))], "start_expected"),
        ([frame(0x01, b"short")], "bad_message"),
        ([identity(), identity()], "already_started"),
        ([identity(), frame(0x10, bytes(320)), frame(0x12, bytes(640))], "bad_audio"),
        ([b"\x10"], "bad_message"),
    ],
)
def test_what_is_wrong_is_hung_up(frames: list[bytes], reason: str) -> None:
    spoken = talk(*frames)
    assert spoken.heard == [HANGUP]
    assert spoken.closed is not None
    assert spoken.closed.reason == reason


def test_who_says_nothing_is_hung_up() -> None:
    spoken = talk()
    spoken.wait(11.0)
    assert spoken.closed is not None
    assert spoken.closed.reason == "start_timeout"
