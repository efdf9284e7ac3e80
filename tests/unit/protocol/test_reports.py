"""What the webhook is told of a call: each report has its number, a final all of its words, and there is one end."""

import hashlib
import hmac
import json
from typing import Any

from streaming.protocol.dialect import CallInfo
from streaming.protocol.messages import (
    AudioFormat,
    Endpointing,
    Error,
    Event,
    Gap,
    Load,
    MarkerEcho,
    ModelInfo,
    Ready,
    ServerMessage,
    Speech,
    Summary,
    Transcript,
    Word,
)
from streaming.protocol.reports import Reporter, signature

CALL = CallInfo(protocol="twilio", id="CA1", stream="MZ1", parameters={"agent": "7"})
READY = Ready(
    session="s",
    resume_token="hush",
    model=ModelInfo(name="m", device="d", dtype="t"),
    audio=AudioFormat(encoding="mulaw", sample_rate=8000, channels=2, labels=["a", "b"]),
    interim="stable",
    endpointing=Endpointing(),
    max_message_bytes=1,
)
SUMMARY = Summary(audio_ms=1000, speech_ms=500, utterances=1, words=2)


def told(*messages: ServerMessage) -> list[dict[str, Any]]:
    reporter = Reporter(CALL)
    reports = [report for message in messages if (report := reporter.say(message)) is not None]
    last = reporter.over()
    return [json.loads(report.body) for report in [*reports, *([last] if last else [])]]


def word(id: int, text: str) -> Word:
    return Word(id=id, text=text, start_ms=0, end_ms=100, confidence=0.9, state="final")


def test_a_call_begins_and_ends_once() -> None:
    begun, ended = told(READY, SUMMARY)
    assert begun == {
        "type": "call.started",
        "number": 1,
        "call": "CA1",
        "protocol": "twilio",
        "session": "s",
        "message": {
            "stream": "MZ1",
            "parameters": {"agent": "7"},
            "audio": {"encoding": "mulaw", "sample_rate": 8000, "channels": 2, "labels": ["a", "b"]},
        },
    }
    assert (ended["type"], ended["number"]) == ("call.ended", 2)
    assert ended["message"]["summary"]["words"] == 2
    assert ended["message"]["error"] is None


def test_the_resume_token_is_nobodys_business() -> None:
    assert "hush" not in json.dumps(told(READY, SUMMARY))


def test_a_line_that_breaks_ends_the_call_as_well() -> None:
    assert [one["type"] for one in told(READY)] == ["call.started", "call.ended"]
    failed = told(READY, Error(code="bad_audio", message="no"))
    assert failed[-1]["message"]["error"]["code"] == "bad_audio"
    assert len(failed) == 2


def test_a_call_that_never_began_is_not_told() -> None:
    assert told() == []


def test_a_final_has_all_of_its_words_and_interims_are_not_told() -> None:
    first = Transcript(utterance=1, channel=0, revision=1, from_word=0, words=[word(1, "one"), word(2, "to")])
    final = Transcript(
        utterance=1, channel=0, revision=2, from_word=1, words=[word(3, "two")], final=True, text="one two"
    )
    speech = Speech(channel=0, state="started", utterance=1, at_ms=0)
    (_, transcript, _) = told(READY, speech, first, final, SUMMARY)
    assert transcript["type"] == "transcript"
    assert [one["text"] for one in transcript["message"]["words"]] == ["one", "two"]
    assert transcript["message"]["from_word"] == 0
    assert transcript["message"]["text"] == "one two"


def test_keys_marks_and_gaps_are_told_and_load_is_not() -> None:
    reports = told(
        READY,
        Event(label="dtmf_1", channel=0, start_ms=5, source="signalling"),
        MarkerEcho(id="m", sample=9),
        Load(level="normal", lag_ms=0, interim_ms=500),
        Gap(from_sample=0, to_sample=8, reason="client"),
        Error(code="decode_failed", message="", fatal=False),
    )
    assert [one["type"] for one in reports[1:-1]] == ["event", "marker", "gap", "error"]
    assert [one["number"] for one in reports] == [1, 2, 3, 4, 5, 6]


def test_the_signature_is_of_the_time_and_the_body() -> None:
    mac = hmac.new(b"key", b'1700000000.{"a":1}', hashlib.sha256).hexdigest()
    assert signature("key", 1_700_000_000, b'{"a":1}') == f"t=1700000000,v1={mac}"
