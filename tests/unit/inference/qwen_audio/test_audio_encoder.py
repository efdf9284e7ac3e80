"""Features and encoder: the lengths, what silence and a full window give, and that neighbours do not matter."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from inference.qwen_audio.audio_encoder import AFTER, BEFORE, sinusoids
from inference.qwen_audio.features import WINDOW_SAMPLES, ClipTooLong, clip_lengths, clip_mel
from tests.support.checkpoints import floats, noise
from tests.support.qwen_checkpoints import tiny_model

SECOND = 16_000


def voice(samples: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(floats(noise(samples, seed)))


def mel(samples: int, seed: int = 0) -> Tensor:
    return clip_mel(voice(samples, seed), 80)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (0, (0, 0, 0, 2)),
        (159, (0, 0, 0, 2)),
        (160, (1, 1, 0, 2)),
        (SECOND, (100, 50, 25, 27)),
        (21_920, (137, 69, 34, 36)),
        (30 * SECOND, (3000, 1500, 750, 752)),
    ],
)
def test_lengths_of_a_clip(samples: int, expected: tuple[int, int, int, int]) -> None:
    lengths = clip_lengths(samples)
    assert (lengths.mel, lengths.frames, lengths.tokens, lengths.span) == expected


def test_a_clip_longer_than_a_window_is_refused_not_cut() -> None:
    with pytest.raises(ClipTooLong, match="480001"):
        clip_mel(torch.zeros(WINDOW_SAMPLES + 1), 80)


@pytest.mark.parametrize("samples", [400, SECOND, 13_457, WINDOW_SAMPLES - 100, WINDOW_SAMPLES])
def test_features_are_those_of_the_clip_padded_to_30_s(samples: int) -> None:
    pcm = voice(samples)
    reference = WhisperFeatureExtractor()(pcm.numpy(), sampling_rate=SECOND, return_tensors="pt").input_features[0]
    ours = clip_mel(pcm, 80)
    assert ours.shape == (80, 2 * clip_lengths(samples).frames)
    torch.testing.assert_close(ours, reference[:, : ours.shape[1]], atol=1e-4, rtol=0)


def test_silence_is_one_value() -> None:
    assert set(clip_mel(torch.zeros(SECOND), 80).flatten().tolist()) == {(-10 + 4) / 4}


def test_positions_are_sines_then_cosines() -> None:
    table = sinusoids(50, 8)
    assert table.shape == (50, 8)
    assert table[7, 0] == pytest.approx(math.sin(7), abs=1e-6)
    assert table[7, 4] == pytest.approx(math.cos(7), abs=1e-6)
    assert table[7, 3] == pytest.approx(math.sin(7 / 10_000), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2 * SECOND), min_size=1, max_size=5))
def test_a_batch_gives_what_its_clips_give_alone(sizes: list[int]) -> None:
    encoder = tiny_model().audio
    mels = [mel(samples, seed) for seed, samples in enumerate(sizes)]
    for samples, one, batched in zip(sizes, mels, encoder(mels), strict=True):
        assert batched.shape == (clip_lengths(samples).span, encoder.config.output_dim)
        torch.testing.assert_close(batched, encoder([one])[0], atol=1e-5, rtol=0)


def test_a_clip_stands_between_the_begin_and_the_end_embedding() -> None:
    encoder = tiny_model().audio
    for samples in (0, SECOND):
        encoded = encoder([mel(samples)])[0]
        assert torch.equal(encoded[[0, -1]], encoder.audio_bos_eos_token.weight)


def test_no_clips_give_nothing() -> None:
    assert tiny_model().encode_audio([]) == []


@pytest.mark.parametrize("features", [101, 3002])
def test_features_that_are_no_clip_are_refused(features: int) -> None:
    with pytest.raises(ValueError, match=str(features)):
        tiny_model().encode_audio([torch.zeros(80, features)])


def test_every_frame_sees_the_whole_clip_behind_it() -> None:
    encoder, features = tiny_model().audio, mel(SECOND)
    changed = features.clone()
    changed[:, -1] += 1
    assert (encoder([features])[0][1] - encoder([changed])[0][1]).abs().max() > 1e-4


def test_layers_are_those_of_whisper() -> None:
    """transformers' encoder with a window as long as the clip, then pooled in pairs, normed and projected."""
    encoder, features = tiny_model().audio, mel(SECOND)
    whisper = WhisperEncoder(
        WhisperConfig(
            d_model=32,
            encoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=128,
            num_mel_bins=80,
            max_source_positions=50,
        )
    ).eval()
    names = {"attn.query": "self_attn.q_proj", "attn.key": "self_attn.k_proj", "attn.value": "self_attn.v_proj",
             "attn.out": "self_attn.out_proj", "attn_ln": "self_attn_layer_norm", "mlp_ln": "final_layer_norm",
             "mlp.0": "fc1", "mlp.2": "fc2"}  # fmt: skip
    state = {"embed_positions.weight": encoder.positional_embedding[:50]}
    for name, tensor in encoder.state_dict().items():
        if name.startswith("blocks."):
            _, index, inner = name.split(".", 2)
            part, kind = inner.rsplit(".", 1)
            state[f"layers.{index}.{names[part]}.{kind}"] = tensor
        elif name.startswith("conv"):
            state[name] = tensor
        elif name.startswith("ln_post."):
            state[name.replace("ln_post", "layer_norm")] = tensor
    whisper.load_state_dict(state, strict=True)
    whisper.layer_norm = torch.nn.Identity()
    with torch.no_grad():
        states = whisper(features[None]).last_hidden_state
        pooled = torch.nn.functional.avg_pool1d(states.transpose(1, 2), 2, 2).transpose(1, 2)
        expected = encoder.proj(encoder.ln_post(pooled))[0]
    torch.testing.assert_close(encoder([features])[0][1:-1], expected, atol=1e-4, rtol=1e-4)


def test_a_run_of_the_stem_is_that_of_the_whole_clip() -> None:
    encoder, features = tiny_model().audio, mel(SECOND)
    run = encoder.stem_run(features[:, 2 * 10 - BEFORE : 2 * 30 + AFTER], 10)
    torch.testing.assert_close(run, encoder.stem(features)[10:30], atol=1e-5, rtol=0)


def test_an_odd_last_frame_is_heard_but_has_no_token() -> None:
    encoder = tiny_model().audio
    features = mel(27 * 320)
    assert encoder([features])[0].shape[0] == 13 + 2
    assert not torch.allclose(encoder([features])[0][1:-1], encoder([features[:, :-2]])[0][1:-1], atol=1e-4)


def test_the_encoder_can_be_trained() -> None:
    encoder = tiny_model().audio
    features = mel(SECOND).requires_grad_(True)
    encoder([features])[0].sum().backward()
    assert features.grad is not None
    assert features.grad.abs().sum() > 0
