"""Wyoming's events, in and out."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.protocol.dialect import Encoded, Handshake, Outcome, Reply, Source
from streaming.protocol.dialects.wyoming import Wyoming, event, rest_bytes
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Audio, Error, Speech, Start, Stop, Summary, Task, Transcript

HOME_ASSISTANT = {"rate": 16_000, "width": 2, "channels": 1}
LIMIT = 1 << 20


def dialect() -> Wyoming:
    return Wyoming(Handshake(path="", now=5.0, idle_timeout_s=30.0), "tiny.en", ("en",))


def sent(kind: str, data: dict[str, Any] | None = None, content: bytes = b"") -> bytes:
    """As the wyoming package writes it."""
    body = json.dumps(data).encode() if data else b""
    line: dict[str, Any] = {"type": kind, "version": "1.10.2"}
    line |= {"data_length": len(body)} if body else {}
    line |= {"payload_length": len(content)} if content else {}
    return json.dumps(line).encode() + b"\n" + body + content


def read(*payloads: bytes | str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for payload in payloads:
        assert isinstance(payload, bytes)
        line, _, rest = payload.partition(b"\n")
        header = json.loads(line)
        assert header.get("data_length", 0) == len(rest)
        found.append((header["type"], json.loads(rest) if rest else {}))
    return found


def heard(one: Wyoming, *events: bytes) -> list[Outcome]:
    return [outcome for each in events for outcome in one.receive(each, 6.0)]


def final(text: str, utterance: int = 0) -> Transcript:
    return Transcript(
        utterance=utterance, channel=0, revision=1, from_word=0, words=[], final=True, text=text, language="en"
    )


def test_one_utterance_of_home_assistant() -> None:
    one = dialect()
    chunk = sent("audio-chunk", HOME_ASSISTANT, b"\1\0\2\0")
    assert heard(
        one, sent("transcribe", {"language": "en-US"}), sent("audio-start", HOME_ASSISTANT | {"timestamp": None}),
        chunk, chunk, sent("audio-stop"),
    ) == [
        Start(task=Task(language="en"), events=False),
        Audio(first_sample=0, data=b"\1\0\2\0"),
        Audio(first_sample=2, data=b"\1\0\2\0"),
        Stop(),
    ]  # fmt: skip


def test_audio_may_come_without_anything_before_it() -> None:
    begun, audio = heard(dialect(), sent("audio-chunk", HOME_ASSISTANT, b"\1\0"))
    assert begun == Start(task=Task(), events=False)
    assert audio == Audio(first_sample=0, data=b"\1\0")


def test_data_may_stand_in_the_header() -> None:
    begun, audio = heard(
        dialect(), json.dumps({"type": "audio-chunk", "data": HOME_ASSISTANT, "payload_length": 2}).encode() + b"\n\1\0"
    )
    assert isinstance(begun, Start)
    assert isinstance(audio, Audio)


@pytest.mark.parametrize(
    ("asked", "source"),
    [
        ({"rate": 22_050, "width": 2, "channels": 1}, Source(raw="s16le", sample_rate=22_050)),
        ({"rate": 16_000, "width": 2, "channels": 2}, Source(raw="s16le", input_channels=2)),
        ({"rate": 48_000, "width": 4, "channels": 1}, Source(raw="s32le", sample_rate=48_000)),
    ],
)
def test_other_samples_are_converted(asked: dict[str, Any], source: Source) -> None:
    one = dialect()
    assert heard(one, sent("audio-chunk", asked, b"\1\0\2\0"))[1:] == [Encoded(b"\1\0\2\0")]
    assert one.source == source


def test_what_it_is_asked_for() -> None:
    (reply,) = heard(dialect(), sent("describe"))
    assert isinstance(reply, Reply)
    ((kind, info),) = read(reply.payload)
    assert kind == "info"
    (program,) = info["asr"]
    assert [model["languages"] for model in program["models"]] == [["en"]]
    assert program["supports_transcript_streaming"]
    (pong,) = heard(dialect(), sent("ping", {"text": "hello"}))
    assert isinstance(pong, Reply)
    assert read(pong.payload) == [("pong", {"text": "hello"})]


def test_what_is_said() -> None:
    """Chunks put together are the transcript."""
    one = dialect()
    heard(one, sent("audio-start", HOME_ASSISTANT))
    messages = [
        Speech(channel=0, state="started", utterance=0, at_ms=320),
        Speech(channel=0, state="ended", utterance=0, at_ms=900, rule="silence"),
        final("Turn on"),
        final("", 1),
        final("the light.", 2),
        Summary(audio_ms=1, speech_ms=1, utterances=2, words=4),
    ]
    assert read(*(payload for message in messages for payload in one.say(message))) == [
        ("voice-started", {"timestamp": 320}),
        ("voice-stopped", {"timestamp": 900}),
        ("transcript-start", {"language": "en"}),
        ("transcript-chunk", {"text": "Turn on"}),
        ("transcript-chunk", {"text": " the light."}),
        ("transcript-stop", {}),
        ("transcript", {"text": "Turn on the light.", "language": "en"}),
    ]


def test_silence_has_an_empty_transcript() -> None:
    one = dialect()
    assert heard(one, sent("audio-stop")) == [Start(task=Task(), events=False), Stop()]
    summary = Summary(audio_ms=0, speech_ms=0, utterances=0, words=0)
    assert read(*one.say(summary)) == [("transcript", {"text": ""})]


def test_errors_are_told() -> None:
    said = dialect().say(Error(code="unsupported", message="the model does not know Welsh"))
    assert read(*said) == [("error", {"text": "the model does not know Welsh", "code": "unsupported"})]


def test_what_is_not_known_is_dropped() -> None:
    assert heard(dialect(), sent("select-program", {"name": "another"}), sent("synthesize", {"text": "x"})) == []


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"not JSON\n", "bad_message"),
        (b'{"type": "audio-chunk", "data_length": -4}\n', "bad_message"),
        (b'{"type": "audio-chunk", "payload_length": 4000000}\n', "too_large"),
        (b'{"type": "audio-chunk", "payload_length": 4}\nabc', "bad_message"),
        (sent("audio-chunk", {"rate": 16_000}, b"\0\0"), "bad_message"),
        (sent("audio-start", HOME_ASSISTANT | {"width": 3}), "unsupported"),
        (sent("audio-start", HOME_ASSISTANT | {"rate": 10}), "unsupported"),
    ],
)
def test_what_is_wrong_is_named(payload: bytes, code: str) -> None:
    with pytest.raises(ProtocolError) as raised:
        dialect().receive(payload, 6.0)
    assert raised.value.code == code


def test_a_language_that_is_none_is_refused() -> None:
    with pytest.raises(ProtocolError, match="language"):
        heard(dialect(), sent("transcribe", {"language": "Klingon"}), sent("audio-start", HOME_ASSISTANT))


def test_the_format_stays() -> None:
    with pytest.raises(ProtocolError, match="cannot change"):
        heard(dialect(), sent("audio-start", HOME_ASSISTANT), sent("audio-chunk", HOME_ASSISTANT | {"rate": 8_000}))


def test_a_client_that_is_silent_is_left() -> None:
    one = dialect()
    assert one.deadline == 35.0
    with pytest.raises(ProtocolError, match="30 s"):
        one.timeout(35.0)
    heard(one, sent("audio-stop"))
    assert one.deadline is None


def test_how_much_follows_a_header() -> None:
    assert rest_bytes(b'{"type": "a", "data_length": 3, "payload_length": 4}\n', LIMIT) == 7
    assert rest_bytes(event("ping"), LIMIT) == 0
    assert rest_bytes(b'{"type": "a", "payload_length": 2000000}\n', LIMIT) == 0
    assert rest_bytes(b'{"type": "a", "data_length": -9, "payload_length": 10}\n', LIMIT) == 0
    assert rest_bytes(b"[]\n", LIMIT) == 0


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_garbage_is_refused_or_dropped(payloads: list[bytes]) -> None:
    one = dialect()
    for payload in payloads:
        rest_bytes(payload, LIMIT)
        try:
            one.receive(payload, 6.0)
        except ProtocolError:
            return


@given(st.binary(min_size=2, max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_however_audio_is_cut_the_samples_are_the_same(pcm: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(pcm)) for cut in cuts), len(pcm)]
    pieces = [pcm[a:b] for a, b in pairwise(edges)]
    outcomes = heard(dialect(), *(sent("audio-chunk", HOME_ASSISTANT, piece) for piece in pieces))
    audio = [outcome for outcome in outcomes if isinstance(outcome, Audio)]
    assert b"".join(bytes(each.data) for each in audio) == pcm[: len(pcm) // 2 * 2]
