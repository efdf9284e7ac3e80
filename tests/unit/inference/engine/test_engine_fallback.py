"""Finals that are decoded again: what trips a guard, what repeats itself, and which text is taken."""

from __future__ import annotations

import pytest
import torch

from inference.pool.interface import StreamSpec
from inference.whisper.decoding import Decoded, DecodeRequest
from inference.whisper.guards import FinalGuard
from tests.support.checkpoints import SECOND, bundled, clip, noise
from tests.support.engines import check_times, hear, heard_alone, job, make_engine, only, words


class TestFallback:
    def test_a_final_that_trips_the_guard_is_decoded_over_the_full_window(self) -> None:
        """No likelihood satisfies this guard: the whole ladder is climbed and the likeliest text taken."""
        strict = make_engine(guard=FinalGuard(lowest_mean_logprob=1.0), fallback_temperatures=(0.0, 0.4))
        strict.open("s", StreamSpec())
        pcm = hear(strict, clip("question.flac"))
        result = strict.step([job(len(pcm))])
        hypothesis = only(result)
        assert hypothesis.fallback
        assert result.stats.encoder_frames_final > 900  # every second frame of most of the window
        assert words(hypothesis) == words(heard_alone("question.flac"))
        check_times(hypothesis, 0)

    def test_the_first_text_that_passes_is_taken(self) -> None:
        """Trips once over the thin silence only: greedy decoding over the full window passes and nothing is sampled."""
        engine = make_engine()
        engine.open("s", StreamSpec())
        pcm = hear(engine, clip("question.flac"))
        decode = engine.decoder.decode
        asked: list[tuple[int, float]] = []

        def loop_at_first(requests: list[DecodeRequest]) -> list[Decoded]:
            asked.extend((len(requests), request.temperature) for request in requests)
            answers = decode(requests)
            answers[0].looped = len(asked) == 1
            return answers

        engine.decoder.decode = loop_at_first  # type: ignore[method-assign, assignment]
        hypothesis = only(engine.step([job(len(pcm))]))
        assert hypothesis.fallback
        assert asked == [(1, 0.0), (1, 0.0)]
        assert words(hypothesis) == words(heard_alone("question.flac"))

    @pytest.mark.parametrize(
        ("evidence", "looped", "taken"),
        [(3.6, False, "No, no, no, no."), (3.4, False, "No, no, no. Yes."), (3.6, True, "No, no, no. Yes.")],
    )
    def test_a_repetition_is_taken_only_if_it_is_much_likelier_than_the_text_without_it(
        self, evidence: float, looped: bool, taken: str
    ) -> None:
        """As a difference of log probabilities of 3.5, and never where decoding was cut because it went in circles."""
        engine = make_engine()
        engine.open("s", StreamSpec())
        pcm = hear(engine, clip("question.flac"))
        asked: list[bool] = []

        def script(requests: list[DecodeRequest]) -> list[Decoded]:
            (request,) = requests
            asked.append(request.no_fourth_repeat)
            text = " No, no, no. Yes." if request.no_fourth_repeat else " No, no, no, no."
            tokens = bundled().tokenizer.encode(text, add_special_tokens=False).ids
            total = -0.4 - evidence if request.no_fourth_repeat else -0.4
            ended = request.no_fourth_repeat or not looped
            attention = torch.rand(8, len(tokens) + 1, request.audio.head_frames)
            logprobs = [total / len(tokens)] * len(tokens)
            return [Decoded(tokens, logprobs, ended, looped=not ended, attention=attention)]

        engine.decoder.decode = script  # type: ignore[method-assign, assignment]
        hypothesis = only(engine.step([job(len(pcm))]))
        assert " ".join(words(hypothesis)) == taken
        assert hypothesis.fallback == (taken != "No, no, no, no.")
        assert asked == [False, True]

    @pytest.mark.parametrize(
        ("until_s", "bound", "taken"),
        [(None, 0, 6), (5.5, 0, 6), (2.9, 0, 3), (2.9, 5, 5), (0.0, 0, 1)],
        ids=["not known", "behind all", "behind three", "five are bound", "before all"],
    )
    def test_a_repetition_goes_on_only_as_long_as_somebody_speaks(
        self, until_s: float | None, bound: int, taken: int
    ) -> None:
        """Six times "no", one each second, and the model is sure of it."""
        engine = make_engine()
        engine.open("s", StreamSpec())
        hear(engine, noise(7 * SECOND))
        tokens = bundled().tokenizer.encode(" no" * 6, add_special_tokens=False).ids

        def script(requests: list[DecodeRequest]) -> list[Decoded]:
            (request,) = requests
            attention = torch.full((8, 7, request.audio.head_frames), 1e-4)
            for token in range(7):
                attention[:, token, 50 * token : 50 * token + 50] = 1.0
            each = -9.0 if request.no_fourth_repeat else -0.1
            return [Decoded(tokens, [each] * 6, ended=True, looped=False, attention=attention)]

        engine.decoder.decode = script  # type: ignore[method-assign, assignment]
        until = None if until_s is None else int(until_s * SECOND)
        prefix = tuple(tokens[:bound])
        assert words(only(engine.step([job(7 * SECOND, prefix=prefix, speech_until=until)]))) == ["no"] * taken

    @pytest.mark.parametrize("sure", [False, True])
    def test_over_the_full_window_nothing_is_repeated_of_which_the_model_was_not_sure(self, sure: bool) -> None:
        engine = make_engine()
        engine.open("s", StreamSpec())
        pcm = hear(engine, clip("question.flac"))
        asked: list[tuple[bool, float]] = []

        def script(requests: list[DecodeRequest]) -> list[Decoded]:
            """Unlikely at first, so that the guard trips; repetition only where it is sure."""
            (request,) = requests
            asked.append((request.no_fourth_repeat, request.temperature))
            repeated = sure and not request.no_fourth_repeat
            text = " No, no, no, no." if repeated else " Maybe."
            tokens = bundled().tokenizer.encode(text, add_special_tokens=False).ids
            each = -50.0 if request.no_fourth_repeat and sure else -2.0 if len(asked) < 3 else -0.1
            attention = torch.rand(8, len(tokens) + 1, request.audio.head_frames)
            return [Decoded(tokens, [each] * len(tokens), True, looped=False, attention=attention)]

        engine.decoder.decode = script  # type: ignore[method-assign, assignment]
        only(engine.step([job(len(pcm))]))
        assert asked == (
            [(False, 0.0), (True, 0.0), (False, 0.0)] if sure else [(False, 0.0), (True, 0.0), (True, 0.6)]
        )

    def test_interims_are_never_decoded_again(self) -> None:
        strict = make_engine(guard=FinalGuard(lowest_mean_logprob=1.0))
        strict.open("s", StreamSpec())
        hear(strict, clip("question.flac"))
        result = strict.step([job(32_000, "interim")])
        assert not only(result).fallback
        assert result.stats.encoder_frames_final == 0

    def test_a_final_that_is_silence_to_the_model_has_no_words_and_no_fallback(self) -> None:
        """Sure of no speech, unsure of its words: taken for silence, unless words were shown already."""
        deaf = make_engine(guard=FinalGuard(lowest_mean_logprob=1.0, silence_probability=-1.0))
        deaf.open("s", StreamSpec())
        pcm = hear(deaf, clip("question.flac"))
        result = only(deaf.step([job(len(pcm))]))
        assert (words(result), result.fallback) == ([], False)
        hear(deaf, pcm)
        prefix = tuple(bundled().tokenizer.encode(" Could", add_special_tokens=False).ids)
        assert words(only(deaf.step([job(len(pcm), prefix=prefix)])))[0] == "Could"
