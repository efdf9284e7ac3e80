"""The language model: causal, exact in ragged batches and in pieces, and with positions that belong to a request."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

from inference.qwen_audio.rotary import inverse_frequencies, ntk_alpha, phases
from tests.support.qwen_checkpoints import TINY, random_model, tiny_config, tiny_model

BEYOND = TINY.seq_length + 30
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
QWEN2_NAMES = {
    "transformer.wte": "model.embed_tokens",
    "transformer.ln_f": "model.norm",
    "transformer.h.": "model.layers.",
    "ln_1": "input_layernorm",
    "ln_2": "post_attention_layernorm",
    "mlp.w1": "mlp.up_proj",
    "mlp.w2": "mlp.gate_proj",
    "mlp.c_proj": "mlp.down_proj",
    "attn.c_proj": "self_attn.o_proj",
}


def ids(count: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 120, (count,), generator=torch.Generator().manual_seed(seed))


def audio(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, TINY.hidden_size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("length", "alpha"),
    [(1, 1), (2048, 1), (2049, 3), (4096, 3), (4097, 7), (8192, 7), (8193, 15)],
)
def test_alpha_doubles_with_each_doubling_beyond_the_length_of_training(length: int, alpha: float) -> None:
    assert ntk_alpha(length, 2048) == alpha


def test_alpha_stretches_the_base() -> None:
    plain, stretched = inverse_frequencies(TINY, 1.0), inverse_frequencies(TINY, 3.0)
    assert plain[0] == stretched[0] == 1.0
    size = TINY.kv_channels
    expected = (10_000 * 3 ** (size / (size - 2))) ** -((size - 2) / size)
    assert stretched[-1] == pytest.approx(expected, rel=1e-5)


def test_queries_are_scaled_by_the_log_of_their_position_beyond_the_length_of_training_only() -> None:
    at = phases(TINY, [(TINY.seq_length - 2, 4, 1.0)], torch.device("cpu"))
    assert at.query_scale is not None
    base = math.log(TINY.seq_length)
    expected = [1, 1, math.log(TINY.seq_length + 1) / base, math.log(TINY.seq_length + 2) / base]
    assert at.query_scale.flatten().tolist() == pytest.approx(expected)
    assert phases(TINY, [(0, TINY.seq_length, 1.0)], torch.device("cpu")).query_scale is None


def test_each_row_is_rotated_by_its_own_request() -> None:
    x = torch.randn(5, 2, TINY.kv_channels)
    together = phases(TINY, [(7, 2, 1.0), (60, 3, 3.0)], torch.device("cpu"))
    first, second = (phases(TINY, [run], torch.device("cpu")) for run in ((7, 2, 1.0), (60, 3, 3.0)))
    assert torch.equal(together.rotate_keys(x)[:2], first.rotate_keys(x[:2]))
    assert torch.equal(together.rotate_queries(x)[2:], second.rotate_queries(x[2:]))


def test_layers_within_the_length_of_training_are_those_of_qwen2() -> None:
    """Qwen2 has Qwen's layers under other names, and neither of its two extensions."""
    model, prompt = tiny_model(), ids(TINY.seq_length)
    other = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=TINY.vocab_size,
            hidden_size=TINY.hidden_size,
            intermediate_size=TINY.feed_forward,
            num_hidden_layers=TINY.num_hidden_layers,
            num_attention_heads=TINY.num_attention_heads,
            num_key_value_heads=TINY.num_attention_heads,
            rms_norm_eps=TINY.layer_norm_epsilon,
            rope_theta=TINY.rotary_emb_base,
            tie_word_embeddings=False,
        )
    ).eval()
    state = {}
    for name, tensor in model.state_dict().items():
        if ".audio." in name:
            continue
        for ours, theirs in QWEN2_NAMES.items():
            name = name.replace(ours, theirs)
        if "c_attn" in name:
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                state[name.replace("attn.c_attn", f"self_attn.{part}_proj")] = piece
        else:
            state[name] = tensor
    other.load_state_dict(state, strict=True)
    with torch.no_grad():
        expected = other(prompt[None]).logits[0]
    torch.testing.assert_close(model([[prompt]])[0], expected, atol=1e-4, rtol=1e-4)


