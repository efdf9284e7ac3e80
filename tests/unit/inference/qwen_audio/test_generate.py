"""Decoding in a batch: sequences join, run and leave as they please, and each gets what it would get alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.qwen_audio.cache import CacheLedger
from inference.qwen_audio.generate import Decoding, GenerationBatch, Progress, draw, generate
from inference.qwen_audio.model import Prompt
from tests.support.qwen_checkpoints import TINY, random_model, tiny_config, tiny_model
from tests.unit.inference.qwen_audio.test_model import BEYOND, audio, ids

FREE = Decoding(frozenset(), max_new=10)


def alone(prompt: Prompt, decoding: Decoding) -> list[int]:
    return generate(tiny_model(), [prompt], decoding)[0]


def by_whole_prompts(prompt: list[torch.Tensor], count: int) -> list[int]:
    """Greedy ids without cache or batch. Within the length of training, where each longer prompt has the same alpha."""
    decoded: list[int] = []
    for _ in range(count):
        logits = tiny_model()([[*prompt, torch.tensor(decoded, dtype=torch.long)]])[0]
        decoded.append(int(logits[-1].argmax()))
    return decoded


def test_greedy_decoding_follows_the_most_likely_token() -> None:
    prompt = [ids(5), audio(9), ids(4, 1)]
    assert alone(prompt, FREE) == by_whole_prompts(prompt, FREE.max_new)


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, BEYOND), min_size=1, max_size=5),
    joins=st.lists(st.integers(0, 6), min_size=5, max_size=5),
    strides=st.lists(st.integers(1, 4), min_size=1, max_size=30),
    temperature=st.sampled_from([0.0, 0.8]),
    positions=st.sampled_from([1, 64, 4096]),
)
def test_when_and_beside_whom_a_sequence_runs_does_not_matter(
    lengths: list[int], joins: list[int], strides: list[int], temperature: float, positions: int
) -> None:
    model = tiny_model()
    prompts = [[ids(length, seed)] for seed, length in enumerate(lengths)]
    ways = [Decoding(frozenset({7}), 3 + seed, temperature, 0.9, seed) for seed in range(len(lengths))]
    batch, found, keys = GenerationBatch(model, positions), {}, {}
    waiting = sorted(range(len(lengths)), key=lambda member: joins[member])
    for step in range(1000):
        while waiting and joins[waiting[0]] <= step:
            member = waiting.pop(0)
            keys[batch.join(model.new_cache(), prompts[member], ways[member])] = member
        for key, made in batch.step(strides[step % len(strides)]).items():
            found.setdefault(keys[key], []).extend(made.ids)
        if not waiting and not len(batch):
            break
    for member, (prompt, way) in enumerate(zip(prompts, ways, strict=True)):
        assert found[member] == alone(prompt, way)


def test_forks_of_one_audio_answer_as_separate_prompts_do() -> None:
    model = tiny_model()
    prefix = model.new_cache()
    model.prefill([prefix], [[audio(25)]])
    tasks = [ids(count, count) for count in (3, 6, 4, 8)]
    batch = GenerationBatch(model)
    keys = [batch.join(fork, [task], FREE) for fork, task in zip(prefix.fork(len(tasks)), tasks, strict=True)]
    made = batch.step(FREE.max_new)
    assert [list(made[key].ids) for key in keys] == [alone([audio(25), task], FREE) for task in tasks]


def test_a_stop_id_ends_a_sequence_and_is_not_part_of_it() -> None:
    decoded = alone([ids(5)], FREE)
    stop = decoded[4]
    until = decoded.index(stop)
    batch = GenerationBatch(tiny_model())
    key = batch.join(tiny_model().new_cache(), [ids(5)], replace(FREE, stop_ids=frozenset({stop})))
    assert batch.step(50)[key] == Progress(tuple(decoded[:until]), "stop", (stop,))
    assert len(batch) == 0


def test_steps_bring_new_ids_only_and_the_last_says_why() -> None:
    batch = GenerationBatch(tiny_model())
    key = batch.join(tiny_model().new_cache(), [ids(5)], replace(FREE, max_new=5))
    first, second, third = (batch.step(2)[key] for _ in range(3))
    assert [len(made.ids) for made in (first, second, third)] == [2, 2, 1]
    assert (first.finish, second.finish, third.finish) == (None, None, "length")
    assert [*first.ids, *second.ids, *third.ids] == alone([ids(5)], FREE)[:5]
    assert batch.step(2) == {}


def test_caches_are_given_back_when_a_sequence_is_over_or_leaves() -> None:
    model, ledger = tiny_model(), CacheLedger()
    batch = GenerationBatch(model)
    keys = [batch.join(model.new_cache(ledger=ledger), [ids(4)], replace(FREE, max_new=most)) for most in (1, 9)]
    batch.step()
    batch.leave(keys[0])
    assert ledger.bytes > 0
    batch.leave(keys[1])
    assert (ledger.bytes, len(batch)) == (0, 0)


def test_a_conversation_goes_on_in_its_cache() -> None:
    model = tiny_model()
    cache, batch = model.new_cache(prompt_length=40), GenerationBatch(model)
    key = batch.join(cache, [audio(12)], replace(FREE, max_new=4), release=False)
    made = batch.step(4)[key]
    turn = ids(6, 3)
    key = batch.join(cache, [torch.tensor(made.unread), turn], replace(FREE, max_new=4))
    assert list(batch.step(4)[key].ids) == by_whole_prompts([audio(12), torch.tensor(made.ids), turn], 4)


def test_a_sequence_without_room_ends_and_the_others_go_on() -> None:
    model = random_model(tiny_config(max_position_embeddings=50))
    batch = GenerationBatch(model)
    long, short = (batch.join(model.new_cache(), [ids(length)], FREE) for length in (47, 5))
    too_long = batch.join(model.new_cache(), [ids(51)], FREE)
    made = batch.step(FREE.max_new)
    assert made[too_long] == Progress((), "full", ())
    assert (len(made[long].ids), made[long].finish) == (4, "full")
    assert made[long].unread == made[long].ids[-1:]
    assert (len(made[short].ids), made[short].finish) == (10, "length")


def test_the_nucleus_leaves_out_what_is_unlikely() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    random = torch.Generator().manual_seed(0)
    drawn = [draw(logits, Decoding(frozenset(), temperature=1.0, top_p=0.7), random) for _ in range(400)]
    assert set(drawn) == {0, 1}
    assert drawn.count(0) / 400 == pytest.approx(0.5 / 0.8, abs=0.1)


def test_a_seed_draws_the_same_again_and_another_one_something_else() -> None:
    hot = replace(FREE, temperature=2.0)
    assert alone([ids(5)], hot) == alone([ids(5)], hot)
    assert alone([ids(5)], hot) != alone([ids(5)], replace(hot, seed=1))


@pytest.mark.parametrize("wrong", [{"max_new": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_a_wrong_way_of_decoding_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(FREE, **wrong)  # type: ignore[arg-type]


def test_what_cannot_be_decoded_is_refused_before_it_joins() -> None:
    model = tiny_model()
    batch, cache = GenerationBatch(model), model.new_cache()
    with pytest.raises(ValueError, match="vocabulary"):
        batch.join(cache, [torch.tensor([TINY.vocab_size])], FREE)
    with pytest.raises(ValueError, match="at least one token"):
        batch.join(cache, [ids(0)], FREE)
    batch.join(cache, [ids(1)], FREE)
    with pytest.raises(ValueError, match="belongs"):
        batch.join(cache, [ids(1)], FREE)
    assert len(batch) == 1


def test_an_answer_may_be_bound_to_begin_with_ids_and_tells_their_probabilities() -> None:
    model, prompt = tiny_model(), [ids(5)]
    free = GenerationBatch(model)
    key = free.join(model.new_cache(), prompt, FREE)
    said = free.step(FREE.max_new)[key]
    batch = GenerationBatch(model)
    key = batch.join(model.new_cache(), prompt, replace(FREE, max_new=6), bound=said.ids[:4])
    bound = batch.step(6)[key]
    assert bound.ids == said.ids
    assert bound.probabilities == pytest.approx(said.probabilities, abs=1e-5)
    logits = model([[*prompt, torch.tensor(said.ids)]])[0]
    shares = logits.softmax(-1)[4 : 4 + len(said.ids)].gather(1, torch.tensor(said.ids)[:, None])[:, 0]
    assert said.probabilities == pytest.approx(shares.tolist(), abs=1e-5)


def test_only_what_is_allowed_is_decoded() -> None:
    allowed = torch.zeros(TINY.vocab_size, dtype=torch.bool)
    allowed[[3, 5]] = True
    batch = GenerationBatch(tiny_model())
    key, other = (batch.join(tiny_model().new_cache(), [ids(5)], FREE, allowed=each) for each in (allowed, None))
    made = batch.step(FREE.max_new)
    assert set(made[key].ids) <= {3, 5}
    assert list(made[other].ids) == alone([ids(5)], FREE)
    assert all(share > 0.5 for share in made[key].probabilities)


def test_sequences_that_are_not_named_wait() -> None:
    batch = GenerationBatch(tiny_model())
    first, second = (batch.join(tiny_model().new_cache(), [ids(length)], FREE) for length in (5, 7))
    assert set(batch.step(3, [first])) == {first}
    assert list(batch.step(FREE.max_new)[second].ids) == alone([ids(7)], FREE)


def test_a_failed_step_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    batch = GenerationBatch(model)
    key = batch.join(model.new_cache(), [ids(5)], FREE)
    begun = batch.step(2)[key].ids

    def fails(_hidden: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no memory")

    with monkeypatch.context() as broken:
        broken.setattr(model.lm_head, "forward", fails)
        with pytest.raises(RuntimeError):
            batch.step()
    assert [*begun, *batch.step(FREE.max_new)[key].ids] == alone([ids(5)], FREE)
