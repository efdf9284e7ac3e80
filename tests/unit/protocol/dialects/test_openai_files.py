"""Forms in pieces, fields, and answers in all shapes."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.protocol.dialects.openai.files import (
    brief,
    delta_event,
    done_event,
    event_stream_data,
    read_fields,
    verbose,
    whole_text,
)
from streaming.protocol.dialects.openai.form import Form
from streaming.protocol.dialects.openai.languages import language_name
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Task, Transcript, Word

BOUNDARY = "----a7c"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def body(*parts: tuple[str, bytes, str | None]) -> bytes:
    """(name, value, file name) of each."""
    whole = b""
    for name, value, filename in parts:
        file = f'; filename="{filename}"' if filename else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        whole += head.encode() + value + b"\r\n"
    return whole + f"--{BOUNDARY}--\r\n".encode()


AUDIO = bytes(range(256)) * 10 + b"\r\n--" + b"\r\n"
GOOD = body(("model", b"whisper-1", None), ("file", AUDIO, "a.wav"), ("timestamp_granularities[]", b"word", None))


def take(data: bytes) -> None:
    form = Form(CONTENT_TYPE)
    form.feed(data)
    form.end()


class TestForm:
    def test_the_file_goes_through_and_fields_are_kept(self) -> None:
        form = Form(CONTENT_TYPE)
        assert form.feed(GOOD) == AUDIO
        form.end()
        assert form.fields == [("model", "whisper-1"), ("timestamp_granularities[]", "word")]

    @given(st.lists(st.integers(1, 400), min_size=1, max_size=20))
    def test_however_it_is_cut(self, sizes: list[int]) -> None:
        form = Form(CONTENT_TYPE)
        heard, at, turn = b"", 0, 0
        while at < len(GOOD):
            size = sizes[turn % len(sizes)]
            heard += form.feed(GOOD[at : at + size])
            at, turn = at + size, turn + 1
        form.end()
        assert heard == AUDIO
        assert len(form.fields) == 2

    @pytest.mark.parametrize(
        "content_type", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=a"]
    )
    def test_another_kind_of_body_is_refused(self, content_type: str) -> None:
        with pytest.raises(ProtocolError, match="multipart/form-data"):
            Form(content_type)

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b"nothing of the kind", "no multipart"),
            (GOOD[:-10], "ends before"),
            (body(("model", b"x", None)), "file: is missing"),
            (body(("file", b"a", "a"), ("file", b"b", "b")), "only once"),
            (body(("prompt", b"x" * 70_000, None), ("file", b"a", "a")), "a field may have"),
            (body(*[("x", b"", None)] * 201), "a form may have"),
        ],
    )
    def test_what_is_wrong_with_it_is_told(self, data: bytes, text: str) -> None:
        with pytest.raises(ProtocolError, match=text) as refused:
            take(data)
        assert refused.value.code == "bad_message"

    @given(st.binary(max_size=500), st.integers(0, len(GOOD)))
    def test_garbage_is_refused_or_taken_and_nothing_else(self, garbage: bytes, at: int) -> None:
        with contextlib.suppress(ProtocolError):
            take(GOOD[:at] + garbage + GOOD[at:])


class TestFields:
    def test_defaults(self) -> None:
        request = read_fields([("model", "whisper-1")], "transcribe")
        assert (request.response_format, request.stream, request.words, request.segments) == (
            "json",
            False,
            False,
            True,
        )
        assert request.start.task == Task()

    @pytest.mark.parametrize("name", ["timestamp_granularities", "timestamp_granularities[]"])
    def test_lists_with_and_without_brackets(self, name: str) -> None:
        fields = [(name, "word"), (name, "segment"), ("response_format", "verbose_json"), ("stream", "False")]
        request = read_fields(fields, "transcribe")
        assert (request.words, request.segments) == (True, True)

    def test_a_translation_of_a_language(self) -> None:
        assert read_fields([("language", "de-AT")], "translate").start.task == Task(name="translate", language="de")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("response_format", "docx"),
            ("timestamp_granularities", "syllable"),
            ("language", "!!"),
            ("stream", "perhaps"),
        ],
    )
    def test_wrong_values_are_named(self, name: str, value: str) -> None:
        with pytest.raises(ProtocolError, match=f"{name}: "):
            read_fields([(name, value)], "transcribe")

    def test_subtitles_are_not_streamed(self) -> None:
        with pytest.raises(ProtocolError, match="stream: "):
            read_fields([("stream", "true"), ("response_format", "srt")], "transcribe")


def final(utterance: int, start_ms: int, *texts: str, language: str | None = "en") -> Transcript:
    words = [
        Word(
            id=n, text=text, start_ms=start_ms + 500 * n, end_ms=start_ms + 500 * n + 400, confidence=0.9, state="final"
        )
        for n, text in enumerate(texts)
    ]
    return Transcript(
        utterance=utterance, channel=0, revision=1, from_word=0, words=words, final=True, language=language
    )


FINALS = [final(1, 1000, "Hello,", "world."), final(2, 4000), final(3, 6000, "Good", "bye.")]


class TestAnswers:
    def test_brief(self) -> None:
        assert brief(FINALS, 8.2) == {
            "text": "Hello, world. Good bye.",
            "usage": {"type": "duration", "seconds": 9},
        }

    def test_verbose_with_segments_and_words(self) -> None:
        fields = [("response_format", "verbose_json"), ("timestamp_granularities[]", "word")]
        both = [*fields, ("timestamp_granularities[]", "segment")]
        told = verbose(FINALS, 8.2, read_fields(both, "transcribe"))
        assert (told["task"], told["language"], told["duration"]) == ("transcribe", "english", 8.2)
        segments: Any = told["segments"]
        assert [(one["id"], one["start"], one["end"], one["text"]) for one in segments] == [
            (0, 1.0, 1.9, " Hello, world."),
            (1, 6.0, 6.9, " Good bye."),
        ]
        assert segments[0]["avg_logprob"] == pytest.approx(-0.1054, abs=1e-3)
        words: Any = told["words"]
        assert words[0] == {"word": "Hello,", "start": 1.0, "end": 1.4}
        assert "segments" not in verbose(FINALS, 8.2, read_fields(fields, "transcribe"))
        assert "words" not in verbose(FINALS, 8.2, read_fields([], "transcribe"))

    def test_deltas_add_up(self) -> None:
        spoken = [one for one in FINALS if one.words]
        events: Any = [delta_event(one, first=place == 0) for place, one in enumerate(spoken)]
        assert "".join(event["delta"] for event in events) == whole_text(FINALS)
        assert done_event(FINALS, 8.2)["text"] == whole_text(FINALS)

    def test_an_event_is_a_line_of_data(self) -> None:
        text = event_stream_data({"type": "x", "delta": "a\nb"})
        assert text.endswith("\n\n")
        assert json.loads(text.removeprefix("data: ")) == {"type": "x", "delta": "a\nb"}

    @pytest.mark.parametrize(("code", "name"), [("en", "english"), ("yue", "cantonese"), ("xx", "xx"), (None, "")])
    def test_languages_have_english_names(self, code: str | None, name: str) -> None:
        assert language_name(code) == name
