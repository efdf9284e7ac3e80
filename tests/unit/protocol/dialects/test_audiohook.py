"""Genesys AudioHook: numbered transactions, audio of both sides, transcripts as events, a clock that pauses move on."""

import json
from typing import Any

import msgspec
import pytest

from streaming.protocol.dialects.audiohook.entities import duration, seconds
from streaming.protocol.dialects.audiohook.signature import Verifier
from streaming.protocol.dialects.audiohook.stream import AudioHook
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import CallSummary, Gap, GoAway, Summary
from tests.support.audiohook import (
    API_KEY,
    BOTH,
    CONVERSATION,
    NOBODY,
    ORGANIZATION,
    RATE,
    SECRET,
    SESSION,
    AudioHookClient,
    media,
    signed_headers,
)
from tests.support.dialects import Talk, handshake, sentence, speech

HEADERS = {"audiohook-session-id": SESSION, "audiohook-organization-id": ORGANIZATION}
EXTERNAL = speech((0.5, 2.0), total_s=5.0, rate=RATE)
INTERNAL = speech((3.0, 4.0), total_s=5.0, rate=RATE)


class Conversation:
    def __init__(self, *offered: dict[str, Any], **more: Any) -> None:
        self.client = AudioHookClient()
        self.talk = Talk(AudioHook(handshake("/audiohook", headers=HEADERS)), sentence)
        self.say(self.client.open(*offered, **more))

    def say(self, *payloads: Any) -> list[dict[str, Any]]:
        """What comes back for them."""
        before = len(self.client.heard)
        for payload in payloads:
            self.talk.send(payload)
            self.client.hear(*self.talk.heard[len(self.client.heard) :])
        return self.client.heard[before:]

    def close(self) -> list[dict[str, Any]]:
        return self.say(self.client.message("close", reason="end"))

    def sent(self, kind: Any) -> list[Any]:
        assert self.talk.driver is not None
        return [message for message in self.talk.driver.read if isinstance(message, kind)]


def test_a_conversation_from_open_to_closed() -> None:
    call = Conversation(language="en-US", customConfig={"keywords": "refund", "nested": {}})
    (opened,) = call.client.heard
    assert opened["type"] == "opened"
    assert opened["parameters"] == {"media": [media(*BOTH)], "startPaused": False}
    call.say(*call.client.audio(EXTERNAL, INTERNAL))
    *rest, closed = call.close()
    assert (closed["type"], closed["parameters"]) == ("closed", {})
    assert all(message["type"] == "event" for message in rest)
    assert call.talk.closed is not None
    assert call.talk.closed.code == 1000
    finals = [entity for entity in call.client.entities() if entity["isFinal"]]
    assert [one["channelId"] for one in finals] == [0, 1]
    assert call.sent(CallSummary)[0].call.keywords[0].phrase == "refund"


def test_a_transcript_is_as_documented_and_keeps_its_id() -> None:
    call = Conversation(language="en-US")
    call.say(*call.client.audio(EXTERNAL, INTERNAL))
    call.close()
    first = [entity for entity in call.client.entities() if entity["channelId"] == 0]
    assert len({entity["id"] for entity in first}) == 1
    assert [entity["isFinal"] for entity in first] == [False] * (len(first) - 1) + [True]
    final = first[-1]
    (alternative,) = final["alternatives"]
    (display,) = alternative["interpretations"]
    assert (display["type"], display["transcript"]) == ("display", "Hello, world. Don't panic")
    assert [token["value"] for token in display["tokens"]] == ["Hello,", "world.", "Don't", "panic"]
    assert set(display["tokens"][0]) == {"type", "value", "confidence", "offset", "duration"}
    assert 0.1 <= seconds(final["offset"]) <= 0.5
    assert seconds(final["duration"]) == 2.0
    assert alternative["languages"] == ["en-US"]
    assert alternative["confidence"] == 0.9


def test_a_ping_has_its_pong_at_once() -> None:
    call = Conversation()
    (pong,) = call.say(call.client.message("ping", rtt="PT0.02S"))
    assert (pong["type"], pong["clientseq"]) == ("pong", 2)


def test_the_call_is_known_by_its_conversation() -> None:
    call = Conversation(customConfig={"queue": "sales"})
    dialect = call.talk.dialect
    assert isinstance(dialect, AudioHook)
    assert dialect.call is not None
    assert (dialect.call.id, dialect.call.stream) == (CONVERSATION, SESSION)
    assert dialect.call.parameters["queue"] == "sales"
    assert (dialect.call.parameters["ani"], dialect.call.parameters["ani_name"]) == ("+4915112345", "Ann")


