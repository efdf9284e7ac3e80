"""OpenAI's realtime transcription: what its clients send, and the order in which they hear of it."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streaming.protocol.dialects.openai.realtime import OpenAIRealtime
from streaming.protocol.errors import error_message
from streaming.protocol.messages import Start
from tests.support.dialects import Talk, handshake, sentence, speech

RATE = 24_000
TWO_SENTENCES = speech((0.5, 2.5), (4.0, 5.5), total_s=7.0, rate=RATE)
BETA = {"headers": {"openai-beta": "realtime=v1"}}
MANUAL = {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}}
COMMIT = {"type": "input_audio_buffer.commit"}
CLEAR = {"type": "input_audio_buffer.clear"}
TEXT = "conversation.item.input_audio_transcription"


def append(data: bytes) -> dict[str, Any]:
    return {"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode()}


def connected(answers: Any = sentence, **fields: Any) -> Talk:
    return Talk(OpenAIRealtime(handshake("/v1/realtime", "intent=transcription", **fields)), answers)


def send_audio(talk: Talk, samples: NDArray[Any], step: int = 4800) -> None:
    data = samples.astype("<i2").tobytes()
    for at in range(0, len(data), step):
        talk.send(append(data[at : at + step]))


def kinds(talk: Talk) -> list[str]:
    return [event["type"].removeprefix("conversation.").removeprefix("input_audio_buffer.") for event in talk.json]


def completed(talk: Talk) -> list[str]:
    return [event["transcript"] for event in talk.of_type(f"{TEXT}.completed")]


def deltas(talk: Talk, item: str) -> str:
    return "".join(event["delta"] for event in talk.of_type(f"{TEXT}.delta") if event["item_id"] == item)


class TestHello:
    def test_the_session_is_there_before_the_client_says_anything(self) -> None:
        """Pipecat waits for it, and only then says what it wants."""
        (created,) = connected().json
        assert created["type"] == "session.created"
        session = created["session"]
        assert (session["type"], session["object"]) == ("transcription", "realtime.transcription_session")
        assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24_000}
        assert session["audio"]["input"]["turn_detection"]["type"] == "server_vad"
        assert session["expires_at"] == 1_700_003_600

    @pytest.mark.parametrize("fields", [BETA, {"subprotocols": ["realtime", "k", "openai-beta.realtime-v1"]}])
    def test_beta_clients_are_known_by_their_header_or_subprotocol(self, fields: Any) -> None:
        (created,) = connected(**fields).json
        assert created["type"] == "transcription_session.created"
        assert created["session"]["input_audio_format"] == "pcm16"
        assert created["session"]["turn_detection"]["silence_duration_ms"] == 500

    def test_a_beta_update_makes_it_beta(self) -> None:
        talk = connected()
        talk.send({"type": "transcription_session.update", "session": {"input_audio_format": "g711_ulaw"}})
        assert talk.json[-1]["type"] == "transcription_session.updated"
        assert talk.json[-1]["session"]["input_audio_format"] == "g711_ulaw"


class TestUpdate:
    def test_the_whole_configuration_comes_back(self) -> None:
        talk = connected()
        wanted = {
            "type": "transcription",
            "include": ["item.input_audio_transcription.logprobs"],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "transcription": {"model": "gpt-4o-transcribe", "language": "en", "prompt": "names"},
                    "noise_reduction": {"type": "near_field"},
                    "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
                }
            },
        }
        talk.send({"type": "session.update", "session": wanted})
        updated = talk.json[-1]
        assert updated["type"] == "session.updated"
        heard = updated["session"]["audio"]["input"]
        assert heard["format"] == {"type": "audio/pcmu"}
        assert heard["transcription"] == wanted["audio"]["input"]["transcription"]  # type: ignore[index]
        assert heard["turn_detection"] == {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 300,
        }
        assert updated["session"]["include"] == wanted["include"]

    def test_what_is_not_sent_stays(self) -> None:
        talk = connected()
        talk.send(
            MANUAL, {"type": "session.update", "session": {"audio": {"input": {"transcription": {"model": "x"}}}}}
        )
        heard = talk.json[-1]["session"]["audio"]["input"]
        assert heard["turn_detection"] is None
        assert heard["transcription"] == {"model": "x"}

    @pytest.mark.parametrize(
        ("path", "value", "start"),
        [
            ("turn_detection", {"type": "server_vad", "silence_duration_ms": 900}, ("min_silence_ms", 900)),
            ("turn_detection", {"type": "server_vad", "silence_duration_ms": 1}, ("min_silence_ms", 100)),
            ("turn_detection", {"type": "server_vad", "threshold": 1.0}, ("threshold", 0.95)),
            ("turn_detection", {"type": "server_vad", "prefix_padding_ms": 100}, ("pre_roll_ms", 100)),
            ("turn_detection", {"type": "semantic_vad", "eagerness": "low"}, ("min_silence_ms", 1500)),
            ("turn_detection", {"type": "semantic_vad"}, ("min_silence_ms", 800)),
        ],
    )
    def test_turn_detection_is_the_sessions_endpointing(self, path: str, value: Any, start: tuple[str, Any]) -> None:
        dialect = OpenAIRealtime(handshake())
        dialect.receive(json.dumps({"type": "session.update", "session": {"audio": {"input": {path: value}}}}), 0.0)
        begun = dialect.receive(json.dumps(append(b"\0\0")), 0.0)[0]
        assert isinstance(begun, Start)
        assert getattr(begun.endpointing, start[0]) == start[1]

    @pytest.mark.parametrize(
        ("form", "audio"),
        [
            ({"type": "audio/pcm", "rate": 24_000}, ("s16le", 24_000)),
            ({"type": "audio/pcm", "rate": 16_000}, ("s16le", 16_000)),
            ({"type": "audio/pcmu"}, ("mulaw", 8_000)),
            ({"type": "audio/pcma"}, ("alaw", 8_000)),
        ],
    )
    def test_formats(self, form: Any, audio: tuple[str, int]) -> None:
        dialect = OpenAIRealtime(handshake())
        dialect.receive(json.dumps({"type": "session.update", "session": {"audio": {"input": {"format": form}}}}), 0.0)
        begun = dialect.receive(json.dumps(append(b"\0\0")), 0.0)[0]
        assert isinstance(begun, Start)
        assert (begun.audio.encoding, begun.audio.sample_rate) == audio

    @pytest.mark.parametrize(
        ("session", "param"),
        [
            ({"audio": 3}, "session.audio"),
            ({"audio": {"input": {"format": {"type": "audio/mp3"}}}}, "session.audio.input.format.type"),
            ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 1}}}}, "session.audio.input.format.rate"),
            ({"audio": {"input": {"turn_detection": {"type": "psychic"}}}}, "turn_detection.type"),
            (
                {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": "x"}}}},
                "turn_detection.threshold",
            ),
            ({"audio": {"input": {"transcription": {"language": "!!"}}}}, "transcription.language"),
            ({"include": "all"}, "session.include"),
            ({"audio": {"input": {"transcription": {"prompt": "x" * 20_000}}}}, "session"),
        ],
    )
    def test_wrong_values_are_errors_that_leave_everything_as_it_is(self, session: Any, param: str) -> None:
        talk = connected()
        talk.send({"type": "session.update", "event_id": "mine", "session": session})
        error = talk.json[-1]["error"]
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_value", param)
        assert error["event_id"] == "mine"
        talk.send({"type": "session.update", "session": {}})
        assert talk.json[-1]["session"] == talk.json[0]["session"]

    def test_the_format_cannot_change_once_audio_has_come(self) -> None:
        talk = connected()
        talk.send(append(b"\0\0"))
        talk.send({"type": "session.update", "session": {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}})
        assert talk.json[-1]["error"]["param"] == "session.audio.input.format"
        talk.send({"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}})
        assert talk.json[-1]["type"] == "session.updated"


class TestServerVad:
    def test_the_order_of_a_turn(self) -> None:
        talk = connected()
        send_audio(talk, TWO_SENTENCES[: RATE * 4])
        said = kinds(talk)[1:]
        delta, done = "item.input_audio_transcription.delta", "item.input_audio_transcription.completed"
        assert said[0] == "speech_started"
        assert said.index("speech_stopped") < said.index("committed") < said.index("item.added") < said.index(done)
        assert delta in said[: said.index("speech_stopped")], "words that are stable do not wait for the end"
        assert said[-1] == "item.done"
        items = {event["item_id"] for event in talk.json if "item_id" in event}
        assert len(items) == 1

    def test_deltas_add_up_to_the_transcript(self) -> None:
        talk = connected()
        send_audio(talk, TWO_SENTENCES)
        assert len(completed(talk)) == 2
        for event in talk.of_type(f"{TEXT}.completed"):
            assert deltas(talk, event["item_id"]) == event["transcript"]

    def test_items_are_chained(self) -> None:
        talk = connected()
        send_audio(talk, TWO_SENTENCES)
        first, second = talk.of_type("input_audio_buffer.committed")
        assert (first["previous_item_id"], second["previous_item_id"]) == (None, first["item_id"])

    def test_times_and_usage(self) -> None:
        talk = connected()
        send_audio(talk, TWO_SENTENCES)
        started, stopped = (
            talk.of_type("input_audio_buffer.speech_started")[0],
            talk.of_type("input_audio_buffer.speech_stopped")[0],
        )
        assert started["audio_start_ms"] == pytest.approx(500, abs=40)
        assert stopped["audio_end_ms"] == pytest.approx(3000, abs=40)
        assert talk.of_type(f"{TEXT}.completed")[0]["usage"] == {
            "type": "duration",
            "seconds": pytest.approx(2.5, abs=0.1),
        }

    def test_beta_has_its_own_names(self) -> None:
        talk = connected(**BETA)
        send_audio(talk, TWO_SENTENCES)
        said = kinds(talk)
        assert "item.created" in said
        assert not {"item.added", "item.done"} & set(said)

    def test_a_commit_ends_the_turn_now(self) -> None:
        talk = connected()
        send_audio(talk, TWO_SENTENCES[: RATE * 3 // 2])
        talk.send(COMMIT)
        assert completed(talk) == ["Hello, world."]

    def test_a_commit_of_silence_is_ignored(self) -> None:
        """Pipecat gives a session up at any error."""
        talk = connected()
        talk.send(COMMIT)
        send_audio(talk, speech(total_s=1.0, rate=RATE))
        talk.send(COMMIT)
        assert kinds(talk) == ["session.created"]

    def test_clear_takes_back_the_turn_that_is_open(self) -> None:
        talk = connected()
        send_audio(talk, TWO_SENTENCES[: RATE * 3 // 2])
        talk.send(CLEAR)
        send_audio(talk, TWO_SENTENCES[RATE * 3 :])
        assert kinds(talk).count("committed") == 1
        assert "cleared" in kinds(talk)
        assert len(completed(talk)) == 1

    def test_an_utterance_that_is_lost_fails(self) -> None:
        talk = connected()
        talk.hold = True
        send_audio(talk, TWO_SENTENCES[: RATE * 4])
        talk.lose()
        assert talk.json[-1]["type"] == f"{TEXT}.failed"
        assert talk.json[-1]["error"]["code"] == "audio_unintelligible"


class TestManual:
    def test_a_commit_takes_all_since_the_one_before(self) -> None:
        talk = connected()
        talk.send(MANUAL)
        send_audio(talk, TWO_SENTENCES)
        assert kinds(talk)[2:] == []
        talk.send(COMMIT)
        assert kinds(talk)[2:] == [
            "committed",
            "item.added",
            "item.input_audio_transcription.delta",
            "item.input_audio_transcription.completed",
            "item.done",
        ]
        assert len(completed(talk)[0].split()) > 5
        assert talk.of_type(f"{TEXT}.completed")[0]["usage"]["seconds"] == 7.0

    def test_every_commit_is_answered_in_order(self) -> None:
        talk = connected()
        talk.send(MANUAL)
        talk.hold = True
        send_audio(talk, TWO_SENTENCES[: RATE * 3])
        talk.send(COMMIT)
        send_audio(talk, TWO_SENTENCES[RATE * 3 :])
        talk.send(COMMIT, COMMIT)
        talk.hold = False
        talk.answer()
        committed = [event["item_id"] for event in talk.of_type("input_audio_buffer.committed")]
        answered = [event["item_id"] for event in talk.of_type(f"{TEXT}.completed")]
        assert committed == answered
        assert [bool(text) for text in completed(talk)] == [True, True, False]

    def test_a_commit_of_nothing_is_an_empty_item(self) -> None:
        talk = connected()
        talk.send(MANUAL, COMMIT)
        assert completed(talk) == [""]

    def test_clear_takes_back_what_was_not_committed(self) -> None:
        talk = connected()
        talk.send(MANUAL)
        send_audio(talk, TWO_SENTENCES[: RATE * 3])
        talk.send(CLEAR)
        send_audio(talk, TWO_SENTENCES[RATE * 3 :])
        talk.send(COMMIT)
        assert completed(talk) == ["Hello, world. Don't panic"], "what was said after it"

    def test_a_turn_of_which_nothing_could_be_decoded_fails(self) -> None:
        talk = connected()
        talk.send(MANUAL)
        talk.hold = True
        send_audio(talk, TWO_SENTENCES[: RATE * 3])
        talk.send(COMMIT)
        talk.lose()
        assert talk.json[-1]["type"] == f"{TEXT}.failed"

    @settings(max_examples=8, deadline=None)
    @given(
        st.lists(st.sampled_from([1, 2, 3, 4, 5, 6, 7]), max_size=3, unique=True).map(sorted),
        st.integers(1000, 60_000).map(lambda size: 2 * (size // 2)),
    )
    def test_however_it_is_cut_the_items_are_the_same(self, commits: list[int], step: int) -> None:
        def heard(step: int) -> list[tuple[str, str]]:
            talk = Talk(OpenAIRealtime(handshake()), at_once=True)
            talk.send(MANUAL)
            begin = 0
            for end in [*commits, 7]:
                send_audio(talk, TWO_SENTENCES[begin * RATE : end * RATE], step)
                talk.send(COMMIT)
                begin = end
            return [(event["item_id"], event["transcript"]) for event in talk.of_type(f"{TEXT}.completed")]

        assert heard(step) == heard(4800)
        assert len(heard(step)) == len(commits) + 1


class TestErrors:
    @pytest.mark.parametrize(
        ("payload", "code"),
        [
            ("", "invalid_event"),
            ("[]", "invalid_event"),
            ("{}", "invalid_event"),
            (b"\0\1", "invalid_event"),
            ('{"type":3}', "invalid_event"),
            ("[" * 9999, "invalid_event"),
            ('{"type":"dance"}', "invalid_value"),
            ('{"type":"response.create"}', "invalid_value"),
            ('{"type":"input_audio_buffer.append"}', "invalid_value"),
            ('{"type":"input_audio_buffer.append","audio":"*"}', "invalid_value"),
            ('{"type":"session.update"}', "invalid_value"),
        ],
    )
    def test_what_is_no_event_is_told_and_the_session_goes_on(self, payload: str | bytes, code: str) -> None:
        talk = connected()
        talk.send(payload)
        assert talk.json[-1]["type"] == "error"
        assert talk.json[-1]["error"]["code"] == code
        send_audio(talk, TWO_SENTENCES)
        assert len(completed(talk)) == 2

    def test_failures_of_the_server(self) -> None:
        (said,) = OpenAIRealtime(handshake()).say(error_message("engine_unavailable", "why"))
        assert json.loads(str(said))["error"] == {
            "message": "why",
            "type": "server_error",
            "param": None,
            "code": "engine_unavailable",
            "event_id": None,
        }

    def test_a_message_that_is_too_large_ends_it(self) -> None:
        talk = connected(max_message_bytes=1000)
        talk.send("x" * 1001)
        assert talk.closed is not None
        assert talk.closed.code == 1009

    def test_silence_ends_it_normally(self) -> None:
        talk = connected(idle_timeout_s=60.0)
        talk.wait(61.0)
        assert talk.closed is not None
        assert talk.closed.code == 1000


def test_event_ids_are_unique() -> None:
    talk = connected()
    send_audio(talk, TWO_SENTENCES)
    ids = [event["event_id"] for event in talk.json]
    assert len(set(ids)) == len(ids)
