"""The device benchmark on a CPU, in small: it runs the engine's own code, and what it counts is right."""

from __future__ import annotations

import torch

from benchmarks.gpu.ceilings import bytes_per_s, flops_per_s
from benchmarks.gpu.geometry import GEOMETRIES, parameters, random_weights
from benchmarks.gpu.step import PASSES, Streams, bytes_of_step, flops_of_step
from inference.whisper.encoder import BLOCK_FRAMES
from inference.whisper.model import build_model
from inference.whisper.weights import load_weights

CPU = torch.device("cpu")


def test_random_weights_have_the_shapes_of_the_real_ones() -> None:
    real, made = load_weights(), random_weights("tiny")
    assert {key: tensor.shape for key, tensor in made.state.items()} == {
        key: tensor.shape for key, tensor in real.state.items()
    }
    assert parameters(made) == parameters(real)


def test_published_sizes_have_about_the_parameters_that_they_are_known_for() -> None:
    """Millions: 39, 809 and 1550. Counted from the geometry, since large weights take seconds to make."""
    for name, millions in (("tiny", 38), ("large-v3-turbo", 809), ("large-v3", 1543)):
        width, encoder, decoder, bins, vocabulary = GEOMETRIES[name]
        stem = 3 * width * (bins + width) + (1500 + 448 + vocabulary) * width
        assert abs((stem + width**2 * (12 * encoder + 16 * decoder)) / 1e6 - millions) < 0.02 * millions


def test_a_step_runs_a_block_of_each_stream_and_its_passes() -> None:
    weights = random_weights("tiny")
    model = build_model(weights, CPU, torch.float32)
    streams = Streams(model, weights, 2)
    counters = streams._decoder.counters
    times = streams.step()
    assert times.rows == 2 * 2 * BLOCK_FRAMES, "the block and its right context"
    assert (counters.passes, counters.calls) == (PASSES, 2 * PASSES)
    assert min(times.encode_s, times.decode_s) > 0
    assert flops_of_step(weights, 2, times.rows) > 1e9
    assert bytes_of_step(weights, model) > 4 * PASSES * 51_864 * 384


def test_ceilings_are_measured() -> None:
    assert bytes_per_s(CPU, megabytes=8) > 1e8
    assert flops_per_s(CPU, torch.float32, size=256) > 1e8
