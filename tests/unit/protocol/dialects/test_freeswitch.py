"""FreeSWITCH's two modules: a text that may be anything, then L16; transcriptions go back as events."""

import json
from typing import Any

import numpy as np
import pytest

from streaming.protocol.dialect import Encoded, Source
from streaming.protocol.dialects.freeswitch import FreeSwitch
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Event, Start
from tests.support.dialects import Talk, handshake, sentence, speech

RATE = 16_000
CALLER = speech((0.5, 2.0), total_s=5.0)
CALLEE = speech((2.5, 3.5), total_s=5.0)
MONO = CALLER.astype("<i2").tobytes()
STEREO = np.stack([CALLER, CALLEE], axis=1).astype("<i2").tobytes()
"""20 ms at a time, as the modules send it: 640 bytes for each channel."""


def talk(query: str = "", text: dict[str, Any] | str | None = None, data: bytes = MONO, step: int = 640) -> Talk:
    spoken = Talk(FreeSwitch(handshake("/freeswitch", query)), sentence)
    if text is not None:
        spoken.send(text)
    spoken.send_audio(data, step)
    return spoken


def started(query: str, text: str | bytes) -> tuple[FreeSwitch, Start]:
    dialect = FreeSwitch(handshake("/freeswitch", query))
    start = dialect.receive(text, 0.0)[0]
    assert isinstance(start, Start)
    return dialect, start


def test_finals_come_as_transcriptions() -> None:
    spoken = talk("rate=16k&uuid=u1")
    (message,) = spoken.json
    assert message["type"] == "transcription"
    data = message["data"]
    assert (data["call"], data["channel"], data["label"], data["is_final"]) == ("u1", 0, None, True)
    assert data["transcript"] == "Hello, world. Don't panic"
    assert data["words"][0] == {"word": "Hello,", "start_ms": 180, "end_ms": 680, "confidence": 0.9}
    assert (data["start_ms"], data["end_ms"]) == (180, 2180)


def test_interims_come_where_they_are_asked_for() -> None:
    spoken = talk("rate=16k&interim=true")
    assert [one["data"]["is_final"] for one in spoken.json] == [False] * (len(spoken.json) - 1) + [True]
    assert len(spoken.json) > 2


def test_stereo_is_the_caller_and_the_callee() -> None:
    metadata = {"uuid": "u2", "rate": 16000, "mix_type": "stereo", "keywords": "refund", "nested": {"a": 1}}
    spoken = talk(text=metadata, data=STEREO, step=1280)
    assert [(one["data"]["channel"], one["data"]["label"]) for one in spoken.json] == [(0, "caller"), (1, "callee")]
    assert isinstance(spoken.dialect, FreeSwitch)
    assert spoken.dialect.call is not None
    assert spoken.dialect.call.id == "u2"
    assert spoken.dialect.call.parameters["keywords"] == "refund"


@pytest.mark.parametrize("text", ["", "anything at all", "[1]", '"x"', None])
def test_the_first_text_may_be_anything_or_missing(text: str | None) -> None:
    spoken = talk("rate=16k", text)
    assert len(spoken.json) == 1
    assert isinstance(spoken.dialect, FreeSwitch)
    assert spoken.dialect.call is not None
    assert spoken.dialect.call.id == "6a0c3b1e-0000-4000-8000-000000000001"


def test_the_query_counts_more_than_the_text_and_a_key_is_kept_out() -> None:
    dialect, start = started("rate=8000&token=secret", '{"rate":16000,"token":"secret","channels":2}')
    assert (start.audio.sample_rate, start.audio.channels) == (8000, 2)
    assert dialect.call is not None
    assert dialect.call.parameters == {"rate": "8000", "channels": "2"}


def test_other_rates_are_resampled_before() -> None:
    dialect, start = started("rate=32k&channels=2", bytes(8))
    assert (start.audio.sample_rate, start.audio.channels) == (16_000, 2)
    assert dialect.source == Source(raw="s16le", sample_rate=32_000, input_channels=2)
    assert dialect.receive(b"abcd", 0.0) == [Encoded(b"abcd")]


def test_texts_after_the_first_are_ignored_but_for_keys() -> None:
    spoken = talk("rate=16k", "{}", MONO[:32_000])
    spoken.send("stopping", '{"dtmf":"7"}', '{"dtmf":"7","channel":1}', '{"dtmf":7}')
    assert spoken.driver is not None
    keys = [one for one in spoken.driver.read if isinstance(one, Event)]
    assert [(one.label, one.start_ms) for one in keys] == [("dtmf_7", 1000)]


def test_an_utterance_without_words_is_not_told() -> None:
    spoken = Talk(FreeSwitch(handshake("/freeswitch", "rate=16k")), lambda job: [])
    spoken.send_audio(MONO)
    assert spoken.json == []


@pytest.mark.parametrize(
    "query", ["rate=x", "rate=500k", "rate=1", "channels=3", "mix_type=both", "rate=16k&mix_type=MONO"]
)
def test_a_wrong_query_is_refused(query: str) -> None:
    with pytest.raises(ProtocolError, match="unsupported"):
        FreeSwitch(handshake("/freeswitch", query))


@pytest.mark.parametrize("text", ['{"rate":"x"}', '{"channels":7}', '{"language":"klingon"}', '{"redact":"all,names"}'])
def test_a_wrong_text_is_told_and_closes(text: str) -> None:
    spoken = Talk(FreeSwitch(handshake("/freeswitch")))
    spoken.send(text)
    assert [one["type"] for one in spoken.json] == ["error"]
    assert json.loads(str(spoken.heard[0]))["data"]["code"] == "unsupported"
    assert spoken.closed is not None
    assert spoken.closed.code == 1008