def test_one_side_alone_where_nothing_else_is_offered() -> None:
    call = Conversation(media("internal"), media("external", form="L16"))
    assert call.client.heard[0]["parameters"]["media"] == [media("internal")]
    call.say(*call.client.audio(INTERNAL))
    call.close()
    assert {entity["channelId"] for entity in call.client.entities()} == {0}


@pytest.mark.parametrize("kind", ["resumed", "discarded"])
def test_what_is_paused_or_discarded_counts_for_the_clock(kind: str) -> None:
    call = Conversation()
    call.say(*call.client.audio(EXTERNAL, INTERNAL))
    if kind == "resumed":
        call.say(call.client.message("paused"))
    assert call.say(call.client.skip(kind, 3.5)) == []
    call.say(*call.client.audio(EXTERNAL, INTERNAL))
    call.close()
    assert [(gap.from_sample, gap.to_sample) for gap in call.sent(Gap)] == [(40_000, 68_000)]
    assert call.sent(Summary)[0].audio_ms == 13_500
    offsets = [seconds(one["offset"]) for one in call.client.entities() if one["isFinal"] and one["channelId"] == 0]
    assert offsets[1] - offsets[0] == pytest.approx(8.5, abs=0.04)


def test_a_pause_longer_than_a_session_takes_at_once() -> None:
    call = Conversation()
    call.say(*call.client.audio(EXTERNAL, INTERNAL))
    call.talk.now = 130.0
    call.say(call.client.message("paused"), call.client.skip("resumed", 125.0))
    call.say(*call.client.audio(EXTERNAL, INTERNAL))
    call.close()
    assert call.sent(Summary)[0].audio_ms == 135_000


def test_a_pause_beyond_real_time_is_an_error() -> None:
    call = Conversation()
    (refusal,) = call.say(call.client.skip("discarded", 3600.0))
    assert (refusal["type"], refusal["parameters"]["reason"]) == ("disconnect", "error")


def test_another_language_from_now_on() -> None:
    call = Conversation(language="en-US")
    (updated,) = call.say(call.client.message("update", language="en-GB"))
    assert updated["type"] == "updated"
    call.say(*call.client.audio(EXTERNAL, INTERNAL))
    call.close()
    assert call.client.entities()[-1]["alternatives"][0]["languages"] == ["en-GB"]


def test_a_probe_has_no_session() -> None:
    call = Conversation(conversation=NOBODY)
    assert [message["type"] for message in call.client.heard] == ["opened"]
    assert call.talk.driver is None
    assert isinstance(call.talk.dialect, AudioHook)
    assert call.talk.dialect.call is None
    (closed,) = call.close()
    assert closed["type"] == "closed"
    assert call.talk.closed is not None
    assert call.talk.closed.code == 1000


def test_closed_comes_in_time_whatever_the_finals_do() -> None:
    call = Conversation()
    call.talk.hold = True
    call.say(*call.client.audio(EXTERNAL, INTERNAL))
    assert call.close() == []
    call.talk.wait(8.0)
    assert call.client.hear(*call.talk.heard[len(call.client.heard) :])[-1]["type"] == "closed"
    call.talk.hold = False
    call.talk.answer()
    assert call.client.heard[-1]["type"] == "closed", "nothing after it"


def test_a_lost_utterance_that_was_shown_has_an_end() -> None:
    call = Conversation()
    call.say(*call.client.audio(EXTERNAL[: RATE * 2], INTERNAL[: RATE * 2]))
    assert call.client.entities()
    call.talk.hold = True
    call.close()
    call.talk.lose()
    call.client.hear(*call.talk.heard[len(call.client.heard) :])
    assert [one["isFinal"] for one in call.client.entities()][-1]


def test_a_server_that_drains_asks_to_come_again() -> None:
    call = Conversation()
    assert [json.loads(one)["type"] for one in call.talk.dialect.say(GoAway(deadline_ms=1000))] == ["reconnect"]


def _with(message: str, **fields: Any) -> str:
    return json.dumps(json.loads(message) | fields)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda client: "hello",
        lambda client: _with(client.message("ping"), seq=9),
        lambda client: _with(client.message("ping"), serverseq=9),
        lambda client: _with(client.message("ping"), id=NOBODY),
        lambda client: client.message("news"),
        lambda client: client.message("update", language=5),
        lambda client: client.message("discarded", start="PT1S"),
        lambda client: client.message("discarded", start="1", discarded="PT1S"),
    ],
)
def test_what_is_wrong_is_disconnected_with_an_error(wrong: Any) -> None:
    call = Conversation()
    call.talk.send(wrong(call.client))
    last = json.loads(call.talk.heard[-1])
    assert (last["type"], last["parameters"]["reason"]) == ("disconnect", "error")
    assert call.talk.closed is not None
    assert call.talk.closed.code == 1008


