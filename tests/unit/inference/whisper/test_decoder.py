"""Greedy decoding against transformers, what drafts save and never change, and where decoding stops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from inference.whisper.decoder import WhisperDecoder
from inference.whisper.decoding import Decoded, DecodeRequest, FrontierRule
from inference.whisper.encoder import EncoderSettings, WhisperIncrementalEncoder
from inference.whisper.guards import TokenBudget, repeats_itself
from inference.whisper.state import UtteranceState
from tests.support.checkpoints import (
    SECOND,
    bundled,
    bundled_model,
    clip,
    feature_extractor,
    floats,
    hear,
    noise,
    transformers_model,
)

START, PLAIN, END = 50_257, 50_362, 50_256
PROMPT = (START, PLAIN)
SUPPRESSED_FIRST = (220,)


@lru_cache(maxsize=1)
def encoder() -> WhisperIncrementalEncoder:
    return WhisperIncrementalEncoder(bundled_model())


def make_decoder(**options: Any) -> WhisperDecoder:
    return WhisperDecoder(bundled_model(), bundled().vocabulary, encoder().tail, bundled().alignment_heads, **options)


@lru_cache(maxsize=16)
def final(name: str, until: int | None = None) -> UtteranceState:
    """A clip as a final sees it."""
    state = hear(encoder().new_state(0), clip(name)[:until])
    return encoder().encode_many([(state, state.end_sample)])[0]


@lru_cache(maxsize=16)
def over_the_whole_window(name: str) -> UtteranceState:
    """A clip as Whisper itself sees it: every frame of the silence after it is encoded."""
    every_frame = WhisperIncrementalEncoder(bundled_model(), EncoderSettings(window_density=((0, 1),)))
    state = hear(every_frame.new_state(0), clip(name))
    return every_frame.encode_many([(state, state.end_sample)], full_window=True)[0]


@lru_cache(maxsize=16)
def interim(name: str, until: int) -> UtteranceState:
    """A clip as an interim sees it, cut at a sample."""
    state = hear(encoder().new_state(0), clip(name)[:until])
    encoder().advance([(state, until)])
    return state


def decode(decoder: WhisperDecoder, *requests: DecodeRequest) -> list[Decoded]:
    return decoder.decode(requests)


def text(tokens: Sequence[int]) -> str:
    written: str = bundled().tokenizer.decode(list(tokens))
    return written


@torch.inference_mode()
def transformers_greedy(name: str) -> list[int]:
    """Text tokens of transformers' own greedy search over the full window, nothing suppressed but the first blank."""
    model = transformers_model()
    mel = feature_extractor()(floats(clip(name)), sampling_rate=SECOND, return_tensors="pt").input_features
    plan = GenerationConfig(
        decoder_start_token_id=START,
        eos_token_id=END,
        pad_token_id=END,
        bos_token_id=END,
        begin_suppress_tokens=list(SUPPRESSED_FIRST),
        max_new_tokens=200,
        num_beams=1,
        do_sample=False,
        is_multilingual=False,
        no_timestamps_token_id=PLAIN,
        return_timestamps=False,
    )
    model.generation_config = plan
    out = model.generate(
        mel, generation_config=plan, decoder_input_ids=torch.tensor([PROMPT]), return_dict_in_generate=True
    )
    tokens: list[int] = out.sequences[0].tolist()
    return [token for token in tokens if token < END]


@pytest.mark.parametrize("name", ["question.flac", "prose.flac", "telephone.wav"])
def test_over_the_full_window_it_is_transformers_greedy_search(name: str) -> None:
    (ours,) = decode(make_decoder(), DecodeRequest(over_the_whole_window(name), PROMPT))
    assert ours.ended
    assert ours.tokens == transformers_greedy(name)


@pytest.mark.parametrize("name", ["question.flac", "prose.flac"])
def test_thin_silence_gives_the_words_of_the_full_window(name: str) -> None:
    thin, full = decode(
        make_decoder(),
        DecodeRequest(final(name), PROMPT),
        DecodeRequest(over_the_whole_window(name), PROMPT),
    )
    assert text(thin.tokens) == text(full.tokens)


