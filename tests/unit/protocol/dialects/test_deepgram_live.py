"""Deepgram's live protocol: what its clients send, and what they hear of it."""

import hashlib
import json
from typing import Any

import msgspec
import numpy as np
import pytest

from streaming.protocol.dialect import Close, Encoded, Source
from streaming.protocol.dialects.deepgram.live import DeepgramLive
from streaming.protocol.errors import ProtocolError, error_message
from streaming.protocol.messages import Audio, Event, Stop, Transcript, Word
from tests.support.dialects import Talk, handshake, sentence, speech

RAW = "encoding=linear16&sample_rate=16000"
TWO_SENTENCES = speech((0.5, 2.5), (4.0, 5.5), total_s=7.0)
CLOSE = {"type": "CloseStream"}


def listen(query: str = "", **options: Any) -> Talk:
    return Talk(DeepgramLive(handshake("/v1/listen", f"{RAW}&{query}")), **options)


def text(results: dict[str, Any]) -> str:
    return str(results["channel"]["alternatives"][0]["transcript"])


def finals(talk: Talk) -> list[dict[str, Any]]:
    return [one for one in talk.of_type("Results") if one["is_final"] and text(one)]


class TestResults:
    def test_a_sentence_is_a_final_result_when_it_ends(self) -> None:
        talk = listen()
        talk.send_audio(TWO_SENTENCES)
        first, second = finals(talk)
        assert (first["is_final"], first["speech_final"], first["from_finalize"]) == (True, True, False)
        assert first["channel_index"] == [0, 1]
        assert text(first).startswith("alpha bravo charlie")
        assert second["start"] >= first["start"] + first["duration"]

    def test_every_field_that_some_sdk_needs_is_there(self) -> None:
        """Removing any of these breaks one: livekit, or the Python SDK's versions 3 and 4."""
        talk = listen()
        talk.send_audio(TWO_SENTENCES)
        for results in talk.of_type("Results"):
            assert results["metadata"]["request_id"] == "6a0c3b1e-0000-4000-8000-000000000001"
            assert set(results["metadata"]["model_info"]) == {"name", "version", "arch"}
            assert set(results) >= {"is_final", "speech_final", "from_finalize", "start", "duration", "channel_index"}
            (alternative,) = results["channel"]["alternatives"]
            assert set(alternative) == {"transcript", "confidence", "words"}
            for word in alternative["words"]:
                assert set(word) == {"word", "start", "end", "confidence"}

    def test_interims_come_only_where_they_are_asked_for(self) -> None:
        quiet, lively = listen(), listen("interim_results=true")
        for talk in (quiet, lively):
            talk.send_audio(TWO_SENTENCES)
        assert all(one["is_final"] for one in quiet.of_type("Results"))
        interims = [one for one in lively.of_type("Results") if not one["is_final"]]
        assert [text(one) for one in interims[:3]] == ["alpha", "alpha bravo", "alpha bravo charlie"]
        assert not any(one["speech_final"] for one in interims)
        assert [text(one) for one in finals(quiet)] == [text(one) for one in finals(lively)]

    @pytest.mark.parametrize("late", [False, True])
    @pytest.mark.parametrize("query", ["", "interim_results=true", "interim_results=True&vad_events=TRUE"])
    def test_final_windows_follow_one_another_and_hold_their_words(self, query: str, late: bool) -> None:
        """Also where speech goes on while a final is still being worked out."""
        talk = listen(query)
        talk.hold = late
        talk.send_audio(TWO_SENTENCES)
        talk.send(CLOSE)
        talk.hold = False
        talk.answer()
        assert len(finals(talk)) == 2
        at = 0.0
        for results in talk.of_type("Results"):
            assert results["start"] == pytest.approx(at)
            end = results["start"] + results["duration"]
            for word in results["channel"]["alternatives"][0]["words"]:
                assert results["start"] <= word["start"] <= word["end"] <= end + 0.0005
            at = end if results["is_final"] else at
        assert at > 5.5

    @pytest.mark.parametrize(
        ("query", "transcript", "word"),
        [
            ("", "hello world don't panic now", {"word": "hello"}),
            ("punctuate=true", "Hello, world. Don't panic now", {"word": "hello", "punctuated_word": "Hello,"}),
            ("smart_format=true", "Hello, world. Don't panic now", {"word": "hello", "punctuated_word": "Hello,"}),
        ],
    )
    def test_punctuation_as_asked(self, query: str, transcript: str, word: dict[str, str]) -> None:
        talk = listen(query, answers=sentence)
        talk.send_audio(TWO_SENTENCES[: 16_000 * 4])
        (final,) = finals(talk)
        assert text(final) == transcript
        assert final["channel"]["alternatives"][0]["words"][0].items() >= word.items()

    def test_words_that_are_punctuation_only_are_none(self) -> None:
        talk = listen(answers=lambda job: ["-", "Yes", "..."])
        talk.send_audio(TWO_SENTENCES[: 16_000 * 4])
        (final,) = finals(talk)
        assert text(final) == "yes"

    def test_two_channels_have_results_of_their_own(self) -> None:
        agent, customer = speech((0.5, 1.5), total_s=5.0), speech((2.5, 3.5), total_s=5.0)
        talk = listen("channels=2&multichannel=true")
        talk.send_audio(np.stack([agent, customer], axis=1).astype("<i2").tobytes())
        assert [one["channel_index"] for one in finals(talk)] == [[0, 2], [1, 2]]

    @pytest.mark.parametrize(("query", "told"), [("language=multi", True), ("language=es", False)])
    def test_languages_are_told_where_they_are_asked_for(self, query: str, told: bool) -> None:
        dialect = DeepgramLive(handshake("/v1/listen", f"{RAW}&{query}"))
        word = Word(id=1, text="Hola", start_ms=0, end_ms=400, confidence=0.9, state="final")
        said = Transcript(utterance=1, channel=0, revision=1, from_word=0, words=[word], final=True, language="es")
        (final,) = dialect.say(said)
        alternative = json.loads(final)["channel"]["alternatives"][0]
        assert alternative.get("languages") == (["es"] if told else None)
        assert alternative["words"][0].get("language") == ("es" if told else None)


