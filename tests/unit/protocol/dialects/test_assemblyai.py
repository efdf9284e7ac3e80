"""AssemblyAI's streaming, version 3: turns, in the shapes that its SDK validates."""

import json
from typing import Any

import pytest

from streaming.protocol.dialect import Close, Source
from streaming.protocol.dialects.assemblyai import AssemblyAI
from streaming.protocol.errors import ProtocolError, error_message
from streaming.protocol.messages import Configure, Start
from tests.support.dialects import Talk, handshake, sentence, speech

QUERY = "sample_rate=16000&encoding=pcm_s16le"
TWO_SENTENCES = speech((0.5, 2.5), (4.0, 5.5), total_s=7.0)


def connected(query: str = "format_turns=True") -> Talk:
    return Talk(AssemblyAI(handshake("/v3/ws", f"{QUERY}&{query}")), sentence)


def test_it_begins_at_once() -> None:
    """The SDK gives up after a second."""
    (begin,) = connected().json
    assert begin == {
        "type": "Begin",
        "id": "6a0c3b1e-0000-4000-8000-000000000001",
        "expires_at": 1_700_000_000 + 3 * 3600,
    }


def test_every_turn_has_the_fields_that_are_validated() -> None:
    talk = connected()
    talk.send_audio(TWO_SENTENCES)
    assert talk.of_type("Turn")
    for turn in talk.of_type("Turn"):
        assert set(turn) >= {
            "turn_order",
            "turn_is_formatted",
            "end_of_turn",
            "transcript",
            "end_of_turn_confidence",
            "words",
            "utterance",
        }
        for word in turn["words"]:
            assert set(word) == {"text", "start", "end", "confidence", "word_is_final"}
            assert isinstance(word["start"], int)


def test_a_turn_ends_bare_and_then_formatted() -> None:
    """Pipecat takes the formatted one for the end."""
    talk = connected()
    talk.send_audio(TWO_SENTENCES[: 16_000 * 4])
    bare, formatted = [turn for turn in talk.of_type("Turn") if turn["end_of_turn"]]
    assert (bare["transcript"], bare["turn_is_formatted"]) == ("hello world don't panic now", False)
    assert (formatted["transcript"], formatted["turn_is_formatted"]) == ("Hello, world. Don't panic now", True)
    assert bare["turn_order"] == formatted["turn_order"] == 0


def test_without_formatting_there_is_one_end() -> None:
    talk = connected("")
    talk.send_audio(TWO_SENTENCES)
    assert [turn["turn_order"] for turn in talk.of_type("Turn") if turn["end_of_turn"]] == [0, 1]


def test_the_transcript_of_an_open_turn_has_the_words_that_stay() -> None:
    talk = connected()
    talk.send_audio(TWO_SENTENCES[:32_000])
    for turn in talk.of_type("Turn"):
        stable = [word["text"] for word in turn["words"] if word["word_is_final"]]
        assert turn["transcript"] == " ".join(stable)


def test_speech_started() -> None:
    talk = connected()
    talk.send_audio(TWO_SENTENCES)
    assert [one["timestamp"] for one in talk.of_type("SpeechStarted")] == pytest.approx([500, 4000], abs=40)


def test_force_endpoint_ends_the_turn_now() -> None:
    talk = connected()
    talk.send_audio(TWO_SENTENCES[:24_000])
    talk.send({"type": "ForceEndpoint"})
    assert talk.of_type("Turn")[-1]["transcript"] == "Hello, world."
    assert talk.of_type("Turn")[-1]["end_of_turn"]


def test_terminate_says_what_is_left_and_closes_normally() -> None:
    talk = connected()
    talk.send_audio(TWO_SENTENCES[:24_000])
    talk.wait(3.0)
    talk.send({"type": "KeepAlive"}, {"type": "Terminate"})
    *_, turn, termination = talk.json
    assert turn["end_of_turn"]
    assert termination == {"type": "Termination", "audio_duration_seconds": 2, "session_duration_seconds": 3}
    assert talk.closed == Close(1000)


@pytest.mark.parametrize(
    ("query", "silence_ms"),
    [("", 400), ("min_turn_silence=100", 400), ("min_end_of_turn_silence_when_confident=900", 900)],
)
def test_the_pause_that_ends_a_turn(query: str, silence_ms: int) -> None:
    start = AssemblyAI(handshake("/v3/ws", query)).start
    assert start is not None
    assert start.endpointing.min_silence_ms == silence_ms


def test_it_can_be_changed_on_the_way() -> None:
    dialect = AssemblyAI(handshake("/v3/ws", QUERY))
    (configure,) = dialect.receive(json.dumps({"type": "UpdateConfiguration", "min_turn_silence": 800}), 0.0)
    assert isinstance(configure, Configure)
    assert configure.endpointing is not None
    assert configure.endpointing.min_silence_ms == 800
    assert dialect.receive(json.dumps({"type": "UpdateConfiguration", "keyterms_prompt": ["a"]}), 0.0) == []


@pytest.mark.parametrize(
    ("query", "audio", "source"),
    [
        ("", ("s16le", 16_000), None),
        ("encoding=pcm_mulaw&sample_rate=8000", ("mulaw", 8_000), None),
        ("encoding=pcm_s16le&sample_rate=22050", ("s16le", 16_000), Source(raw="s16le", sample_rate=22_050)),
        ("encoding=ogg_opus", ("s16le", 16_000), Source()),
        ("encoding=opus", ("s16le", 16_000), Source(packets=True)),
    ],
)
def test_audio(query: str, audio: tuple[str, int], source: Source | None) -> None:
    dialect = AssemblyAI(handshake("/v3/ws", query))
    assert isinstance(dialect.start, Start)
    assert (dialect.start.audio.encoding, dialect.start.audio.sample_rate) == audio
    assert dialect.source == source


@pytest.mark.parametrize("query", ["encoding=mp7", "sample_rate=x", "format_turns=perhaps", "language=1"])
def test_wrong_parameters(query: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        AssemblyAI(handshake("/v3/ws", query))
    assert refused.value.code == "unsupported"


@pytest.mark.parametrize(
    "message", ["", "[]", '{"type":"Dance"}', '{"type":"UpdateConfiguration","min_turn_silence":"x"}']
)
def test_what_is_no_message_ends_it(message: str) -> None:
    talk = connected()
    talk.send(message)
    assert talk.json[-1]["error_code"] == 4101
    assert talk.closed is not None
    assert talk.closed.code == 4101


@pytest.mark.parametrize(("code", "close"), [("idle_timeout", 4031), ("internal", 1011), ("slow_reader", 3005)])
def test_other_ends(code: Any, close: int) -> None:
    dialect = AssemblyAI(handshake("/v3/ws"))
    native = {"idle_timeout": 4408, "internal": 1011, "slow_reader": 4429}[code]
    assert dialect.goodbye(native, code).code == close
    (said,) = dialect.say(error_message(code, "why"))
    assert json.loads(str(said))["type"] == "Error"
