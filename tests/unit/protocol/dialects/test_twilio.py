"""Twilio Media Streams: tracks by their timestamps on one clock, keys and marks at their place, nothing said back."""

import json
from typing import Any

import pytest

from streaming.protocol.dialects.twilio.signature import sign, signed
from streaming.protocol.dialects.twilio.stream import Twilio
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import (
    Audio,
    AudioFormat,
    CallSummary,
    Event,
    Gap,
    MarkerEcho,
    Signal,
    Start,
    Stop,
    Summary,
    Transcript,
)
from tests.support.dialects import Talk, handshake, speech
from tests.support.twilio import CALL, RATE, STREAM, Keep, TwilioStream, telnyx

ALICE = speech((0.5, 2.0), total_s=5.0, rate=RATE)
BOB = speech((3.0, 4.0), total_s=5.0, rate=RATE)


def talk(*messages: str, **parameters: Any) -> Talk:
    spoken = Talk(Twilio(handshake("/twilio"), **parameters), at_once=True)
    spoken.send(*messages)
    return spoken


def call(*sounds: Any, keep: Keep = lambda track, ms: True, first_ms: int = 0, **parameters: str) -> Talk:
    stream = TwilioStream(*("inbound", "outbound")[: len(sounds)], parameters=parameters)
    return talk(*stream.begin(), *stream.media(*sounds, keep=keep, first_ms=first_ms), stream.stop())


def sent(spoken: Talk, kind: Any) -> list[Any]:
    assert spoken.driver is not None
    return [message for message in spoken.driver.read if isinstance(message, kind)]


def words(spoken: Talk) -> list[tuple[int, int]]:
    """(channel, begin of the first word in ms) of each final."""
    return [(one.channel, one.words[0].start_ms) for one in sent(spoken, Transcript) if one.final and one.words]


def test_both_tracks_are_channels_of_one_call_with_their_names() -> None:
    spoken = call(ALICE, BOB)
    assert spoken.driver is not None
    assert spoken.driver.core.start.audio == AudioFormat(
        encoding="mulaw", sample_rate=8000, channels=2, labels=["inbound", "outbound"]
    )
    (alice, alice_ms), (bob, bob_ms) = words(spoken)
    assert (alice, bob) == (0, 1)
    assert alice_ms == pytest.approx(200, abs=40)
    assert bob_ms - alice_ms == pytest.approx(2500, abs=40)
    assert sent(spoken, Gap) == []
    assert sent(spoken, CallSummary)
    assert spoken.closed is not None
    assert spoken.closed.code == 1000


def test_nothing_is_said_to_it() -> None:
    assert call(ALICE, BOB).heard == []


def test_the_call_is_known_by_what_start_says() -> None:
    spoken = call(ALICE, language="en-US", labels="customer", token="k", note="x")
    assert isinstance(spoken.dialect, Twilio)
    assert spoken.dialect.call is not None
    assert (spoken.dialect.call.id, spoken.dialect.call.stream) == (CALL, STREAM)
    assert spoken.dialect.call.parameters == {"language": "en-US", "labels": "customer", "note": "x"}
    start = spoken.driver.core.start if spoken.driver else None
    assert start is not None
    assert start.audio.labels == ["customer"]
    assert start.task.language == "en"  # type: ignore[union-attr]


def test_missing_pieces_are_a_gap_and_what_follows_keeps_its_place() -> None:
    whole = call(ALICE)
    torn = call(ALICE, keep=lambda track, ms: not 100 <= ms < 300)
    (gap,) = sent(torn, Gap)
    assert (gap.from_sample, gap.to_sample, gap.reason) == (800, 2400, "client")
    assert words(torn) == words(whole)
    assert sent(torn, Summary)[0].audio_ms == sent(whole, Summary)[0].audio_ms == 5000


def test_what_one_track_lacks_is_its_gap_alone() -> None:
    torn = call(ALICE, BOB, keep=lambda track, ms: track == "inbound" or not 1000 <= ms < 1200)
    (gap,) = sent(torn, Gap)
    assert (gap.from_sample, gap.to_sample, gap.channel) == (8000, 9600, 1)
    assert words(torn) == words(call(ALICE, BOB))


def test_a_track_that_never_comes_is_a_gap_at_the_end() -> None:
    silent = call(ALICE, BOB, keep=lambda track, ms: track == "inbound")
    (gap,) = sent(silent, Gap)
    assert (gap.from_sample, gap.to_sample, gap.channel) == (0, 40_000, 1)
    assert words(silent) == words(call(ALICE, BOB))[:1]


def test_the_first_media_may_come_late() -> None:
    spoken = call(ALICE, first_ms=155)
    assert [(gap.from_sample, gap.to_sample) for gap in sent(spoken, Gap)] == [(0, 1240)]
    assert words(spoken) == [(0, pytest.approx(355, abs=40))]


def test_trembling_timestamps_cut_nothing() -> None:
    stream = TwilioStream("inbound")
    media = [json.loads(message) for message in stream.media(ALICE)]
    for place, message in enumerate(media):
        message["media"]["timestamp"] = str(int(message["media"]["timestamp"]) + place % 3 * 4)
    spoken = talk(*stream.begin(), *map(json.dumps, media), stream.stop())
    assert sent(spoken, Gap) == []
    assert sent(spoken, Summary)[0].audio_ms == 5000
    assert words(spoken) == words(call(ALICE))


def test_a_piece_that_comes_twice_counts_once() -> None:
    stream = TwilioStream("inbound")
    media = [message for message in stream.media(ALICE) for _ in range(2)]
    spoken = talk(*stream.begin(), *media, stream.stop())
    assert sent(spoken, Summary)[0].audio_ms == 5000
    assert words(spoken) == words(call(ALICE))


def test_without_timestamps_the_numbers_of_pieces_place_them() -> None:
    stream = TwilioStream("inbound")
    media = [json.loads(message) for message in stream.media(ALICE, keep=lambda track, ms: not 100 <= ms < 300)]
    for message in media:
        del message["media"]["timestamp"]
    spoken = talk(*stream.begin(), *map(json.dumps, media), stream.stop())
    assert [(gap.from_sample, gap.to_sample) for gap in sent(spoken, Gap)] == [(800, 2400)]


