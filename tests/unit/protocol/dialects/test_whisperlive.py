"""WhisperLive: what its client needs to keep what it is told."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streaming.protocol.dialects.plain import PlainSocket
from streaming.protocol.dialects.vosk import Vosk
from streaming.protocol.dialects.whisperlive import WhisperLive
from streaming.protocol.errors import error_message
from streaming.protocol.messages import Start, Task
from tests.support.dialects import Talk, handshake, sentence, speech

OPTIONS = {
    "uid": "u-1",
    "language": None,
    "task": "transcribe",
    "model": "small",
    "use_vad": True,
    "send_last_n_segments": 10,
    "no_speech_thresh": 0.45,
    "clip_audio": False,
    "same_output_threshold": 10,
    "enable_translation": False,
    "initial_prompt": None,
}
TWO_SENTENCES = speech((0.5, 2.5), (4.0, 5.5), total_s=7.0)


def connected(**options: Any) -> Talk:
    talk = Talk(WhisperLive(handshake("/")), sentence)
    talk.send({**OPTIONS, **options})
    return talk


def send_audio(talk: Talk, samples: NDArray[Any]) -> None:
    talk.send_audio((samples / 32_768).astype("<f4").tobytes(), 16_384)


def segments(talk: Talk) -> list[list[dict[str, Any]]]:
    return [message["segments"] for message in talk.json if "segments" in message]


def test_it_is_ready_as_faster_whisper() -> None:
    """Segments of a backend of another name are never kept."""
    assert connected().json == [{"uid": "u-1", "message": "SERVER_READY", "backend": "faster_whisper"}]


def test_every_message_has_the_uid_and_none_has_no_segments() -> None:
    talk = connected()
    send_audio(talk, TWO_SENTENCES)
    assert {message["uid"] for message in talk.json} == {"u-1"}
    assert all(segments(talk))


def test_a_final_is_said_open_and_then_completed() -> None:
    """The client adds what was said last to its file, unless the same text was completed."""
    talk = connected()
    send_audio(talk, TWO_SENTENCES[: 16_000 * 4])
    *_, opened, completed = segments(talk)
    assert [one["completed"] for one in opened] == [False]
    assert [one["completed"] for one in completed] == [True]
    assert opened[-1]["text"] == completed[-1]["text"] == " Hello, world. Don't panic now"


def test_times_are_texts_that_never_go_back() -> None:
    talk = connected()
    send_audio(talk, TWO_SENTENCES)
    last = segments(talk)[-1]
    assert all(len(one[name].partition(".")[2]) == 3 for one in last for name in ("start", "end"))
    at = 0.0
    for one in last:
        assert at <= float(one["start"]) <= float(one["end"])
        at = float(one["end"])


def test_only_the_last_segments_are_repeated() -> None:
    talk = connected(send_last_n_segments=1)
    send_audio(talk, TWO_SENTENCES)
    assert max(len([one for one in message if one["completed"]]) for message in segments(talk)) == 1


def test_a_client_that_falls_silent_gets_its_sentence_completed() -> None:
    """It waits for that, and reads nothing after END_OF_AUDIO."""
    talk = connected()
    send_audio(talk, TWO_SENTENCES[:24_000])
    assert not segments(talk)[-1][-1]["completed"]
    talk.wait(1.6)
    assert segments(talk)[-1][-1]["completed"]
    before = len(talk.heard)
    talk.wait(10.0)
    assert len(talk.heard) == before
    assert talk.closed is None
    talk.send(b"END_OF_AUDIO")
    assert talk.closed is not None
    assert talk.closed.code == 1000


def test_words_where_they_are_asked_for() -> None:
    talk = connected(word_timestamps=True)
    send_audio(talk, TWO_SENTENCES[:32_000])
    assert set(segments(talk)[-1][-1]["words"][0]) == {"word", "start", "end", "probability"}


@pytest.mark.parametrize(
    ("options", "task"), [({"task": "translate"}, "translate"), ({"language": "de"}, "transcribe")]
)
def test_language_and_task(options: dict[str, Any], task: str) -> None:
    (start,) = WhisperLive(handshake("/")).receive(json.dumps({**OPTIONS, **options}), 0.0)
    assert isinstance(start, Start)
    assert start.task == Task(name=task, language=options.get("language"))  # type: ignore[arg-type]


def test_no_room_is_a_time_to_wait() -> None:
    dialect = WhisperLive(handshake("/"))
    dialect.receive(json.dumps(OPTIONS), 0.0)
    (said,) = dialect.say(error_message("overloaded", "full"))
    assert json.loads(str(said)) == {"uid": "u-1", "status": "WAIT", "message": 1.0}
    (said,) = dialect.say(error_message("unsupported", "no such language"))
    assert json.loads(str(said)) == {"uid": "u-1", "status": "ERROR", "message": "no such language"}


@pytest.mark.parametrize("first", ["", "[]", '{"uid":3}', '{"uid":"u","task":"dance"}', b"\0\0"])
def test_what_is_no_option_is_refused(first: str | bytes) -> None:
    talk = Talk(WhisperLive(handshake("/")))
    talk.send(first)
    assert talk.closed is not None
    assert talk.closed.code == 1008


class TestPlainSocket:
    """Both come to the same path."""

    def test_a_uid_is_whisperlives(self) -> None:
        talk = Talk(PlainSocket(handshake("/")), sentence)
        talk.send(OPTIONS)
        assert talk.json[0]["message"] == "SERVER_READY"

    @pytest.mark.parametrize("first", [{"config": {"sample_rate": 16000}}, b"\0" * 100])
    def test_all_else_is_vosks(self, first: Any) -> None:
        dialect = PlainSocket(handshake("/"))
        dialect.receive(first if isinstance(first, bytes) else json.dumps(first), 0.0)
        assert isinstance(dialect._dialect, Vosk)

    def test_who_says_nothing_is_sent_away(self) -> None:
        talk = Talk(PlainSocket(handshake("/", start_timeout_s=5.0)))
        talk.wait(4.9)
        assert talk.closed is None
        talk.wait(0.2)
        assert talk.closed is not None


def test_int16_where_the_client_says_so() -> None:
    talk = connected(audio_format="int16")
    talk.send_audio(TWO_SENTENCES.astype(np.int16))
    assert len(segments(talk)[-1]) == 2