def test_a_logit_depends_on_the_tokens_before_it_only() -> None:
    model, prompt = tiny_model(), ids(20)
    other = prompt.clone()
    other[12] = (other[12] + 1) % 120
    before, after = model([[prompt]])[0], model([[other]])[0]
    torch.testing.assert_close(before[:12], after[:12], **CLOSE)
    assert (before[12:] - after[12:]).abs().amax(dim=1).min() > 1e-3


def test_embeddings_of_tokens_and_tokens_are_the_same_prompt() -> None:
    model, prompt = tiny_model(), ids(9)
    spliced = [prompt[:3], model.embed([prompt[3:7]]), prompt[7:]]
    torch.testing.assert_close(model([spliced])[0], model([[prompt]])[0], **CLOSE)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, BEYOND), min_size=1, max_size=4), st.booleans())
def test_ragged_batches_give_what_single_prompts_give(lengths: list[int], cached: bool) -> None:
    model = tiny_model()
    prompts = [[ids(length, seed), audio(5, seed)] for seed, length in enumerate(lengths)]
    if cached:
        batch = model.prefill([model.new_cache() for _ in prompts], prompts, every_position=True)
    else:
        batch = model(prompts)
    for prompt, logits in zip(prompts, batch, strict=True):
        torch.testing.assert_close(logits, model([prompt])[0], **CLOSE)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_a_prompt_in_pieces_is_the_prompt_in_one_piece(pieces: list[int]) -> None:
    model = tiny_model()
    prompt = ids(sum(pieces))
    cache = model.new_cache(prompt_length=sum(pieces))
    found = [model.prefill([cache], [[piece]], every_position=True)[0] for piece in prompt.split(pieces)]
    torch.testing.assert_close(torch.cat(found), model([[prompt]])[0], **CLOSE)


def test_requests_beyond_the_length_of_training_do_not_disturb_each_other() -> None:
    """The original keeps the rotary base of the last prompt for all."""
    model = tiny_model()
    prompts, steps = {"short": ids(10), "long": ids(BEYOND)}, ids(6, 1).tolist()

    def run(names: list[str]) -> dict[str, Tensor]:
        caches = {name: model.new_cache() for name in names}
        for name in names:
            model.prefill([caches[name]], [[prompts[name]]])
        rows = [model.advance([caches[name] for name in names], [step] * len(names)) for step in steps]
        return dict(zip(names, torch.stack(rows, dim=1), strict=True))

    together = run(["short", "long"])
    for name in prompts:
        torch.testing.assert_close(together[name], run([name])[name], **CLOSE)


def test_alpha_stays_while_decoding_past_the_length_of_training() -> None:
    model = tiny_model()
    cache = model.new_cache()
    model.prefill([cache], [[ids(TINY.seq_length)]])
    model.advance([cache], [5])
    assert cache.alpha == 1.0
    assert not cache.suits(cache.length)


@pytest.mark.parametrize("switch", ["use_dynamic_ntk", "use_logn_attn"])
def test_each_extension_shows_beyond_the_length_of_training_only(switch: str) -> None:
    plain = random_model(tiny_config(**{switch: False}))
    inside, outside = [ids(TINY.seq_length)], [ids(BEYOND)]
    torch.testing.assert_close(plain([inside])[0], tiny_model()([inside])[0], **CLOSE)
    assert (plain([outside])[0][-1] - tiny_model()([outside])[0][-1]).abs().max() > 1e-4


@pytest.mark.parametrize(
    "segment",
    [torch.tensor([TINY.vocab_size]), torch.tensor([-1]), torch.zeros(2, 3), torch.zeros(1, 2, dtype=torch.long)],
)
def test_what_is_no_segment_is_refused(segment: Tensor) -> None:
    with pytest.raises(ValueError, match=r"vocabulary|embeddings|ids"):
        tiny_model().embed([segment])


def test_a_prompt_without_tokens_and_a_cache_given_twice_are_refused() -> None:
    model = tiny_model()
    cache = model.new_cache()
    with pytest.raises(ValueError, match="at least one token"):
        model.prefill([cache], [[ids(0)]])
    with pytest.raises(ValueError, match="twice"):
        model.prefill([cache, cache], [[ids(1)], [ids(1)]])


def test_the_whole_model_can_be_trained() -> None:
    model = random_model().requires_grad_(True)
    heard = model.encode_audio([torch.randn(80, 40)])[0]
    model([[ids(3), heard, ids(4)]])[0].sum().backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []
