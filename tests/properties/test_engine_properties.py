"""Laws of the incremental engine: neither chunking nor the schedule of interims nor drafts change what comes out."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.whisper.decoder import WhisperDecoder
from inference.whisper.decoding import Decoded, DecodeRequest, FrontierRule
from inference.whisper.encoder import BLOCK_FRAMES, WhisperIncrementalEncoder
from inference.whisper.features import LogMel
from inference.whisper.state import UtteranceState
from tests.support.checkpoints import FRAME, SECOND, bundled, bundled_model, clip, floats, hear, noise

PROMPT = (50_257, 50_362)
PCM = noise(3 * SECOND)
CUTS = st.lists(st.integers(0, len(PCM)), max_size=8).map(sorted)
HEADS = st.lists(
    st.one_of(st.integers(1, len(PCM)), st.integers(1, len(PCM) // FRAME).map(lambda frame: frame * FRAME)), max_size=8
).map(sorted)

SLOW_DRAWS = [HealthCheck.too_slow]
"""What is drawn depends on what the engine answers, which takes its time on a busy machine."""


@lru_cache(maxsize=1)
def encoder() -> WhisperIncrementalEncoder:
    return WhisperIncrementalEncoder(bundled_model())


@lru_cache(maxsize=1)
def decoder() -> WhisperDecoder:
    return WhisperDecoder(bundled_model(), bundled().vocabulary, encoder().tail, bundled().alignment_heads)


def kept(state: UtteranceState) -> list[torch.Tensor]:
    layers = range(bundled().config.encoder_layers)
    both = (state.self_attention, state.cross_attention)
    return [part.clone() for held in both for layer in layers for part in held.read(layer, state.kept_frames)]


def final(state: UtteranceState) -> list[torch.Tensor]:
    (whole,) = encoder().encode_many([(state, state.end_sample)])
    layers = range(bundled().config.decoder_layers)
    return [part for layer in layers for part in whole.cross_attention.read(layer, whole.head_frames)]


@lru_cache(maxsize=4)
def undisturbed(start: int) -> tuple[int, list[torch.Tensor], list[torch.Tensor]]:
    """Frames kept, their states and the final of the audio that came at once and was asked for once."""
    state = hear(encoder().new_state(start), PCM)
    encoder().advance([(state, state.end_sample)])
    return state.kept_frames, kept(state), final(state)


@settings(max_examples=20, deadline=None, suppress_health_check=SLOW_DRAWS)
@given(cuts=CUTS, heads=HEADS, start=st.sampled_from([0, 7 * FRAME, 24 * FRAME]))
def test_any_chunking_and_any_interims_leave_the_same_states(cuts: list[int], heads: list[int], start: int) -> None:
    """Audio comes in pieces of any size; interims are asked for at any heads, as soon as their audio is there."""
    state = encoder().new_state(start)
    asked = list(heads)
    for first, until in zip([0, *cuts], [*cuts, len(PCM)], strict=True):
        hear(state, PCM[first:until])
        while asked and asked[0] <= until:
            encoder().advance([(state, start + asked.pop(0))])
            assert state.kept_frames == 0 or (start // FRAME + state.kept_frames) % BLOCK_FRAMES == 0
    encoder().advance([(state, state.end_sample)])
    frames, states, whole = undisturbed(start)
    assert state.kept_frames == frames
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(kept(state), states, strict=True))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(final(state), whole, strict=True))


@settings(max_examples=50, deadline=None)
@given(heads=HEADS)
def test_any_heads_give_the_same_features(heads: list[int]) -> None:
    audio = torch.from_numpy(floats(PCM))
    asked, once = LogMel(80), LogMel(80)
    for head in heads:
        asked.at(audio, head, 10)
    ours, theirs = asked.at(audio, len(PCM), 400), once.at(audio, len(PCM), 400)
    assert torch.equal(ours[0], theirs[0])
    assert ours[1] == theirs[1]


QUESTION = 30_000  # samples of question.flac that an interim hears, up to the middle of a word
FRONTIERS = st.sampled_from([None, FrontierRule(), FrontierRule(edge_frames=15, rewind_frames=10)])


@lru_cache(maxsize=2)
def audio(name: str) -> UtteranceState:
    state = hear(encoder().new_state(0), clip(name)[:QUESTION])
    encoder().advance([(state, QUESTION)])
    return state


@lru_cache(maxsize=64)
def plain(name: str, prefix: tuple[int, ...], frontier: FrontierRule | None) -> Decoded:
    (decoded,) = decoder().decode([DecodeRequest(audio(name), PROMPT, prefix=prefix, frontier=frontier)])
    return decoded


TOKENS = st.integers(0, 50_255)


@st.composite
def drafts(draw: st.DrawFn, truth: list[int]) -> tuple[int, ...]:
    """Anything, or the true answer cut, changed, with tokens lost or put in."""
    draft = draw(st.one_of(st.lists(TOKENS, max_size=12), st.just(truth)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(draft)))
        match draw(st.sampled_from(["cut", "change", "lose", "insert", "repeat"])):
            case "cut":
                draft = draft[:at]
            case "change":
                draft = [*draft[:at], draw(TOKENS), *draft[at + 1 :]]
            case "lose":
                draft = [*draft[:at], *draft[at + 1 :]]
            case "insert":
                draft = [*draft[:at], draw(TOKENS), *draft[at:]]
            case _:
                draft = [*draft[:at], *draft[max(0, at - 3) : at], *draft[at:]]
    return tuple(draft)


@st.composite
def requests(draw: st.DrawFn) -> tuple[DecodeRequest, Decoded]:
    """A drafted request, and what plain greedy decoding answers to it."""
    name = draw(st.sampled_from(["question.flac", "prose.flac"]))
    frontier = draw(FRONTIERS)
    truth = plain(name, (), frontier).tokens
    prefix = tuple(truth[: draw(st.integers(0, 4))])
    if draw(st.booleans()) and prefix:
        prefix = (*prefix[:-1], 1000)  # bound against the audio
    answer = plain(name, prefix, frontier)
    draft = draw(drafts(answer.tokens[len(prefix) :]))
    return DecodeRequest(audio(name), PROMPT, prefix=prefix, draft=draft, frontier=frontier), answer


@settings(max_examples=25, deadline=None, suppress_health_check=SLOW_DRAWS)
@given(batch=st.lists(requests(), min_size=1, max_size=3))
def test_no_draft_and_no_neighbour_changes_an_answer(batch: list[tuple[DecodeRequest, Decoded]]) -> None:
    """Token by token what plain greedy decoding says alone, with and without the frontier rule and a bound prefix."""
    before = decoder().counters.calls
    answers = decoder().decode([request for request, _ in batch])
    for answer, (_, wanted) in zip(answers, batch, strict=True):
        assert answer.tokens == wanted.tokens
        assert (answer.ended, answer.looped, answer.held) == (wanted.ended, wanted.looped, wanted.held)
        np.testing.assert_allclose(answer.logprobs, wanted.logprobs, atol=1e-3)
    longest = sum(len(wanted.tokens) - len(request.prefix) + 1 for request, wanted in batch)
    assert decoder().counters.calls - before <= longest