class TestDrafts:
    def test_a_perfect_draft_costs_one_call(self) -> None:
        decoder = make_decoder()
        (plain,) = decode(decoder, DecodeRequest(final("question.flac"), PROMPT))
        assert decoder.counters.calls == len(plain.tokens) + 1
        decoder = make_decoder()
        (drafted,) = decode(decoder, DecodeRequest(final("question.flac"), PROMPT, draft=tuple(plain.tokens)))
        assert drafted.tokens == plain.tokens
        assert (decoder.counters.calls, decoder.counters.passes) == (1, 1)

    def test_a_draft_that_lacks_the_last_words_costs_these(self) -> None:
        decoder = make_decoder()
        (plain,) = decode(decoder, DecodeRequest(final("question.flac"), PROMPT))
        decoder = make_decoder()
        (drafted,) = decode(decoder, DecodeRequest(final("question.flac"), PROMPT, draft=tuple(plain.tokens[:-3])))
        assert drafted.tokens == plain.tokens
        assert decoder.counters.calls == 1 + 3

    def test_after_a_wrong_token_the_rest_of_the_draft_is_tried_again(self) -> None:
        decoder = make_decoder()
        (plain,) = decode(decoder, DecodeRequest(final("question.flac"), PROMPT))
        for draft in (
            [*plain.tokens[:4], 1000, *plain.tokens[5:]],  # another word
            [*plain.tokens[:4], 1000, *plain.tokens[4:]],  # one too many
        ):
            decoder = make_decoder()
            (drafted,) = decode(decoder, DecodeRequest(final("question.flac"), PROMPT, draft=tuple(draft)))
            assert drafted.tokens == plain.tokens
            assert decoder.counters.calls <= 4

    def test_likelihoods_are_those_of_plain_decoding(self) -> None:
        (plain,) = decode(make_decoder(), DecodeRequest(final("question.flac"), PROMPT))
        (drafted,) = decode(
            make_decoder(), DecodeRequest(final("question.flac"), PROMPT, draft=(*plain.tokens[:5], 7, 7, 7))
        )
        torch.testing.assert_close(torch.tensor(drafted.logprobs), torch.tensor(plain.logprobs), atol=1e-3, rtol=0)
        assert drafted.end_logprob == pytest.approx(plain.end_logprob, abs=1e-3)
        assert (
            drafted.attention.shape
            == plain.attention.shape
            == (8, len(plain.tokens) + 1, final("question.flac").head_frames)
        )
        torch.testing.assert_close(drafted.attention, plain.attention, atol=1e-4, rtol=0)

    def test_a_batch_is_one_pass_for_all_its_streams(self) -> None:
        decoder = make_decoder()
        plain = decode(
            decoder, DecodeRequest(final("question.flac"), PROMPT), DecodeRequest(final("telephone.wav"), PROMPT)
        )
        lengths = [len(each.tokens) + 1 for each in plain]
        assert decoder.counters.passes == max(lengths)
        assert decoder.counters.calls == sum(lengths)

    def test_no_request_is_no_answer(self) -> None:
        decoder = make_decoder()
        assert decode(decoder) == []
        assert decoder.counters.passes == 0


