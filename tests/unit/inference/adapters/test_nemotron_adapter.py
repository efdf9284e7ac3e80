"""Nemotron's engine says what transformers' own streaming generation says, and when."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from inference.adapters.build import build_adapter
from inference.adapters.nemotron import choose_lookahead
from inference.pool.interface import Job, StreamSpec
from tests.support.adapter_checkpoints import melody, write_checkpoint

AUDIO = (melody(5.0, 4) * 32_767).astype("<i2")
FRAME = 1_280  # 80 ms
UNTIL = (49 + 7 * 56 - 1) * 160 + 200  # what eight chunks look at


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = write_checkpoint("nemotron_asr_streaming", tmp_path_factory.mktemp("nemotron"))
    return build_adapter(str(folder), "cpu", 1)


def chunks(engine: Any) -> Iterator[torch.Tensor]:
    """The utterance's features, made at once, cut as transformers wants them."""
    samples = AUDIO[:UNTIL].astype("float32") / 32768.0
    mel = engine.extractor(samples, sampling_rate=16_000, return_tensors="pt").input_features
    yield mel[:, :49]
    for begin in range(49, 49 + 7 * 56, 56):
        yield mel[:, begin : begin + 56]


def test_it_says_what_transformers_own_streaming_says_at_the_same_frames(engine: Any) -> None:
    blank = engine.model.config.blank_token_id
    told = engine.model.generate(
        chunks(engine), num_lookahead_tokens=6, decoder_start_token_id=blank, return_dict_in_generate=True
    )
    frames = (told.durations.cumsum(-1) - told.durations)[0].tolist()
    expected = [
        (token, frame)
        for token, frame in zip(told.sequences[0].tolist(), frames, strict=True)
        if token not in (blank, engine.model.config.pad_token_id)
    ]
    engine.open("s", StreamSpec())
    engine.append("s", 0, 0, AUDIO.tobytes())
    (said,) = engine.step([Job("s", 0, 1, "interim", 0, UNTIL)]).hypotheses
    state = engine._streams["s"].utterances[0].state
    assert list(zip(state.tokens, state.token_frames, strict=True)) == expected
    assert len(expected) > 10
    first = said.words[0]
    assert (first.start_sample, first.end_sample) == (
        expected[0][1] * FRAME,
        (expected[len(first.tokens) - 1][1] + 1) * FRAME,
    )


def test_an_interim_waits_until_its_chunk_is_whole(engine: Any) -> None:
    engine.open("s", StreamSpec())
    engine.append("s", 1, 0, AUDIO.tobytes())
    first_chunk = 48 * 160 + 200
    assert engine.step([Job("s", 1, 1, "interim", 0, first_chunk - 1)]).stats.encoder_frames == 0
    assert engine.step([Job("s", 1, 2, "interim", 0, first_chunk)]).stats.encoder_frames == 7 * 4


@pytest.mark.parametrize(("trained", "chosen"), [(None, 6), ([13, 6, 1, 0], 6), ([13, 3], 3), ([0], 0)])
def test_the_lookahead_is_one_that_the_checkpoint_was_trained_with(trained: list[int] | None, chosen: int) -> None:
    assert choose_lookahead({} if trained is None else {"supported_num_lookahead_tokens": trained}) == chosen
