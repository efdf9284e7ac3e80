"""The client's events mirror the server's messages."""

import dataclasses
import typing

import msgspec
import pytest
from tympan_client import Gap, TranscriptUpdate, TympanError, UnknownEvent, Word
from tympan_client.events import EVENT_TYPES, parse_event

from streaming.protocol import messages

SERVER_TYPES = {kind.__struct_config__.tag: kind for kind in typing.get_args(messages.ServerMessage)}


@pytest.mark.parametrize("tag", sorted(SERVER_TYPES))
def test_each_server_message_has_an_event_with_the_same_fields_and_defaults(tag: str) -> None:
    """A field that the server gains or loses must not be forgotten in the client."""
    server = {field.name: field for field in msgspec.structs.fields(SERVER_TYPES[tag])}
    client = {field.name: field for field in dataclasses.fields(EVENT_TYPES[tag])}
    assert server.keys() == client.keys()
    for name, field in server.items():
        if field.default is not msgspec.NODEFAULT:  # the server omits defaults on the wire
            assert client[name].default == field.default, name


def test_there_is_no_event_that_the_server_never_sends() -> None:
    assert EVENT_TYPES.keys() == SERVER_TYPES.keys()


def test_a_word_has_the_servers_fields() -> None:
    server = {field.name for field in msgspec.structs.fields(messages.Word)}
    assert server == {field.name for field in dataclasses.fields(Word)}


def test_a_transcript_comes_with_its_words_typed() -> None:
    word = {"id": 7, "text": "Hello", "start_ms": 0, "end_ms": 300, "confidence": 0.9, "state": "stable"}
    event = parse_event(
        {"type": "transcript", "utterance": 1, "channel": 0, "revision": 2, "from_word": 0, "words": [word], "seq": 4}
    )
    assert isinstance(event, TranscriptUpdate)
    assert event.words == (Word(**word),)
    assert event.seq == 4


def test_fields_of_a_newer_server_are_ignored() -> None:
    event = parse_event({"type": "gap", "from_sample": 1, "to_sample": 2, "reason": "client", "mood": "sad"})
    assert event == Gap(from_sample=1, to_sample=2, reason="client")


def test_messages_of_a_newer_server_come_as_unknown_events() -> None:
    event = parse_event({"type": "weather", "seq": 3, "sky": "blue"})
    assert event == UnknownEvent(type="weather", fields={"type": "weather", "seq": 3, "sky": "blue"}, seq=3)


@pytest.mark.parametrize("message", [None, [], {}, {"type": 3}, {"type": "ack"}, {"type": "transcript", "words": 3}])
def test_nonsense_is_a_typed_error(message: object) -> None:
    with pytest.raises(TympanError) as error:
        parse_event(message)
    assert error.value.code == "bad_server_message"
