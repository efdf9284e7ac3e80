"""vosk-server: one reply for each message, and nothing else."""

import json
from typing import Any

import pytest
from numpy.typing import NDArray

from streaming.protocol.dialect import Encoded, Reply, Source
from streaming.protocol.dialects.vosk import Vosk
from streaming.protocol.messages import Start
from tests.support.dialects import Talk, handshake, sentence, speech

TWO_SENTENCES = speech((0.5, 2.5), (4.0, 5.5), total_s=7.0)
CONFIG = {"config": {"sample_rate": 16000}}
CHUNK = 6400


def connected(config: dict[str, Any] = CONFIG) -> Talk:
    talk = Talk(Vosk(handshake("/")), sentence)
    talk.send(config)
    assert talk.heard == []
    return talk


def chunks(samples: NDArray[Any]) -> list[bytes]:
    data = samples.astype("<i2").tobytes()
    return [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]


def test_every_chunk_has_one_reply_and_so_has_the_end() -> None:
    """Clients send and receive in turns."""
    talk = connected()
    for count, chunk in enumerate(chunks(TWO_SENTENCES), start=1):
        talk.send(chunk)
        assert len(talk.heard) == count
    talk.send({"eof": 1})
    assert len(talk.heard) == len(chunks(TWO_SENTENCES)) + 1
    assert talk.closed is not None
    assert talk.closed.code == 1000


def test_partials_grow_and_results_have_words_without_punctuation() -> None:
    talk = connected()
    talk.send(*chunks(TWO_SENTENCES[: 16_000 * 4]))
    partials = [one["partial"] for one in talk.json if one.get("partial")]
    assert partials[0] == "hello"
    assert partials[-1] == "hello world don't panic"
    (result,) = [one for one in talk.json if "text" in one]
    assert result["text"] == "hello world don't panic now"
    assert set(result["result"][0]) == {"conf", "start", "end", "word"}
    assert [word["word"] for word in result["result"]] == result["text"].split()


def test_a_result_that_comes_later_is_the_reply_to_the_next_chunk() -> None:
    talk = connected()
    talk.hold = True
    talk.send(*chunks(TWO_SENTENCES[: 16_000 * 4]))
    assert not any("text" in one for one in talk.json)
    talk.answer()
    talk.send(bytes(CHUNK))
    assert talk.json[-1]["text"]
    talk.send(bytes(CHUNK))
    assert talk.json[-1] == {"partial": ""}


def test_the_end_has_all_that_was_not_said() -> None:
    talk = connected()
    talk.hold = True
    talk.send(*chunks(TWO_SENTENCES))
    talk.send({"eof": 1})
    talk.hold = False
    talk.answer()
    assert len(talk.json[-1]["text"].split()) > 6
    times = [word["start"] for word in talk.json[-1]["result"]]
    assert times == sorted(times)


def test_an_end_of_silence_is_an_empty_text() -> None:
    talk = connected()
    talk.send({"eof": 1})
    assert talk.json == [{"text": ""}]


def test_reset_says_what_was_said_so_far() -> None:
    talk = connected()
    talk.send(*chunks(TWO_SENTENCES[:24_000]))
    before = len(talk.heard)
    talk.send({"reset": 1})
    assert talk.json[before:] == [talk.json[-1]]
    assert talk.json[-1]["text"] == "hello world"
    talk.send({"reset": 1})
    assert talk.json[-1] == {"text": ""}


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ({"words": True}, {"result", "text"}),
        ({"words": False}, {"text"}),
        ({"max_alternatives": 3}, {"alternatives"}),
    ],
)
def test_shapes_of_results(config: dict[str, Any], keys: set[str]) -> None:
    talk = connected({"config": {"sample_rate": 16000, **config}})
    talk.send(*chunks(TWO_SENTENCES[:24_000]))
    talk.send({"eof": 1})
    assert set(talk.json[-1]) == keys


def test_a_rate_that_sessions_do_not_take_is_resampled() -> None:
    dialect = Vosk(handshake("/"))
    dialect.receive(json.dumps({"config": {"sample_rate": 22050.0}}), 0.0)
    start, encoded, reply = dialect.receive(bytes(100), 0.0)
    assert isinstance(start, Start)
    assert (encoded, reply) == (Encoded(bytes(100)), Reply('{"partial":""}'))
    assert dialect.source == Source(raw="s16le", sample_rate=22_050)


def test_8_khz_where_nothing_is_said() -> None:
    (start, *_) = Vosk(handshake("/")).receive(bytes(100), 0.0)
    assert isinstance(start, Start)
    assert start.audio.sample_rate == 8000


@pytest.mark.parametrize(
    "message", ["", "hello", "[]", '{"config":3}', '{"config":{"sample_rate":1}}', '{"config":{"sample_rate":1e30}}']
)
def test_what_is_wrong_closes_the_connection_without_a_message(message: str) -> None:
    talk = Talk(Vosk(handshake("/")))
    talk.send(message)
    assert talk.heard == []
    assert talk.closed is not None
    assert talk.closed.code == 1008


def test_an_utterance_that_is_lost_does_not_hold_up_a_reset() -> None:
    talk = connected()
    talk.hold = True
    talk.send(*chunks(TWO_SENTENCES[:24_000]))
    talk.send({"reset": 1})
    before = len(talk.heard)
    talk.lose()
    assert [json.loads(one) for one in talk.heard[before:]] == [{"text": ""}]