class TestPrefix:
    def test_the_answer_begins_with_the_prefix_whatever_the_audio_says(self) -> None:
        prefix = tuple(bundled().tokenizer.encode(" Excuse me,", add_special_tokens=False).ids)
        (decoded,) = decode(make_decoder(), DecodeRequest(final("question.flac"), PROMPT, prefix=prefix))
        assert tuple(decoded.tokens[: len(prefix)]) == prefix
        assert "weather" in text(decoded.tokens)
        assert len(decoded.logprobs) == len(decoded.tokens)
        assert min(decoded.logprobs[: len(prefix)]) < -2  # the model would have said something else

    def test_the_true_beginning_as_a_prefix_changes_nothing(self) -> None:
        (plain,) = decode(make_decoder(), DecodeRequest(final("question.flac"), PROMPT))
        (bound,) = decode(make_decoder(), DecodeRequest(final("question.flac"), PROMPT, prefix=tuple(plain.tokens[:6])))
        assert bound.tokens == plain.tokens
        torch.testing.assert_close(torch.tensor(bound.logprobs), torch.tensor(plain.logprobs), atol=1e-3, rtol=0)

    def test_known_likelihoods_of_the_prefix_are_kept_and_its_rows_not_projected(self) -> None:
        (plain,) = decode(make_decoder(), DecodeRequest(final("question.flac"), PROMPT))
        prefix, known = tuple(plain.tokens[:6]), (-0.125,) * 6
        without, having = make_decoder(), make_decoder()
        decode(without, DecodeRequest(final("question.flac"), PROMPT, prefix=prefix))
        (bound,) = decode(having, DecodeRequest(final("question.flac"), PROMPT, prefix=prefix, prefix_logprobs=known))
        assert bound.tokens == plain.tokens
        assert tuple(bound.logprobs[:6]) == known
        assert without.projection.rows - having.projection.rows == len(prefix)

    def test_a_prefix_as_long_as_the_budget_is_still_answered(self) -> None:
        """Its words need likelihoods and times, so one pass is made for it."""
        budget = TokenBudget(per_second=0, allowance=6)
        (plain,) = decode(make_decoder(), DecodeRequest(final("question.flac"), PROMPT))
        for length in (6, 7, 9, len(plain.tokens)):
            prefix = tuple(plain.tokens[:length])
            (bound,) = decode(make_decoder(budget=budget), DecodeRequest(final("question.flac"), PROMPT, prefix=prefix))
            assert tuple(bound.tokens[:length]) == prefix
            assert len(bound.logprobs) == len(bound.tokens) == bound.attention.shape[1] - bound.ended
            assert len(bound.tokens) <= length + 1
            assert bound.ended == (length == len(plain.tokens))


