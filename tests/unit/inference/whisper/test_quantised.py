"""Linear layers in int8: near the exact product, and each row by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from inference.engine.device import cpu_flags
from inference.pool.interface import BLOCK_SAMPLES
from inference.whisper.encoder import WhisperIncrementalEncoder
from inference.whisper.features import FRAME
from inference.whisper.model import build_model
from inference.whisper.quantised import QuantisedLinear, has_int8_units
from tests.support.checkpoints import bundled, clip, hear

needs_units = pytest.mark.skipif(
    not has_int8_units(cpu_flags()), reason="this processor saturates sums of bytes: int8 is not used on it"
)


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@needs_units
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 70), st.sampled_from([(64, 64), (96, 384), (384, 96)]), st.booleans())
def test_it_is_about_a_percent_off(seed: int, rows: int, shape: tuple[int, int], with_bias: bool) -> None:
    x, weight = random(seed, rows, shape[1]), random(seed + 1, *shape)
    bias = random(seed + 2, shape[0]) if with_bias else None
    exact = x @ weight.T
    given_ = QuantisedLinear(weight, bias)(x) - (0 if bias is None else bias)
    assert (given_ - exact).norm() < 0.02 * exact.norm()


@needs_units
def test_sums_do_not_saturate() -> None:
    ones = torch.ones(4, 1536)
    assert torch.allclose(QuantisedLinear(torch.ones(8, 1536), None)(ones), torch.full((4, 8), 1536.0), rtol=0.01)


@needs_units
def test_a_loud_row_changes_nothing_in_the_others() -> None:
    linear = QuantisedLinear(random(0, 96, 384), random(1, 96))
    x = random(2, 33, 384)
    alone = torch.cat([linear(row) for row in x.split(1)])
    x_with_loud = torch.cat([x, 1e4 * x[:1]])
    assert torch.equal(linear(x_with_loud)[:-1], alone)


@needs_units
def test_a_row_of_zeros_is_the_bias() -> None:
    bias = random(1, 96)
    assert torch.allclose(QuantisedLinear(random(0, 96, 384), bias)(torch.zeros(2, 384)), bias.expand(2, 96))


@pytest.mark.parametrize(
    ("flags", "has"), [(set(), False), ({"avx2"}, False), ({"avx512_vnni"}, True), ({"amx_int8"}, True)]
)
def test_units_are_known_by_the_processors_flags(flags: set[str], has: bool) -> None:
    assert has_int8_units(frozenset(flags)) is has


@needs_units
def test_an_utterance_has_the_same_states_to_the_bit_alone_and_among_others() -> None:
    model = build_model(bundled(), torch.device("cpu"), torch.float32, quantised=True)
    encoder = WhisperIncrementalEncoder(model)
    clips = [clip(f"{name}.flac") for name in ("question", "numbers", "pause")]

    def states(pcm: list[NDArray[np.int16]]) -> list[Tensor]:
        held = [hear(encoder.new_state(0), samples) for samples in pcm]
        finals = encoder.encode_many([(state, state.end_sample // FRAME * FRAME) for state in held])
        encoder.advance([(state, min(state.end_sample, 3 * BLOCK_SAMPLES)) for state in held])
        both = zip(finals, held, strict=True)
        return [torch.cat([one.cross_attention.read(3, one.head_frames)[0] for one in pair], dim=1) for pair in both]

    together = states(clips)
    for pcm, among_others in zip(clips, together, strict=True):
        assert torch.equal(states([pcm])[0], among_others)
