"""What the encoder's layers hold, pooled block by block for taggers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inference.whisper.encoder import WhisperIncrementalEncoder
from inference.whisper.pooled import PooledBlock, PooledStates
from inference.whisper.state import UtteranceState
from tests.support.checkpoints import (
    FRAME,
    SECOND,
    bundled_model,
    clip,
    feature_extractor,
    floats,
    hear,
    noise,
    transformers_model,
)

BLOCK = SECOND // 2


@lru_cache(maxsize=1)
def encoder() -> WhisperIncrementalEncoder:
    return WhisperIncrementalEncoder(bundled_model())


def listened(pcm: NDArray[np.int16], start_sample: int = 0) -> UtteranceState:
    state = encoder().new_state(start_sample)
    state.pooled = PooledStates()
    return hear(state, pcm)


def kept(state: UtteranceState) -> list[PooledBlock]:
    assert state.pooled is not None
    return state.pooled.kept


def test_a_block_is_kept_once_its_right_context_is_there() -> None:
    state = listened(clip("question.flac")[: 3 * SECOND])
    encoder().advance([(state, BLOCK)])
    assert kept(state) == []
    encoder().advance([(state, 3 * SECOND)])
    assert [(block.first_sample, block.until_sample) for block in kept(state)] == [
        (index * BLOCK, (index + 1) * BLOCK) for index in range(5)
    ]
    assert state.pooled is not None
    assert [block.first_sample for block in state.pooled.provisional] == [5 * BLOCK]
    assert kept(state)[0].layers.shape == (5, 2, 384)


def test_blocks_end_on_the_clocks_grid_wherever_the_utterance_began() -> None:
    state = listened(clip("question.flac")[: 2 * SECOND], start_sample=5 * FRAME)
    encoder().advance([(state, state.end_sample)])
    assert [(block.first_sample, block.until_sample) for block in kept(state)] == [
        (5 * FRAME, BLOCK),
        (BLOCK, 2 * BLOCK),
        (2 * BLOCK, 3 * BLOCK),
    ]


@pytest.mark.parametrize("other", ["alone", "in a batch"])
def test_how_often_somebody_asks_and_who_else_does_changes_nothing(other: str) -> None:
    pcm = clip("prose.flac")[: 4 * SECOND]
    once, often = listened(pcm), listened(pcm)
    encoder().advance([(once, 4 * SECOND)])
    neighbour = [listened(noise(4 * SECOND, seed=1))] if other == "in a batch" else []
    for until in range(BLOCK, 4 * SECOND + 1, BLOCK):
        encoder().advance([(state, until) for state in (*neighbour, often)])
    assert len(kept(once)) == len(kept(often)) == 7
    for left, right in zip(kept(once), kept(often), strict=True):
        torch.testing.assert_close(left.layers, right.layers, atol=1e-3, rtol=1e-3)


@torch.inference_mode()
def test_over_the_full_window_they_are_what_transformers_encoder_holds() -> None:
    pcm = clip("question.flac")[: 3 * SECOND]
    [whole] = encoder().encode_many([(listened(pcm), 3 * SECOND)], full_window=True)
    mel = feature_extractor()(floats(pcm), sampling_rate=SECOND, return_tensors="pt").input_features
    states = transformers_model().model.encoder(mel, output_hidden_states=True).hidden_states
    for block in kept(whole)[:6]:
        frames = slice(block.first_sample // FRAME, block.until_sample // FRAME)
        for layer in range(4):  # the last of transformers' is behind the norm
            rows = states[layer][0, frames]
            expected = torch.stack((rows.mean(0), rows.std(0, correction=0)))
            torch.testing.assert_close(block.layers[layer], expected, atol=0.05, rtol=0.05)


def test_nothing_is_pooled_where_nobody_asked() -> None:
    state = hear(encoder().new_state(0), clip("question.flac")[:SECOND])
    encoder().advance([(state, SECOND)])
    [whole] = encoder().encode_many([(state, SECOND)])
    assert state.pooled is None
    assert whole.pooled is None