class TestLimits:
    def test_a_text_stops_at_its_budget(self) -> None:
        decoder = make_decoder(budget=TokenBudget(per_second=0, allowance=5))
        (decoded,) = decode(decoder, DecodeRequest(final("prose.flac"), PROMPT))
        assert len(decoded.tokens) == 5
        assert not decoded.ended
        assert decoded.attention.shape[1] == 5

    def test_a_draft_longer_than_the_budget_is_cut(self) -> None:
        (plain,) = decode(make_decoder(), DecodeRequest(final("prose.flac"), PROMPT))
        decoder = make_decoder(budget=TokenBudget(per_second=0, allowance=5))
        (decoded,) = decode(decoder, DecodeRequest(final("prose.flac"), PROMPT, draft=tuple(plain.tokens)))
        assert decoded.tokens == plain.tokens[:5]

    def test_a_loop_stops_at_its_tenth_token(self) -> None:
        """All other tokens are suppressed: the model can only say one."""
        said = 1000
        decoder = make_decoder(suppress=[token for token in range(END + 1) if token != said])
        (decoded,) = decode(decoder, DecodeRequest(final("prose.flac"), PROMPT))
        assert decoded.looped
        assert not decoded.ended
        assert decoded.tokens == [said] * 10

    def test_nothing_is_said_a_fourth_time_in_a_row_where_that_is_asked_for(self) -> None:
        """Only four tokens are left to say, and two of them say the same; the end is not among them."""
        said, also, *others = 1000, 1001, 2000, 2001
        kinds = [said if token == also else token for token in range(END)]
        decoder = make_decoder(suppress={*range(END + 1)} - {said, also, *others}, kinds=kinds)
        request = DecodeRequest(final("prose.flac"), PROMPT, no_fourth_repeat=True)
        (free,) = decode(decoder, replace(request, no_fourth_repeat=False))
        (bound,) = decode(decoder, request)
        (drafted,) = decode(decoder, replace(request, draft=tuple(free.tokens)))
        assert repeats_itself([kinds[token] for token in free.tokens])
        assert len(bound.tokens) > 20
        assert not repeats_itself([kinds[token] for token in bound.tokens])
        assert drafted.tokens == bound.tokens

    def test_what_is_said_instead_has_the_likelihood_that_the_model_gives_it(self) -> None:
        """Only one token and the end are left to say: after three of it the end is taken, unlikely as it is."""
        said = 1000
        decoder = make_decoder(suppress={*range(END)} - {said})
        request = DecodeRequest(final("prose.flac"), PROMPT, prefix=(said,) * 3)
        (free,) = decode(decoder, request)
        (bound,) = decode(decoder, replace(request, no_fourth_repeat=True))
        assert bound.ended
        assert len(bound.tokens) == 3
        if len(free.tokens) > 3:
            assert math.exp(bound.end_logprob) == pytest.approx(1 - math.exp(free.logprobs[3]), abs=1e-4)
        else:
            assert bound.end_logprob == free.end_logprob

    def test_a_draft_does_not_change_what_is_sampled(self) -> None:
        (plain,) = decode(make_decoder(), DecodeRequest(final("prose.flac"), PROMPT))
        request = DecodeRequest(final("prose.flac"), PROMPT, temperature=0.6, seed=7)
        without, having = make_decoder(), make_decoder()
        (sampled,) = decode(without, request)
        (drafted,) = decode(having, replace(request, draft=tuple(plain.tokens)))
        assert drafted.tokens == sampled.tokens
        assert having.counters.passes < without.counters.passes

    def test_speech_that_does_not_repeat_itself_is_the_same_where_it_may_not(self) -> None:
        plain, bound = decode(
            make_decoder(),
            DecodeRequest(final("prose.flac"), PROMPT),
            DecodeRequest(final("prose.flac"), PROMPT, no_fourth_repeat=True),
        )
        assert bound.tokens == plain.tokens

    def test_suppressed_tokens_are_never_said(self) -> None:
        (plain,) = decode(make_decoder(), DecodeRequest(final("question.flac"), PROMPT))
        banned = plain.tokens[3]
        (decoded,) = decode(make_decoder(suppress=[banned]), DecodeRequest(final("question.flac"), PROMPT))
        assert banned not in decoded.tokens
        assert decoded.tokens[:3] == plain.tokens[:3]

    def test_special_tokens_are_never_said(self) -> None:
        noisy = hear(encoder().new_state(0), noise(2 * SECOND))
        (whole,) = encoder().encode_many([(noisy, noisy.end_sample)])
        requests = [DecodeRequest(whole, PROMPT, temperature=3.0, seed=seed) for seed in range(3)]
        for decoded in decode(make_decoder(), *requests):
            assert all(0 <= token < END for token in decoded.tokens)
            assert len(decoded.tokens) <= TokenBudget().tokens(whole.head_frames)

    def test_the_mean_likelihood_counts_the_end_of_the_text(self) -> None:
        decoded = Decoded([1, 2], [-1.0, -2.0], ended=True, looped=False, end_logprob=-3.0)
        assert decoded.mean_logprob == -2.0