def test_a_hold_without_media_longer_than_a_session_takes_at_once() -> None:
    stream = TwilioStream("inbound")
    spoken = talk(*stream.begin(), *stream.media(ALICE))
    spoken.now = 150.0
    spoken.send(*stream.media(ALICE, first_ms=150_000))
    spoken.send(stream.stop())
    assert sent(spoken, Summary)[0].audio_ms == 155_000
    assert [start_ms // 1000 for _, start_ms in words(spoken)] == [0, 150]


def test_a_timestamp_beyond_real_time_is_an_error() -> None:
    stream = TwilioStream("inbound")
    spoken = talk(*stream.begin(), *stream.media(ALICE, first_ms=10**9))
    assert spoken.closed is not None
    assert (spoken.closed.code, spoken.closed.reason) == (1008, "bad_audio")


def test_keys_and_marks_are_events_at_their_place() -> None:
    stream = TwilioStream("inbound", "outbound")
    spoken = talk(*stream.begin(), *stream.media(ALICE[:RATE], BOB[:RATE]), stream.dtmf("5"), stream.mark("asked"))
    spoken.send(
        *stream.media(ALICE[RATE:], BOB[RATE:], first_ms=1000), stream.dtmf("#", "outbound_track"), stream.stop()
    )
    keys = [(one.label, one.channel, one.start_ms) for one in sent(spoken, Event) if one.source == "signalling"]
    assert keys == [("dtmf_5", 0, 1000), ("dtmf_pound", 1, 5000)]
    assert [(one.id, one.sample) for one in sent(spoken, MarkerEcho)] == [("asked", 8000)]
    assert [key.label for key in sent(spoken, CallSummary)[0].call.keys] == ["5", "#"]


def test_keys_are_hidden_where_numbers_are() -> None:
    stream = TwilioStream("inbound", parameters={"redact": "card"})
    spoken = talk(*stream.begin(), *stream.media(ALICE[:RATE]), stream.dtmf("5"), stream.stop())
    assert [one.label for one in sent(spoken, Event)] == ["dtmf_masked"]


def test_telnyx_writes_the_same_otherwise() -> None:
    stream = TwilioStream("inbound", "outbound")
    messages = [*stream.begin(), *stream.media(ALICE, BOB), stream.dtmf("1"), stream.stop()]
    spoken = talk(*map(telnyx, messages))
    assert words(spoken) == words(call(ALICE, BOB))
    assert [one.label for one in sent(spoken, Event) if one.source == "signalling"] == ["dtmf_1"]
    assert isinstance(spoken.dialect, Twilio)
    assert spoken.dialect.call is not None
    assert spoken.dialect.call.id == CALL


def test_a_stream_that_names_no_tracks_can_be_told_by_the_address() -> None:
    dialect = Twilio(handshake("/twilio", "tracks=inbound"))
    (start,) = dialect.receive(telnyx(TwilioStream("inbound").begin()[1]), 0.0)
    assert isinstance(start, Start)
    assert (start.audio.channels, start.audio.labels) == (1, ["inbound"])


@pytest.mark.parametrize(
    ("form", "audio"),
    [
        ({"encoding": "audio/x-alaw", "sampleRate": 8000, "channels": 1}, ("alaw", 8000)),
        ({"encoding": "audio/x-l16", "sampleRate": "16000", "channels": 1}, ("s16le", 16000)),
        ({"encoding": "PCMU", "sample_rate": 8000}, ("mulaw", 8000)),
    ],
)
def test_the_media_format_is_honoured(form: dict[str, Any], audio: tuple[str, int]) -> None:
    begin = json.loads(TwilioStream("inbound").begin()[1])
    begin["start"]["mediaFormat"] = form
    (start,) = Twilio(handshake("/twilio")).receive(json.dumps(begin), 0.0)
    assert isinstance(start, Start)
    assert (start.audio.encoding, start.audio.sample_rate) == audio


def test_stereo_of_two_bytes_is_interleaved_by_samples() -> None:
    begin = json.loads(TwilioStream("inbound", "outbound").begin()[1])
    begin["start"]["mediaFormat"] = {"encoding": "audio/l16", "sampleRate": 8000}
    dialect = Twilio(handshake("/twilio"))
    dialect.receive(json.dumps(begin), 0.0)
    stream = TwilioStream("inbound", "outbound")
    assert dialect.receive(stream.piece("inbound", 1, 0, b"\1\2\3\4"), 0.0) == []
    assert dialect.receive(stream.piece("outbound", 1, 0, b"\5\6\7\x08"), 0.0) == [
        Audio(first_sample=0, data=b"\1\2\5\6\3\4\7\x08")
    ]


def test_what_waits_for_the_other_track_comes_before_the_end() -> None:
    dialect = Twilio(handshake("/twilio"))
    stream = TwilioStream("inbound", "outbound")
    dialect.receive(stream.begin()[1], 0.0)
    dialect.receive(stream.piece("inbound", 1, 0, bytes(160)), 0.0)
    audio, gap, stop = dialect.receive(stream.stop(), 0.0)
    assert audio == Audio(first_sample=0, data=b"\0\xff" * 160)
    assert gap == Signal(Gap(from_sample=0, to_sample=160, reason="client", channel=1))
    assert stop == Stop()


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (["hello"], "bad_message"),
        (['{"event":"media","media":{"payload":"","track":"inbound"}}'], "start_expected"),
        ([*TwilioStream().begin(), '{"event":"media","media":{"payload":"?","track":"inbound"}}'], "bad_message"),
        ([*TwilioStream().begin(), '{"event":"media"}'], "bad_message"),
        ([*TwilioStream().begin(), '{"event":"media","media":{"payload":"","chunk":"x"}}'], "bad_message"),
        ([*TwilioStream().begin(), '{"event":"media","media":{"payload":"","track":"third"}}'], "unsupported"),
        ([*TwilioStream().begin(), *TwilioStream().begin()], "already_started"),
        (['{"event":"start","start":{"mediaFormat":{"encoding":"opus"}}}'], "unsupported"),
        (['{"event":"start","start":{"mediaFormat":{"sampleRate":11025}}}'], "unsupported"),
        (['{"event":"start","start":{"customParameters":{"redact":"names"}}}'], "unsupported"),
        (['{"event":"start","start":{"tracks":["a","b","c"]}}'], "unsupported"),
    ],
)
def test_what_is_wrong_closes_the_connection(messages: list[str], reason: str) -> None:
    spoken = talk(*messages)
    assert spoken.closed is not None
    assert (spoken.closed.code, spoken.closed.reason) == (1008, reason)


def test_messages_of_later_versions_are_ignored() -> None:
    assert Twilio(handshake("/twilio")).receive('{"event":"news","news":{}}', 0.0) == []


def test_who_does_not_start_is_disconnected() -> None:
    spoken = talk()
    spoken.wait(11.0)
    assert spoken.closed is not None
    assert spoken.closed.reason == "start_timeout"


def test_a_key_that_no_header_showed_is_a_parameter() -> None:
    good = TwilioStream(parameters={"token": "good"}).begin()
    dialect = Twilio(handshake("/twilio"), lambda key: key == "good")
    assert isinstance(dialect.receive(good[1], 0.0)[0], Start)
    for parameters in ({"token": "bad"}, {}):
        dialect = Twilio(handshake("/twilio"), lambda key: key == "good")
        with pytest.raises(ProtocolError, match="unauthorized"):
            dialect.receive(TwilioStream(parameters=parameters).begin()[1], 0.0)


@pytest.mark.parametrize(
    ("url", "digest", "signature"),
    [  # by `RequestValidator.compute_signature` of twilio 9.13.0, with the token 12345
        ("wss://example.com/twilio", "sha1", "4qZsm0/0bGQYw36gQ+0YyAX07W0="),
        ("wss://example.com/twilio", "sha256", "7MuTL5+jBK9Ronm1FtXVCs+U4sFrwfYvLIBHqfKJFQE="),
        ("wss://example.com:443/twilio", "sha1", "tYIDpTBj+kKa9YO2PK0LP2nShQI="),
        ("wss://example.com/twilio/", "sha1", "JlXw4tEu8lTjRRJbGn37e6XJOFg="),
        ("wss://h.example:8443/a/twilio", "sha1", "BwskT+Z8xPqNhUn8ma/EHHLCl5U="),
    ],
)
def test_signatures_are_twilios(url: str, digest: str, signature: str) -> None:
    settings = f"key=K,algorithm=HMAC_{digest.upper()}" if digest != "sha1" else ""
    assert sign("12345", url, digest) == signature
    assert signed("12345", url, signature, settings)
    assert not signed("12346", url, signature, settings)
    assert not signed("12345", f"{url}x", signature, settings)
    assert not signed("12345", url, signature, "algorithm=HMAC_MD5")


def test_a_port_and_a_slash_at_the_end_do_not_matter() -> None:
    for url in ("wss://example.com/twilio", "wss://example.com:443/twilio", "wss://example.com:80/twilio/"):
        assert signed("12345", "wss://example.com/twilio", sign("12345", url))
    assert not signed("12345", "wss://example.com/twilio", sign("12345", "wss://example.com:8443/twilio"))
