"""The engine on a thread, and the engine settings of the command line."""

import argparse

import pytest

from benchmarks.tuned_service import ThreadEngine, engine_settings
from inference.engine.settings import EngineSettings
from inference.pool.fake_step import build_fake_engine
from inference.pool.interface import Job, StreamSpec
from inference.whisper.encoder import EncoderSettings


def test_engine_settings_are_read_by_name() -> None:
    settings = engine_settings('{"encoder": {"right_context_frames": 50}, "max_batch": 8}')
    assert settings == EngineSettings(encoder=EncoderSettings(right_context_frames=50), max_batch=8)
    assert engine_settings("{}") == EngineSettings()


@pytest.mark.parametrize(
    "text",
    [
        "right_context_frames=50",
        '{"encoder": {"right_context": 50}}',
        '{"encoder": {"right_context_frames": "half"}}',
        '{"max_batch": 0}',
        '{"batch": 8}',
    ],
)
def test_wrong_engine_settings_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        engine_settings(text)


async def test_calls_reach_the_engine_in_their_order() -> None:
    """A step sees all the audio that was appended before it, and nothing of an utterance that was discarded."""
    engine = ThreadEngine(lambda: build_fake_engine("fake", "cpu"))
    await engine.start()
    engine.open("s", StreamSpec())
    for first in range(0, 8_000, 320):
        engine.append("s", 1, first, bytes(640))
    job = Job(stream="s", utterance=1, revision=1, kind="interim", start_sample=0, until_sample=8_000)
    result = await engine.step([job])
    engine.discard("s", 1)
    without = await engine.step([job])
    await engine.stop()
    assert [hypothesis.decoded_until for hypothesis in result.hypotheses] == [8_000]
    assert [error.code for error in without.errors] == ["missing_audio"]