class TestEndOfSpeech:
    def test_speech_final_is_never_said_where_endpointing_is_off(self) -> None:
        talk = listen("endpointing=false")
        talk.send_audio(TWO_SENTENCES)
        assert [one["speech_final"] for one in finals(talk)] == [False, False]

    @pytest.mark.parametrize(("query", "sentences"), [("endpointing=25", 2), ("endpointing=2000", 1), ("", 2)])
    def test_endpointing_is_the_silence_that_ends_an_utterance(self, query: str, sentences: int) -> None:
        talk = listen(query)
        talk.send_audio(TWO_SENTENCES)
        talk.send(CLOSE)
        assert len(finals(talk)) == sentences

    def test_a_sentence_that_grew_too_long_is_not_over_and_a_long_one_before_a_pause_is(self) -> None:
        """livekit's agents wait for `speech_final`: without it they never hear that somebody stopped speaking."""
        cut = listen()
        cut.send_audio(speech((0.5, 40.0), total_s=42.0))
        assert [one["speech_final"] for one in finals(cut)] == [False, True]
        paused = listen("endpointing=1000")
        paused.send_audio(speech((0.5, 20.0), (20.8, 21.8), total_s=24.0))
        assert [one["speech_final"] for one in finals(paused)] == [True, True], "the pause ends a long one sooner"

    def test_speech_started(self) -> None:
        talk = listen("vad_events=true")
        talk.send_audio(TWO_SENTENCES)
        started = talk.of_type("SpeechStarted")
        assert [one["channel"] for one in started] == [[0, 1], [0, 1]]
        assert [one["timestamp"] for one in started] == pytest.approx([0.5, 4.0], abs=0.04)
        assert listen().of_type("SpeechStarted") == []

    def test_utterance_end_comes_after_the_gap_and_names_the_last_word(self) -> None:
        talk = listen("utterance_end_ms=1000&interim_results=true")
        talk.send_audio(TWO_SENTENCES)
        kinds = [one["type"] for one in talk.json if one["type"] == "UtteranceEnd" or (one["is_final"] and text(one))]
        assert kinds == ["Results", "UtteranceEnd"] * 2
        last_words = [one["channel"]["alternatives"][0]["words"][-1]["end"] for one in finals(talk)]
        assert [one["last_word_end"] for one in talk.of_type("UtteranceEnd")] == last_words

    def test_utterance_end_waits_for_the_final_of_what_ended(self) -> None:
        talk = listen("utterance_end_ms=1000")
        talk.hold = True
        talk.send_audio(TWO_SENTENCES[: int(16_000 * 3.9)])
        assert talk.of_type("UtteranceEnd") == []
        talk.answer()
        assert [one["type"] for one in talk.json][-2:] == ["Results", "UtteranceEnd"]

    def test_silence_alone_has_no_utterance_end(self) -> None:
        talk = listen("utterance_end_ms=1000")
        talk.send_audio(speech(total_s=5.0))
        talk.send(CLOSE)
        assert talk.of_type("UtteranceEnd") == []


class TestFinalize:
    def test_what_was_said_comes_at_once(self) -> None:
        talk = listen()
        talk.send_audio(TWO_SENTENCES[:24_000])
        talk.send({"type": "Finalize"})
        flushed = talk.of_type("Results")[-1]
        assert (flushed["is_final"], flushed["from_finalize"], flushed["speech_final"]) == (True, True, True)
        assert text(flushed) == "alpha bravo"

    def test_twice_repeats_nothing(self) -> None:
        """livekit sends one at `flush` and one right before `CloseStream`."""
        talk = listen()
        talk.send_audio(TWO_SENTENCES[:24_000])
        talk.send({"type": "Finalize"}, {"type": "Finalize"}, CLOSE)
        flushed = [text(one) for one in talk.of_type("Results") if one["from_finalize"]]
        assert flushed == ["alpha bravo", ""]
        assert len(finals(talk)) == 1
        assert talk.closed == Close(1000)

    def test_with_nothing_to_say_there_is_an_empty_answer(self) -> None:
        talk = listen()
        talk.send({"type": "Finalize"})
        (empty,) = talk.of_type("Results")
        assert (text(empty), empty["is_final"], empty["from_finalize"], empty["duration"]) == ("", True, True, 0)

    def test_the_answer_comes_after_all_that_was_said_before(self) -> None:
        """The sentence had ended by itself; its final is still being worked out when the client asks."""
        talk = listen()
        talk.hold = True
        talk.send_audio(TWO_SENTENCES[: 16_000 * 4])
        talk.send({"type": "Finalize"})
        assert not any(one["from_finalize"] for one in talk.of_type("Results"))
        talk.answer()
        sentence, empty = talk.of_type("Results")[-2:]
        assert (text(sentence) != "", sentence["from_finalize"]) == (True, False)
        assert (text(empty), empty["from_finalize"]) == ("", True)

    def test_each_channel_answers(self) -> None:
        speaking, silent = speech((0.1, 3.0), total_s=2.0), speech(total_s=2.0)
        talk = listen("channels=2&multichannel=true")
        talk.send_audio(np.stack([speaking, silent], axis=1).astype("<i2").tobytes())
        talk.send({"type": "Finalize"})
        answers = [
            (one["channel_index"][0], text(one) != "") for one in talk.of_type("Results") if one["from_finalize"]
        ]
        assert sorted(answers) == [(0, True), (1, False)]


class TestClose:
    def test_close_stream_flushes_and_ends_with_metadata_and_1000(self) -> None:
        talk = listen()
        talk.send_audio(TWO_SENTENCES[:24_000])
        talk.send(CLOSE)
        *_, results, metadata = talk.json
        assert (text(results), results["speech_final"]) == ("alpha bravo", True)
        assert metadata == {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": "6a0c3b1e-0000-4000-8000-000000000001",
            "sha256": hashlib.sha256(TWO_SENTENCES[:24_000].astype("<i2").tobytes()).hexdigest(),
            "created": "2023-11-14T22:13:20.250Z",
            "duration": 1.5,
            "channels": 1,
            "models": [metadata["models"][0]],
            "model_info": {metadata["models"][0]: {"name": "fake", "version": "none", "arch": "tympan"}},
        }
        assert talk.closed == Close(1000)

    def test_an_empty_binary_message_is_the_end(self) -> None:
        talk = listen()
        talk.send(b"")
        assert talk.closed == Close(1000)

    def test_whatever_happens_after_close_stream_the_code_is_1000(self) -> None:
        """@deepgram/sdk 5 connects again, up to 30 times, after any other."""
        dialect = DeepgramLive(handshake("/v1/listen", RAW))
        assert dialect.receive(json.dumps(CLOSE), 0.0) == [Stop()]
        for code, reason in ((1011, "internal"), (1012, "draining"), (4429, "slow_reader"), (4422, "bad_audio")):
            assert dialect.goodbye(code, reason).code == 1000

    def test_after_it_nothing_is_read(self) -> None:
        dialect = DeepgramLive(handshake("/v1/listen", RAW))
        dialect.receive(json.dumps(CLOSE), 0.0)
        assert dialect.receive(b"\0" * 100, 1.0) == []
        assert dialect.receive("garbage", 1.0) == []
        assert dialect.deadline is None

    @pytest.mark.parametrize(("code", "reason"), [(1011, "internal"), (1012, "draining"), (1013, "engine_unavailable")])
    def test_failures_are_an_error_and_a_code_after_which_clients_come_again(self, code: int, reason: Any) -> None:
        dialect = DeepgramLive(handshake("/v1/listen", RAW))
        (said,) = dialect.say(error_message(reason, "why"))
        assert json.loads(said) == {"type": "Error", "variant": reason, "description": "why", "message": "why"}
        assert dialect.goodbye(code, reason).code == code

    def test_audio_that_cannot_be_decoded(self) -> None:
        close = DeepgramLive(handshake("/v1/listen")).goodbye(4422, "bad_audio")
        assert (close.code, close.reason[:9]) == (1008, "DATA-0000")


class TestSilence:
    def test_a_client_that_says_nothing_for_12_s_is_sent_away_as_deepgram_does(self) -> None:
        talk = listen()
        talk.wait(11.9)
        assert talk.closed is None
        talk.wait(0.2)
        assert talk.closed is not None
        assert talk.closed.code == 1011
        assert talk.closed.reason.endswith("See https://dpgr.am/net0001")
        assert len(talk.closed.reason.encode()) <= 123
        assert talk.heard == []

    def test_keep_alive_is_heard_and_not_answered(self) -> None:
        """livekit sends it as its very first message."""
        talk = listen()
        for _ in range(10):
            talk.send({"type": "KeepAlive"})
            talk.wait(9.0)
        assert talk.closed is None
        assert talk.heard == []


class TestControl:
    @pytest.mark.parametrize(
        ("message", "keyterms"),
        [
            ({"keyterms": ["tympan", "cochlea"]}, ["tympan", "cochlea"]),
            ({"keyterms": None, "features": {"numerals": True}}, ["deepgram"]),
            ({}, ["deepgram"]),
        ],
    )
    def test_configure_is_acknowledged(self, message: dict[str, Any], keyterms: list[str]) -> None:
        talk = listen("keyterm=deepgram")
        talk.send({"type": "Configure", **message})
        assert talk.json == [
            {
                "type": "ConfigureSuccess",
                "request_id": "6a0c3b1e-0000-4000-8000-000000000001",
                "keyterms": keyterms,
            }
        ]

    @pytest.mark.parametrize(
        "garbage",
        ["", "hello", "[]", "{}", '{"type":"Dance"}', '{"type":3}', '{"type":"Configure","keyterms":3}', "[" * 9999],
    )
    def test_what_is_no_command_is_an_error_and_the_session_goes_on(self, garbage: str) -> None:
        talk = listen()
        talk.send(garbage)
        (error,) = talk.json
        assert (error["type"], error["variant"], error["message"]) == ("Error", "SchemaError", "")
        talk.send_audio(TWO_SENTENCES)
        assert len(finals(talk)) == 2

    def test_a_message_that_is_too_large_ends_it(self) -> None:
        talk = Talk(DeepgramLive(handshake("/v1/listen", RAW, max_message_bytes=1000)))
        talk.send(bytes(1001))
        assert talk.closed is not None
        assert talk.closed.code == 1009


class TestAudioEvents:
    EVENT = Event(label="laughs", channel=0, start_ms=1000, end_ms=1500, score=0.8, source="tagger")

    def test_nobody_hears_of_them_unasked(self) -> None:
        assert DeepgramLive(handshake("/v1/listen", RAW)).say(self.EVENT) == []

    def test_they_stand_in_results_that_repeat_what_is_shown(self) -> None:
        talk = listen("audio_events=true&interim_results=true")
        talk.send_audio(TWO_SENTENCES[:32_000])
        shown = talk.of_type("Results")[-1]
        (said,) = (json.loads(payload) for payload in talk.dialect.say(self.EVENT))
        assert said["audio_events"] == [
            {"label": "laughs", "start": 1.0, "end": 1.5, "score": 0.8, "phase": "instant", "source": "tagger"}
        ]
        assert (said["type"], said["is_final"], text(said)) == ("Results", False, text(shown))

    def test_an_end_of_speech_is_none(self) -> None:
        no_speech = Event(label="no_speech", channel=0, start_ms=0, source="endpointing")
        assert DeepgramLive(handshake("/v1/listen", f"{RAW}&audio_events=true")).say(no_speech) == []