def test_no_media_that_can_be_heard() -> None:
    call = Conversation(media("external", form="L16"))
    assert call.client.heard[0]["parameters"]["reason"] == "error"


def test_another_organization_than_the_request_named() -> None:
    headers = HEADERS | {"audiohook-organization-id": NOBODY}
    talk = Talk(AudioHook(handshake("/audiohook", headers=headers)))
    talk.send(AudioHookClient().open())
    assert talk.json[0]["parameters"]["reason"] == "unauthorized"


def test_audio_before_open_and_nothing_at_all() -> None:
    talk = Talk(AudioHook(handshake("/audiohook", headers=HEADERS)))
    talk.send(b"\xff")
    assert talk.json[0]["type"] == "disconnect"
    talk = Talk(AudioHook(handshake("/audiohook", headers=HEADERS)))
    talk.wait(11.0)
    assert talk.closed is not None
    assert talk.closed.reason == "start_timeout"


@pytest.mark.parametrize(("ms", "text"), [(0, "PT0S"), (1500, "PT1.5S"), (20, "PT0.02S"), (61_000, "PT61S")])
def test_durations(ms: int, text: str) -> None:
    assert duration(ms) == text
    assert seconds(text) == ms / 1000


# -- the signature ----------------------------------------------------------------------------------------------------

CREATED = 1_641_013_200


def verify(headers: dict[str, str], *, target: str = "/audiohook", unix_s: float = CREATED + 5, **fields: Any) -> None:
    signed = handshake("/audiohook", headers=headers | {"host": "hook.example.org"}, target=target)
    Verifier(SECRET, fields.get("public_url", "")).verify(msgspec.structs.replace(signed, unix_s=unix_s))


def test_the_documented_example_is_valid() -> None:
    """https://developer.genesys.cloud/devapps/audiohook/security"""
    headers = signed_headers("/api/v1/voicebiometrics/ws", "audiohook.example.com", CREATED)
    names = headers["signature-input"].partition(";")[0]
    headers["signature-input"] = (
        f'{names};keyid="{API_KEY}";nonce="VGhpc0lzQVVuaXF1ZU5vbmNl";alg="hmac-sha256";'
        "created=1641013200;expires=3282026430"
    )
    headers["signature"] = "sig1=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:"
    verify(headers, target="/api/v1/voicebiometrics/ws", public_url="wss://audiohook.example.com")


def test_a_signature_of_the_request_is_valid_and_times_differ_a_little() -> None:
    headers = signed_headers("/audiohook?a=1", "hook.example.org", CREATED)
    for unix_s in (CREATED - 9, CREATED, CREATED + 9):
        verify(headers, target="/audiohook?a=1", unix_s=unix_s)


@pytest.mark.parametrize(
    ("headers", "unix_s"),
    [
        ({}, CREATED),
        (signed_headers("/audiohook", "hook.example.org", CREATED), CREATED + 11),
        (signed_headers("/audiohook", "hook.example.org", CREATED), CREATED - 11),
        (signed_headers("/other", "hook.example.org", CREATED), CREATED),
        (signed_headers("/audiohook", "evil.example.org", CREATED), CREATED),
        (signed_headers("/audiohook", "hook.example.org", CREATED, secret="AAAA"), CREATED),
        (signed_headers("/audiohook", "hook.example.org", CREATED, nonce="short"), CREATED),
        (signed_headers("/audiohook", "hook.example.org", CREATED, keyid="another"), CREATED),
        (signed_headers("/audiohook", "hook.example.org", CREATED, alg="hmac-sha1"), CREATED),
        (signed_headers("/audiohook", "hook.example.org", CREATED) | {"x-api-key": "another"}, CREATED),
        (signed_headers("/audiohook", "hook.example.org", CREATED) | {"signature": "sig1=:?:"}, CREATED),
        (signed_headers("/audiohook", "hook.example.org", CREATED) | {"signature-input": "sig1=();x"}, CREATED),
    ],
)
def test_any_other_is_not(headers: dict[str, str], unix_s: float) -> None:
    with pytest.raises(ProtocolError, match="unauthorized: signature"):
        verify(headers, unix_s=unix_s)


def test_a_signature_counts_once() -> None:
    headers = signed_headers("/audiohook", "hook.example.org", CREATED) | {"host": "hook.example.org"}
    request = msgspec.structs.replace(
        handshake("/audiohook", headers=headers, target="/audiohook"), unix_s=CREATED + 1.0
    )
    verifier = Verifier(SECRET, "")
    verifier.verify(request)
    with pytest.raises(ProtocolError, match="used before"):
        verifier.verify(request)