class TestFrontier:
    UNTIL = 30_000  # in the middle of a word of question.flac

    def test_it_stops_at_the_edge_of_the_audio(self) -> None:
        """The held token is what plain decoding says next, and it attends to the last frames."""
        audio, rule = interim("question.flac", self.UNTIL), FrontierRule(edge_frames=10)
        plain, held = decode(make_decoder(), DecodeRequest(audio, PROMPT), DecodeRequest(audio, PROMPT, frontier=rule))
        assert 0 < len(held.tokens) < len(plain.tokens)
        assert held.tokens == plain.tokens[: len(held.tokens)]
        assert held.held == plain.tokens[len(held.tokens)]
        assert not held.ended
        assert held.attention.shape[1] == len(held.tokens) + 1

    def test_a_wider_edge_holds_more_back(self) -> None:
        audio = interim("question.flac", self.UNTIL)
        lengths = [
            len(decode(make_decoder(), DecodeRequest(audio, PROMPT, frontier=FrontierRule(edge_frames=edge)))[0].tokens)
            for edge in (1, 20, 60, 10_000)
        ]
        assert lengths == sorted(lengths, reverse=True)
        assert lengths[0] > lengths[-1] == 0

    def test_it_stops_where_attention_goes_back(self) -> None:
        """A prefix that is the whole text makes the model say it again or end: a rule of no rewind lets none pass."""
        audio = final("question.flac")
        (plain,) = decode(make_decoder(), DecodeRequest(audio, PROMPT))
        again = (*plain.tokens, *plain.tokens)
        strict = FrontierRule(edge_frames=0, rewind_frames=5)
        decoder = make_decoder(suppress=[END])
        free, (held,) = (
            decode(decoder, DecodeRequest(audio, PROMPT, draft=again))[0],
            decode(decoder, DecodeRequest(audio, PROMPT, draft=again, frontier=strict)),
        )
        assert len(free.tokens) > len(plain.tokens)
        assert held.tokens == free.tokens[: len(held.tokens)]
        assert held.held == free.tokens[len(held.tokens)]
        assert len(held.tokens) <= len(plain.tokens) + 2

    def test_it_lets_a_whole_text_end(self) -> None:
        audio = final("question.flac")
        plain, ruled = decode(
            make_decoder(), DecodeRequest(audio, PROMPT), DecodeRequest(audio, PROMPT, frontier=FrontierRule(0, 10_000))
        )
        assert ruled.ended
        assert ruled.held is None
        assert ruled.tokens == plain.tokens

    def test_the_held_token_in_the_next_draft_changes_nothing(self) -> None:
        audio, rule = interim("question.flac", self.UNTIL), FrontierRule(edge_frames=10)
        (first,) = decode(make_decoder(), DecodeRequest(audio, PROMPT, frontier=rule))
        assert first.held is not None
        decoder = make_decoder()
        (second,) = decode(decoder, DecodeRequest(audio, PROMPT, draft=(*first.tokens, first.held), frontier=rule))
        assert (second.tokens, second.held) == (first.tokens, first.held)
        assert decoder.counters.calls == 1


class TestTemperature:
    def test_sampling_is_the_same_for_the_same_seed(self) -> None:
        audio = final("question.flac")

        def sample(seed: int) -> list[int]:
            decoder = make_decoder(budget=TokenBudget(per_second=0, allowance=8))
            return decode(decoder, DecodeRequest(audio, PROMPT, temperature=1.5, seed=seed))[0].tokens

        assert sample(1) == sample(1)
        assert len({tuple(sample(seed)) for seed in range(4)}) > 1

    def test_a_neighbour_in_the_batch_does_not_change_a_sample(self) -> None:
        audio, other = final("question.flac"), final("telephone.wav")
        asked = DecodeRequest(audio, PROMPT, temperature=0.8, seed=3)
        (alone,) = decode(make_decoder(), asked)
        together = decode(make_decoder(), DecodeRequest(other, PROMPT, temperature=1.0, seed=3), asked)
        assert together[1].tokens == alone.tokens


class TestNoSpeech:
    def test_silence_sounds_more_like_no_speech_than_speech_does(self) -> None:
        quiet = hear(encoder().new_state(0), noise(2 * SECOND) // 3000)
        (silence,) = encoder().encode_many([(quiet, quiet.end_sample)])
        spoken, silent = decode(
            make_decoder(),
            DecodeRequest(final("question.flac"), PROMPT, want_no_speech=True),
            DecodeRequest(silence, PROMPT, want_no_speech=True),
        )
        assert 0 <= spoken.no_speech < 0.1
        assert silent.no_speech > 0.3

    def test_it_is_zero_where_it_was_not_wanted(self) -> None:
        (decoded,) = decode(make_decoder(), DecodeRequest(final("question.flac"), PROMPT))
        assert decoded.no_speech == 0


def test_first_token_scores_are_log_probabilities_after_the_start() -> None:
    """tiny.en was trained to say <|notimestamps|> or a time there."""
    scores = make_decoder().first_token_scores([final("question.flac"), final("prose.flac")], [PLAIN, END, 1000])
    assert scores.shape == (2, 3)
    assert bool((scores <= 0).all())
    assert bool((scores[:, 0] > scores[:, 2]).all())