def test_an_utterance_that_is_lost_leaves_nobody_waiting() -> None:
    talk = listen()
    talk.hold = True
    talk.send_audio(TWO_SENTENCES[: 16_000 * 3])
    talk.send({"type": "Finalize"})
    talk.lose()
    said = [one for one in talk.of_type("Results") if one["start"] > 0]
    assert [(text(one), one["is_final"], one["from_finalize"]) for one in said] == [("", True, False), ("", True, True)]


class TestAudio:
    def test_a_sample_may_be_torn(self) -> None:
        dialect = DeepgramLive(handshake("/v1/listen", RAW))
        assert dialect.receive(b"\1\2\3", 0.0) == [Audio(first_sample=0, data=b"\1\2")]
        assert dialect.receive(b"\4", 0.0) == [Audio(first_sample=1, data=b"\3\4")]
        assert dialect.receive(b"\5", 0.0) == []

    @pytest.mark.parametrize(
        ("query", "audio", "source"),
        [
            ("encoding=linear16&sample_rate=16000", ("s16le", 16_000, 1), None),
            ("encoding=linear32&sample_rate=48000", ("f32le", 48_000, 1), None),
            ("encoding=mulaw&sample_rate=8000&channels=2&multichannel=true", ("mulaw", 8_000, 2), None),
            ("encoding=alaw&sample_rate=8000", ("alaw", 8_000, 1), None),
            ("encoding=linear16&sample_rate=22050", ("s16le", 16_000, 1), Source(raw="s16le", sample_rate=22_050)),
            (
                "encoding=linear16&sample_rate=16000&channels=2",
                ("s16le", 16_000, 1),
                Source(raw="s16le", sample_rate=16_000, input_channels=2),
            ),
            ("", ("s16le", 16_000, 1), Source()),
            ("multichannel=true", ("s16le", 16_000, 2), Source()),
            ("encoding=flac&sample_rate=16000", ("s16le", 16_000, 1), Source()),
            ("encoding=ogg-opus", ("s16le", 16_000, 1), Source()),
        ],
    )
    def test_what_is_said_to_come(self, query: str, audio: tuple[Any, ...], source: Source | None) -> None:
        dialect = DeepgramLive(handshake("/v1/listen", query))
        assert dialect.start is not None
        heard = dialect.start.audio
        assert (heard.encoding, heard.sample_rate, heard.channels) == audio
        assert dialect.source == source

    @pytest.mark.parametrize(
        ("head", "packets"), [(b"OggS", False), (b"\x1a\x45\xdf\xa3", False), (b"\xfc\xff\xfe", True)]
    )
    def test_opus_comes_in_a_container_or_in_packets(self, head: bytes, packets: bool) -> None:
        dialect = DeepgramLive(handshake("/v1/listen", "encoding=opus&sample_rate=48000"))
        assert dialect.receive(head + bytes(20), 0.0) == [Encoded(head + bytes(20))]
        assert dialect.source == Source(packets=packets)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("encoding=linear16", "sample_rate"),
        ("encoding=mp7&sample_rate=8000", "encoding"),
        ("encoding=linear16&sample_rate=abc", "sample_rate"),
        ("encoding=linear16&sample_rate=-1", "sample_rate"),
        ("encoding=linear16&sample_rate=99999999999999999999", "sample_rate"),
        ("encoding=linear16&sample_rate=16000&channels=0", "channels"),
        ("encoding=linear16&sample_rate=16000&channels=4&multichannel=true", "channels"),
        ("interim_results=perhaps", "interim_results"),
        ("endpointing=-5", "endpointing"),
        ("endpointing=soon", "endpointing"),
        ("utterance_end_ms=100", "utterance_end_ms"),
        ("language=!!", "language"),
        ("callback=https://example.com", "callback"),
    ],
)
def test_wrong_parameters_are_named(query: str, name: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        DeepgramLive(handshake("/v1/listen", query))
    assert refused.value.code == "unsupported"
    assert refused.value.text.startswith(f"{name}: ")


def test_unknown_parameters_and_models_are_taken() -> None:
    query = "model=nova-3&version=latest&tag=a&tag=b&keyterm=a&keyterm=b&diarize=true&foo=bar&language=en-US"
    dialect = DeepgramLive(handshake("/v1/listen", f"{RAW}&{query}"))
    assert dialect.start is not None
    assert msgspec.structs.asdict(dialect.start)["task"].language == "en"  # type: ignore[union-attr]
