"""Caches that fork: exact, without copies, and with every byte accounted for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.qwen_audio.cache import CacheError, CacheLedger, KvCache, held_bytes
from tests.support.qwen_checkpoints import TINY, tiny_model
from tests.unit.inference.qwen_audio.test_model import CLOSE, audio, ids

TOKEN_BYTES = TINY.num_hidden_layers * 2 * TINY.attention_width * 4
STEP = 64  # tokens by which memory is taken


def prefix(length: int, ledger: CacheLedger | None = None, whole: int | None = None) -> KvCache:
    model = tiny_model()
    cache = model.new_cache(whole, ledger)
    model.prefill([cache], [[audio(length)]])
    return cache


@settings(max_examples=20, deadline=None)
@given(
    length=st.integers(1, 70),
    suffixes=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    steps=st.integers(0, 4),
)
def test_forks_give_what_separate_prompts_give(length: int, suffixes: list[int], steps: int) -> None:
    model = tiny_model()
    forks = prefix(length, whole=90).fork(len(suffixes))
    asked = [[ids(count, seed)] for seed, count in enumerate(suffixes)]
    alone = [model.new_cache(90) for _ in suffixes]
    separate = [
        model.prefill([cache], [[audio(length), *suffix]])[0] for cache, suffix in zip(alone, asked, strict=True)
    ]
    torch.testing.assert_close(torch.stack(model.prefill(forks, asked)), torch.stack(separate), **CLOSE)
    for step in range(steps):
        tokens = [step + member for member in range(len(suffixes))]
        expected = torch.cat([model.advance([cache], [token]) for cache, token in zip(alone, tokens, strict=True)])
        torch.testing.assert_close(model.advance(forks, tokens), expected, **CLOSE)


def test_forks_of_forks_and_of_several_prefixes_run_in_one_batch() -> None:
    model = tiny_model()
    first, second = prefix(20), prefix(9)
    (child,) = first.fork()
    model.prefill([child], [[ids(5, 1)]])
    caches = [*child.fork(2), *first.fork(1), *second.fork(2), model.new_cache()]
    before = [[audio(20), ids(5, 1)]] * 2 + [[audio(20)]] + [[audio(9)]] * 2 + [[]]
    asked = [ids(count, count) for count in (3, 1, 4, 2, 6, 7)]
    found = model.prefill(caches, [[suffix] for suffix in asked])
    for logits, past, suffix in zip(found, before, asked, strict=True):
        torch.testing.assert_close(logits, model([[*past, suffix]])[0][-1], **CLOSE)


def test_a_parent_goes_on_and_its_forks_do_not_see_it() -> None:
    model = tiny_model()
    parent = prefix(10, whole=40)
    (fork,) = parent.fork()
    model.prefill([parent], [[audio(20, 1)]])
    found = model.prefill([fork], [[ids(4)]])[0]
    torch.testing.assert_close(found, model([[audio(10), ids(4)]])[0][-1], **CLOSE)
    later = model.prefill([parent], [[ids(4)]])[0]
    torch.testing.assert_close(later, model([[audio(10), audio(20, 1), ids(4)]])[0][-1], **CLOSE)


def test_forks_of_one_parent_at_different_times_run_in_one_batch() -> None:
    model = tiny_model()
    parent = prefix(10, whole=40)
    (early,) = parent.fork()
    model.prefill([parent], [[audio(20, 1)]])
    (late,) = parent.fork()
    found = model.prefill([early, late], [[ids(4)]] * 2)
    torch.testing.assert_close(found[0], model([[audio(10), ids(4)]])[0][-1], **CLOSE)
    torch.testing.assert_close(found[1], model([[audio(10), audio(20, 1), ids(4)]])[0][-1], **CLOSE)


def test_new_audio_is_appended_to_a_live_cache() -> None:
    model = tiny_model()
    turns = [ids(6), audio(8), ids(5, 1), audio(30, 2), ids(12, 3)]
    cache = model.new_cache(prompt_length=61)
    for turn in turns[:-1]:
        model.prefill([cache], [[turn]])
    torch.testing.assert_close(model.prefill([cache], [[turns[-1]]])[0], model([turns])[0][-1], **CLOSE)


def test_a_fork_copies_nothing() -> None:
    ledger = CacheLedger()
    parent = prefix(50, ledger)
    assert ledger.bytes == STEP * TOKEN_BYTES == parent.own_bytes
    forks = parent.fork(8)
    assert ledger.bytes == STEP * TOKEN_BYTES
    tiny_model().prefill(forks, [[ids(3)]] * 8)
    assert ledger.bytes == 9 * STEP * TOKEN_BYTES == held_bytes([parent, *forks])


def test_shared_memory_is_given_back_with_its_last_reader() -> None:
    ledger = CacheLedger()
    parent = prefix(50, ledger)
    first, second = parent.fork(2)
    parent.release()
    first.release()
    first.release()
    assert ledger.bytes == STEP * TOKEN_BYTES
    found = tiny_model().prefill([second], [[ids(3)]])[0]
    torch.testing.assert_close(found, tiny_model()([[audio(50), ids(3)]])[0][-1], **CLOSE)
    second.release()
    assert ledger.bytes == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["fork", "grow", "release"]), st.integers(0, 7)), max_size=25))
def test_the_ledger_counts_what_living_caches_hold(moves: list[tuple[str, int]]) -> None:
    model, ledger = tiny_model(), CacheLedger()
    living = [prefix(3, ledger)]
    for move, which in moves:
        if not living:
            break
        cache = living[which % len(living)]
        if move == "fork":
            living += cache.fork(2)
        elif move == "grow":
            model.prefill([cache], [[ids(which + 1)]])
        else:
            cache.release()
            living.remove(cache)
        assert ledger.bytes == held_bytes(living)
    for cache in living:
        cache.release()
    assert ledger.bytes == 0


def test_a_limit_refuses_growth_and_leaves_the_caches_as_they_were() -> None:
    model = tiny_model()
    ledger = CacheLedger(limit_bytes=2 * STEP * TOKEN_BYTES)
    small, large = model.new_cache(ledger=ledger), model.new_cache(ledger=ledger)
    with pytest.raises(CacheError, match="no room"):
        model.prefill([small, large], [[ids(5)], [ids(2 * STEP)]])
    assert (small.length, large.length, small.alpha) == (0, 0, None)
    found = model.prefill([small], [[ids(60)]])[0]
    torch.testing.assert_close(found, model([[ids(60)]])[0][-1], **CLOSE)


def test_positions_end_where_the_model_says() -> None:
    model = tiny_model()
    cache = prefix(TINY.max_position_embeddings - 1)
    model.advance([cache], [1])
    assert cache.room == 0
    with pytest.raises(CacheError, match=str(TINY.max_position_embeddings)):
        model.advance([cache], [1])


def test_a_released_cache_is_of_no_use() -> None:
    cache = prefix(3)
    cache.release()
    with pytest.raises(CacheError, match="released"):
        cache.fork()
    with pytest.raises(CacheError, match="released"):
        tiny_model().advance([cache], [1])
