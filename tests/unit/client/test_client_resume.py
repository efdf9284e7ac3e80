"""The protocol core over several connections: what is sent again, what the application is told, and nothing twice."""

import msgspec
import pytest
from tympan_client import (
    Ack,
    AudioFormat,
    GoAway,
    Ready,
    Reconnected,
    SessionOptions,
    Speech,
    TranscriptUpdate,
    TympanError,
)
from tympan_client.commands import MAX_COMMANDS
from tympan_client.events import Event
from tympan_client.protocol import ClientProtocol

from streaming.protocol import messages
from streaming.protocol.codec import decode_client
from tests.support.client_wire import READY, hear, resumed, said

CODECS = ["msgpack", "json"]
SECOND = bytes(32_000)


def opened(codec: str = "msgpack", unacknowledged_s: float = 30.0) -> ClientProtocol:
    protocol = ClientProtocol(SessionOptions(), codec, unacknowledged_s=unacknowledged_s)
    protocol.start()
    assert isinstance(hear(protocol, READY), Ready)
    return protocol


def resume(protocol: ClientProtocol, next_sample: int = 0, commands: int = 0) -> Event | None:
    protocol.start()
    return hear(protocol, resumed(next_sample, commands))


def transcript(utterance: int, *, seq: int, final: bool = False) -> messages.Transcript:
    return messages.Transcript(
        seq=seq, utterance=utterance, channel=0, revision=seq, from_word=0, words=[], final=final
    )


def started(seq: int) -> messages.Speech:
    return messages.Speech(seq=seq, channel=0, state="started", utterance=seq, at_ms=0)


@pytest.mark.parametrize("codec", CODECS)
def test_it_asks_for_its_session_and_for_what_it_has_not_heard(codec: str) -> None:
    protocol = opened(codec)
    hear(protocol, started(seq=7))
    protocol.lost()
    assert protocol.state == "reconnecting"
    start = decode_client(codec, protocol.start())
    assert start.resume == messages.Resume(session="s", token="t", last_seq=7)
    assert start.audio == messages.AudioFormat()


def test_a_session_without_a_token_cannot_be_resumed() -> None:
    protocol = ClientProtocol(SessionOptions())
    protocol.start()
    hear(protocol, msgspec.structs.replace(READY, resume_token=None))
    assert not protocol.can_resume


def test_audio_and_commands_are_sent_again_in_their_order_from_where_the_server_is() -> None:
    protocol = opened()
    protocol.marker("0")
    protocol.audio(b"\1\0" * 100)
    protocol.marker("1")
    protocol.finalize()
    protocol.audio(b"\2\0" * 100)
    protocol.stop()
    first = said(protocol)
    protocol.lost()
    assert said(protocol) == []
    resume(protocol, next_sample=60, commands=1)
    assert protocol.state == "stopping"
    assert said(protocol) == [
        messages.Audio(first_sample=60, data=b"\1\0" * 40),
        messages.Marker(id="1"),
        messages.Finalize(),
        messages.Audio(first_sample=100, data=b"\2\0" * 100),
        messages.Stop(),
    ]
    protocol.lost()
    resume(protocol)
    assert said(protocol)[1:] == first[2:]  # what the server said it has need not be kept


def test_acks_trim_what_is_kept() -> None:
    protocol = opened()
    protocol.audio(SECOND)
    protocol.marker("0")
    protocol.audio(SECOND)
    protocol.marker("1")
    said(protocol)
    assert hear(protocol, messages.Ack(sample=16_000, commands=1)) == Ack(sample=16_000, commands=1)
    protocol.lost()
    resume(protocol, next_sample=16_000, commands=1)
    assert said(protocol) == [messages.Audio(first_sample=16_000, data=SECOND), messages.Marker(id="1")]


def test_audio_taken_while_the_connection_is_away_is_sent_afterwards() -> None:
    protocol = opened()
    protocol.lost()
    protocol.audio(SECOND)
    protocol.finalize()
    assert resume(protocol) == Reconnected(attempts=1, lost_s=0.0)
    assert said(protocol) == [messages.Audio(first_sample=0, data=SECOND), messages.Finalize()]


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_too_much_takes_the_place_of_the_oldest_and_the_rest_keeps_its_position(codec: str) -> None:
    protocol = opened(codec, unacknowledged_s=2.0)
    protocol.lost()
    for value in (b"\1\0", b"\2\0", b"\3\0", b"\4\0"):
        assert protocol.has_room(value * 16_000, "drop")
        protocol.audio(value * 16_000)
    assert not protocol.has_room(SECOND, "wait")
    assert resume(protocol) == Reconnected(attempts=1, lost_s=2.0)
    last = messages.Audio(first_sample=48_000, data=b"\4\0" * 16_000)
    assert said(protocol) == [
        messages.Audio(first_sample=32_000, data=b"\3\0" * 16_000),
        last if codec == "msgpack" else messages.RawAudio(last.data),
    ]


def test_a_command_whose_audio_is_gone_is_sent_before_what_came_after_it() -> None:
    protocol = opened(unacknowledged_s=1.0)
    protocol.lost()
    protocol.audio(SECOND)
    protocol.finalize()
    protocol.audio(SECOND)
    resume(protocol)
    assert said(protocol) == [messages.Finalize(), messages.Audio(first_sample=16_000, data=SECOND)]


def test_audio_that_was_taken_for_a_server_of_larger_messages_is_cut() -> None:
    protocol = opened("json")
    protocol.audio(SECOND)
    protocol.lost()
    protocol.start()
    hear(protocol, msgspec.structs.replace(READY, resumed=True, max_message_bytes=2000))
    payloads = list(iter(protocol.next_payload, None))
    assert max(map(len, payloads)) <= 2000
    assert b"".join(payloads) == SECOND


def test_attempts_are_counted_from_the_loss() -> None:
    protocol = opened()
    protocol.lost()
    protocol.start()
    protocol.lost()
    assert resume(protocol) == Reconnected(attempts=2, lost_s=0.0)
    protocol.lost()
    assert resume(protocol) == Reconnected(attempts=1, lost_s=0.0)


def test_a_numbered_message_is_told_once() -> None:
    protocol = opened()
    assert isinstance(hear(protocol, started(seq=1)), Speech)
    assert isinstance(hear(protocol, started(seq=2)), Speech)
    protocol.lost()
    resume(protocol)
    assert hear(protocol, started(seq=2)) is None
    assert isinstance(hear(protocol, started(seq=3)), Speech)


def test_an_utterance_ends_once_however_its_messages_are_numbered() -> None:
    protocol = opened()
    assert isinstance(hear(protocol, transcript(1, seq=1, final=True)), TranscriptUpdate)
    protocol.lost()
    resume(protocol)
    assert hear(protocol, transcript(1, seq=2)) is None
    assert hear(protocol, transcript(1, seq=3, final=True)) is None
    assert isinstance(hear(protocol, transcript(2, seq=4)), TranscriptUpdate)
    assert protocol.last_seq == 4


def test_messages_about_the_connection_are_always_told() -> None:
    protocol = opened()
    hear(protocol, started(seq=5))
    assert isinstance(hear(protocol, messages.GoAway(deadline_ms=1000)), GoAway)
    assert isinstance(hear(protocol, messages.Ack(sample=0)), Ack)


@pytest.mark.parametrize(
    ("code", "retryable", "state"), [("draining", True, "reconnecting"), ("taken_over", False, "finished")]
)
def test_an_error_ends_the_session_unless_it_may_be_tried_again(code: str, retryable: bool, state: str) -> None:
    protocol = opened()
    with pytest.raises(TympanError, match=code):
        hear(protocol, messages.Error(code=code, message="no", retryable=retryable))
    assert (protocol.state, protocol.can_resume) == (state, state == "reconnecting")


def test_commands_are_bounded_while_the_connection_is_away() -> None:
    protocol = opened()
    protocol.lost()
    for number in range(MAX_COMMANDS):
        protocol.marker(str(number))
    with pytest.raises(TympanError, match="too_many_commands"):
        protocol.marker("one more")
    resume(protocol)
    assert len(said(protocol)) == MAX_COMMANDS


def test_commands_that_were_sent_make_room_for_new_ones() -> None:
    """Where the server cannot store them there is no ack, and the newest ones are kept."""
    protocol = opened()
    for number in range(MAX_COMMANDS + 1):
        protocol.marker(str(number))
        said(protocol)
    protocol.lost()
    resume(protocol)
    again = said(protocol)
    assert (len(again), again[0], again[-1]) == (MAX_COMMANDS, messages.Marker(id="1"), messages.Marker(id="1024"))


def test_what_cannot_be_encoded_is_refused_when_it_is_given() -> None:
    protocol = opened("json")
    with pytest.raises(TypeError):
        protocol.marker(b"bytes")
    assert said(protocol) == []


def test_a_server_that_begins_another_session_is_refused() -> None:
    protocol = opened()
    protocol.lost()
    protocol.start()
    with pytest.raises(TympanError, match="bad_server_message"):
        hear(protocol, READY)


def test_the_token_stays_out_of_sight() -> None:
    protocol = ClientProtocol(SessionOptions(audio=AudioFormat()))
    assert "secret" not in repr(hear(protocol, msgspec.structs.replace(READY, resume_token="secret")))
