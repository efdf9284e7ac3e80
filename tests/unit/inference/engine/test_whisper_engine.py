"""The engine as a worker sees it: jobs in, hypotheses or typed errors out, and nothing raised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from inference.engine.engine import WhisperEngine, build_engine
from inference.engine.settings import EngineSettings
from inference.pool.interface import EngineStartError, Job, JobKind, StreamSpec
from inference.whisper.decoding import Decoded, DecodeRequest
from inference.whisper.weights import load_weights
from tests.support.checkpoints import FRAME, SECOND, bundled, clip, noise, write_multilingual
from tests.support.engines import check_times, hear, heard_alone, job, make_engine, only, refused, shared_engine, words

CLIPS = ("question.flac", "telephone.wav", "prose.flac", "pause.flac")


@pytest.fixture
def engine() -> WhisperEngine:
    """One engine for all tests: each finds it without streams."""
    shared_engine()._streams.clear()
    return shared_engine()


class TestFinals:
    @pytest.mark.parametrize("name", CLIPS)
    def test_words_have_times_within_the_clip_and_a_confidence(self, name: str) -> None:
        hypothesis = heard_alone(name)
        assert hypothesis.final
        assert hypothesis.language == "en"
        assert not hypothesis.fallback
        assert len(hypothesis.words) > 8
        check_times(hypothesis, 0)

    def test_a_question_is_heard_word_by_word(self) -> None:
        wanted = "Could you tell me what the weather will be like tomorrow afternoon?"
        assert " ".join(words(heard_alone("question.flac"))) == wanted

    def test_a_pause_between_sentences_shows_in_the_times(self) -> None:
        """The clip is silent from about 2.4 to 3.9 s."""
        by_text = {word.text: word for word in heard_alone("pause.flac").words}
        before, after = by_text["order."], by_text["Thank"]
        assert after.start_sample - before.end_sample > SECOND
        assert abs(before.end_sample - 2.4 * SECOND) < 0.3 * SECOND
        assert abs(after.start_sample - 3.9 * SECOND) < 0.3 * SECOND

    def test_times_count_from_the_segments_place_on_the_sample_clock(self, engine: WhisperEngine) -> None:
        start = 1_000 * FRAME
        engine.open("s", StreamSpec())
        pcm = hear(engine, clip("question.flac"), first=start)
        shifted = only(engine.step([job(start + len(pcm), start=start)]))
        check_times(shifted, start)
        plain = heard_alone("question.flac")
        assert [w.start_sample - start for w in shifted.words] == [w.start_sample for w in plain.words]
        assert words(shifted) == words(plain)

    def test_silence_has_no_words(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec())
        for utterance, pcm in enumerate([np.zeros(2 * SECOND, np.int16), noise(2 * SECOND) // 3000]):
            hear(engine, pcm, utterance=utterance)
            assert words(only(engine.step([job(len(pcm), utterance=utterance)]))) == []

    def test_a_remark_about_silence_is_a_sound(self, engine: WhisperEngine) -> None:
        """tiny.en writes [BLANK_AUDIO] for two seconds of nothing."""
        engine.open("s", StreamSpec())
        pcm = hear(engine, np.zeros(2 * SECOND, np.int16))
        (sound,) = only(engine.step([job(len(pcm))])).sounds
        assert sound.label == "blank audio"
        assert 0 <= sound.start_sample <= sound.end_sample <= len(pcm)

    def test_the_shortest_and_the_longest_utterance_are_answered(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec())
        hear(engine, clip("question.flac")[:1])
        assert only(engine.step([job(1)])).decoded_until == 1
        pcm = hear(engine, clip("long.flac")[: 30 * SECOND], utterance=1)
        longest = only(engine.step([job(len(pcm), utterance=1)]))
        assert len(longest.words) > 60
        check_times(longest, 0)


class TestInterims:
    UNTILS = range(SECOND // 2, 3 * SECOND + 1, SECOND // 2)

    def test_an_utterance_grows_word_by_word_and_ends_in_the_same_final(self, engine: WhisperEngine) -> None:
        """Chunks of 100 ms, an interim each half second, the stable beginning bound: the final is that of one look."""
        engine.open("s", StreamSpec())
        pcm, counts, calls = clip("question.flac"), [], 0
        prefix: tuple[int, ...] = ()
        at = 0
        for revision, until in enumerate(self.UNTILS):
            for first in range(at, until, 1600):
                hear(engine, pcm[first : first + 1600], first=first)
            at = until
            result = engine.step([job(until, "interim", prefix=prefix, revision=revision)])
            interim = only(result)
            calls += result.stats.decoder_calls
            assert (interim.final, interim.revision, interim.decoded_until) == (False, revision, until)
            assert tuple(t for word in interim.words for t in word.tokens)[: len(prefix)] == prefix
            check_times(interim, 0)
            counts.append(len(interim.words))
            prefix = tuple(t for word in interim.words[:-2] for t in word.tokens)
        assert counts == sorted(counts)
        assert counts[-1] >= 10
        assert calls <= 8 * len(pcm) / SECOND
        hear(engine, pcm[at:], first=at)
        final = only(engine.step([job(len(pcm))]))
        alone = heard_alone("question.flac")
        assert words(final) == words(alone)
        assert [w.start_sample for w in final.words] == [w.start_sample for w in alone.words]

    def test_bound_words_keep_their_times(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec())
        pcm = hear(engine, clip("question.flac"))
        first = only(engine.step([job(30_000, "interim")]))
        stable = first.words[:3]
        prefix = tuple(token for word in stable for token in word.tokens)
        second = only(engine.step([job(len(pcm), "interim", prefix=prefix)]))
        assert [(w.text, w.start_sample, w.confidence) for w in second.words[:3]] == [
            (w.text, w.start_sample, w.confidence) for w in stable
        ]

    def test_a_prefix_against_the_audio_comes_first_all_the_same(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec())
        pcm = hear(engine, clip("question.flac"))
        prefix = tuple(bundled().tokenizer.encode(" Excuse me,", add_special_tokens=False).ids)
        for kind in ("interim", "final"):
            hypothesis = only(engine.step([job(len(pcm), kind, prefix=prefix)]))
            assert words(hypothesis)[:2] == ["Excuse", "me,"]
            assert "weather" in words(hypothesis)

    def test_asking_again_costs_one_decoder_call_and_no_frame(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec())
        hear(engine, clip("question.flac"))
        first = engine.step([job(32_000, "interim")])
        again = engine.step([job(32_000, "interim")])
        assert only(again).words == only(first).words
        assert (again.stats.encoder_frames, again.stats.decoder_calls) == (0, 1)

    def test_a_step_says_what_it_cost(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec())
        engine.open("t", StreamSpec())
        hear(engine, clip("question.flac"))
        hear(engine, clip("question.flac"), stream="t")
        stats = engine.step([job(24_000, "interim"), job(24_000, stream="t")]).stats
        assert stats.jobs == 2
        assert stats.encoder_frames > stats.encoder_frames_final > 75
        assert stats.decoder_calls > stats.decoder_passes > 1
        assert stats.seconds > 0


class TestMissingAudio:
    def test_an_unknown_stream_and_an_unknown_utterance(self, engine: WhisperEngine) -> None:
        engine.append("nobody", 0, 0, bytes(3200))
        error = refused(engine.step([job(1600, stream="nobody")]))
        assert (error.code, error.stream, error.utterance, error.revision) == ("missing_audio", "nobody", 0, 1)
        engine.open("s", StreamSpec())
        assert refused(engine.step([job(1600)])).code == "missing_audio"

    def test_too_little_audio(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec())
        hear(engine, noise(1600))
        assert refused(engine.step([job(1601, "interim")])).code == "missing_audio"
        assert only(engine.step([job(1600, "interim")])).decoded_until == 1600

    def test_audio_behind_a_hole_does_not_count(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec())
        hear(engine, noise(1600))
        hear(engine, noise(1600), first=1601)
        for until in (1601, 3201):
            assert refused(engine.step([job(until)])).code == "missing_audio"

    def test_a_segment_off_the_frame_grid_is_not_taken(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec())
        hear(engine, noise(1600), first=100)
        assert refused(engine.step([job(1700, start=100)])).code == "missing_audio"

    def test_a_final_frees_its_utterance_and_no_other(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec())
        hear(engine, noise(8000))
        hear(engine, noise(8000), utterance=1)
        only(engine.step([job(8000)]))
        assert refused(engine.step([job(8000)])).code == "missing_audio"
        only(engine.step([job(8000, "interim", utterance=1)]))

    def test_discard_frees_an_utterance_and_close_the_stream(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec())
        hear(engine, noise(8000))
        engine.discard("s", 0)
        assert refused(engine.step([job(8000)])).code == "missing_audio"
        hear(engine, noise(8000))
        engine.close("s")
        engine.open("s", StreamSpec())
        assert refused(engine.step([job(8000)])).code == "missing_audio"

    def test_freeing_what_is_not_there_does_nothing(self, engine: WhisperEngine) -> None:
        engine.discard("nobody", 0)
        engine.close("nobody")
        engine.open("s", StreamSpec())
        engine.discard("s", 5)
        hear(engine, noise(8000))
        only(engine.step([job(8000)]))

    def test_no_job_is_no_answer(self, engine: WhisperEngine) -> None:
        result = engine.step([])
        assert (result.hypotheses, result.errors, result.stats.jobs) == ((), (), 0)

    def test_opening_again_keeps_the_audio(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec())
        hear(engine, noise(8000))
        engine.open("s", StreamSpec(language="de"))
        only(engine.step([job(8000, "interim")]))

    def test_a_fresh_engine_rebuilt_from_pcm_gives_the_same_final(self, engine: WhisperEngine) -> None:
        """After interims here, at once there."""
        pcm = clip("telephone.wav")
        engine.open("s", StreamSpec())
        hear(engine, pcm)
        for until in (10_000, 44_444, 90_000):
            only(engine.step([job(until, "interim")]))
        here = only(engine.step([job(len(pcm))]))
        fresh = make_engine()
        fresh.open("s", StreamSpec())
        assert refused(fresh.step([job(len(pcm))])).code == "missing_audio"
        hear(fresh, pcm)
        there = only(fresh.step([job(len(pcm))]))
        assert [(w.text, w.start_sample, w.end_sample) for w in here.words] == [
            (w.text, w.start_sample, w.end_sample) for w in there.words
        ]


class TestAppend:
    def test_audio_that_comes_twice_counts_once(self, engine: WhisperEngine) -> None:
        """Duplicates, overlaps and pieces of odd bytes: as if it had come once."""
        pcm = clip("question.flac")
        engine.open("s", StreamSpec())
        for first, until in [(0, 20_000), (0, 20_000), (5_000, 15_000), (10_000, 40_000), (39_999, len(pcm))]:
            hear(engine, pcm[first:until], first=first)
        engine.append("s", 0, len(pcm), b"\x01")
        assert refused(engine.step([job(len(pcm) + 1)])).code == "missing_audio"
        assert words(only(engine.step([job(len(pcm))]))) == words(heard_alone("question.flac"))

    def test_audio_before_the_utterance_is_ignored(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec())
        hear(engine, noise(1600), first=3200)
        hear(engine, noise(3200), first=0)
        assert only(engine.step([job(4800, "interim", start=3200)])).decoded_until == 4800


class TestBadJobs:
    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            (job(8000, start=320), "begins at 0"),
            (job(0), "begins at 0"),
            (job(30 * SECOND + 1), "480000"),
            (job(8000, prefix=(50_257,)), "not text tokens"),
            (job(8000, prefix=(100, 50_256)), "not text tokens"),
            (job(8000, prefix=(-1,)), "not text tokens"),
            (job(8000, prefix=(10**9,)), "not text tokens"),
            (job(8000, prefix=(100,) * 444), "444 tokens, 443 are allowed"),
        ],
    )
    def test_what_is_wrong_is_said(self, engine: WhisperEngine, wrong: Job, says: str) -> None:
        engine.open("s", StreamSpec())
        hear(engine, noise(31 * SECOND))
        error = refused(engine.step([wrong]))
        assert error.code == "bad_job"
        assert says in error.message

    def test_a_bad_job_leaves_the_utterance_and_its_neighbours(self, engine: WhisperEngine) -> None:
        for stream in ("s", "t"):
            engine.open(stream, StreamSpec())
            hear(engine, noise(8000), stream=stream)
        result = engine.step([job(8000, "interim", prefix=(50_257,)), job(8000, "interim", stream="t")])
        assert [error.stream for error in result.errors] == ["s"]
        assert [hypothesis.stream for hypothesis in result.hypotheses] == ["t"]
        only(engine.step([job(8000, "interim")]))

    @pytest.mark.parametrize("length", [16, 17, 20, 443])
    def test_a_prefix_as_long_as_the_token_budget_and_longer_is_answered(
        self, engine: WhisperEngine, length: int
    ) -> None:
        """A second has a budget of 16 tokens."""
        engine.open("s", StreamSpec())
        hear(engine, clip("question.flac")[:SECOND])
        prefix = tuple(range(1000, 1000 + length))
        kinds: list[JobKind] = ["interim", "final"] if length < 20 else ["interim"]
        for kind in kinds:
            hypothesis = only(engine.step([job(SECOND, kind, prefix=prefix)]))
            assert tuple(t for word in hypothesis.words for t in word.tokens)[:length] == prefix
            check_times(hypothesis, 0)


class TestFailures:
    def test_one_job_that_fails_does_not_fail_the_others(
        self, engine: WhisperEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The batch fails; each job is tried alone; only the bad one is answered so, and its state is dropped."""
        for stream in ("a", "bad", "c"):
            engine.open(stream, StreamSpec())
            hear(engine, clip("question.flac"), stream=stream)
        wanted = words(heard_alone("question.flac"))
        decode = engine.decoder.decode
        bad = engine._streams["bad"].utterances[0].audio

        def fail(requests: list[DecodeRequest]) -> list[Decoded]:
            if any(request.audio.pcm is bad.pcm for request in requests):
                raise RuntimeError("a broken layer")
            return decode(requests)

        monkeypatch.setattr(engine.decoder, "decode", fail)
        end = len(clip("question.flac"))
        result = engine.step([job(end, stream=stream) for stream in ("a", "bad", "c")])
        assert sorted(h.stream for h in result.hypotheses) == ["a", "c"]
        assert all(words(h) == wanted for h in result.hypotheses)
        (error,) = result.errors
        assert (error.stream, error.code) == ("bad", "internal")
        assert error.message == "RuntimeError: a broken layer"
        assert refused(engine.step([job(end, stream="bad")])).code == "missing_audio"

    def test_memory_that_runs_out_is_said_so_and_the_utterance_stays(
        self, engine: WhisperEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.open("s", StreamSpec())
        hear(engine, clip("question.flac"))
        with monkeypatch.context() as patch:

            def fail(*args: object) -> None:
                raise torch.OutOfMemoryError("tried to allocate 2 GiB")

            patch.setattr(engine.encoder, "_stem", fail)
            assert refused(engine.step([job(6000, "interim")])).code == "out_of_memory"
        after = only(engine.step([job(6000, "interim")]))
        engine.open("t", StreamSpec())
        hear(engine, clip("question.flac"), stream="t")
        assert after.words == only(engine.step([job(6000, "interim", stream="t")])).words

    def test_an_interim_that_looks_back_fails_alone_and_is_rebuilt(self, engine: WhisperEngine) -> None:
        """Audio only goes on: nobody asks for less of it than before."""
        engine.open("s", StreamSpec())
        pcm = hear(engine, clip("question.flac"))
        only(engine.step([job(32_000, "interim")]))
        assert refused(engine.step([job(16_000, "interim")])).code == "internal"
        assert refused(engine.step([job(32_000, "interim")])).code == "missing_audio"
        hear(engine, pcm)
        only(engine.step([job(32_000, "interim")]))


class TestBatches:
    def test_eight_streams_at_once_have_the_finals_of_each_alone(self, engine: WhisperEngine) -> None:
        """Two of each clip; half of them had interims in the same batches."""
        names = CLIPS * 2
        for index, name in enumerate(names):
            engine.open(str(index), StreamSpec())
            hear(engine, clip(name), stream=str(index))
        for until in (20_000, 48_000):
            result = engine.step([job(until, "interim", stream=str(index)) for index in range(4)])
            assert len(result.hypotheses) == 4
        result = engine.step([job(len(clip(name)), stream=str(i)) for i, name in enumerate(names)])
        assert result.errors == ()
        by_stream = {hypothesis.stream: hypothesis for hypothesis in result.hypotheses}
        alone = {name: heard_alone(name) for name in CLIPS}
        for index, name in enumerate(names):
            found, wanted = by_stream[str(index)], alone[name]
            assert words(found) == words(wanted)
            assert [w.start_sample for w in found.words] == [w.start_sample for w in wanted.words]

    def test_an_early_final_is_the_final_and_leaves_the_utterance_as_it_is(self, engine: WhisperEngine) -> None:
        """Interims and another final, of more audio, may follow."""
        engine.open("s", StreamSpec())
        pcm = hear(engine, clip("question.flac"))
        first = only(engine.step([job(16_000, "interim")]))
        early = only(engine.step([job(32_000, "early_final")]))
        assert (early.early, early.final) == (True, False)
        second = only(engine.step([job(40_000, "interim")]))
        final = only(engine.step([job(len(pcm))]))
        assert (final.early, final.final) == (False, True)
        assert words(final) == words(heard_alone("question.flac"))

        engine.open("t", StreamSpec())
        hear(engine, pcm, stream="t")
        assert only(engine.step([job(16_000, "interim", stream="t")])).words == first.words
        assert only(engine.step([job(40_000, "interim", stream="t")])).words == second.words
        assert only(engine.step([job(32_000, stream="t")])).words == early.words

    def test_interims_and_finals_share_a_batch(self, engine: WhisperEngine) -> None:
        for stream in ("a", "b"):
            engine.open(stream, StreamSpec())
            hear(engine, clip("question.flac"), stream=stream)
        end = len(clip("question.flac"))
        result = engine.step([job(end, "interim", stream="a"), job(end, stream="b")])
        assert {(h.stream, h.final) for h in result.hypotheses} == {("a", False), ("b", True)}


@pytest.fixture(scope="module")
def polyglot(tmp_path_factory: pytest.TempPathFactory) -> WhisperEngine:
    folder = write_multilingual(tmp_path_factory.mktemp("checkpoint"))
    settings = EngineSettings(threads=1, fallback_temperatures=(0.0,))
    return WhisperEngine(load_weights(str(folder)), "cpu", settings)


class TestMultilingual:
    def prompt(self, engine: WhisperEngine, spec: StreamSpec, kind: JobKind) -> tuple[str, ...]:
        """The special tokens that a job is decoded with, and the language that is told, by their names."""
        seen: list[DecodeRequest] = []
        decode = engine.decoder.decode

        def note(requests: list[DecodeRequest]) -> list[Decoded]:
            seen.extend(requests)
            return decode(requests)

        engine.open("s", spec)
        hear(engine, noise(8000))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine.decoder, "decode", note)
            hypothesis = only(engine.step([job(8000, kind)]))
        engine.close("s")
        vocabulary = engine.vocabulary
        names: dict[int | None, str] = {
            vocabulary.start_of_transcript: "start",
            vocabulary.no_timestamps: "plain",
            vocabulary.transcribe: "transcribe",
            vocabulary.translate: "translate",
            **{token: language for language, token in vocabulary.languages.items()},
        }
        return (*(names[token] for token in seen[0].prompt), f"told {hypothesis.language}")

    def test_its_languages_are_told(self, polyglot: WhisperEngine) -> None:
        assert polyglot.info.languages == ("en", "de", "fr")

    @pytest.mark.parametrize("kind", ["interim", "final"])
    def test_a_given_language_and_task_are_in_the_prompt(self, polyglot: WhisperEngine, kind: JobKind) -> None:
        assert self.prompt(polyglot, StreamSpec("de"), kind) == ("start", "de", "transcribe", "plain", "told de")
        spec = StreamSpec("fr", task="translate")
        assert self.prompt(polyglot, spec, kind) == ("start", "fr", "translate", "plain", "told fr")

    @pytest.mark.parametrize("language", [None, "xx"])
    @pytest.mark.parametrize("best", ["en", "de", "fr"])
    def test_a_language_that_is_not_known_is_the_likeliest(
        self, polyglot: WhisperEngine, language: str | None, best: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scores = torch.tensor([[0.0 if code == best else -5.0 for code in polyglot.info.languages]])
        monkeypatch.setattr(polyglot.decoder, "first_token_scores", lambda audios, tokens: scores)
        found = self.prompt(polyglot, StreamSpec(language), "final")
        assert found == ("start", best, "transcribe", "plain", f"told {best}")

    def test_detection_reads_the_models_own_scores(self, polyglot: WhisperEngine) -> None:
        assert self.prompt(polyglot, StreamSpec(), "final")[1] in polyglot.info.languages

    def test_an_utterance_keeps_its_first_guess_until_the_final(
        self, polyglot: WhisperEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        guesses = iter([[0.0, -5.0, -5.0], [-5.0, -5.0, 0.0]])
        monkeypatch.setattr(
            polyglot.decoder, "first_token_scores", lambda audios, tokens: torch.tensor([next(guesses)])
        )
        polyglot.open("s", StreamSpec())
        hear(polyglot, noise(16_000))
        told = [
            only(polyglot.step([each])).language for each in (job(8000, "interim"), job(16_000, "interim"), job(16_000))
        ]
        assert told == ["en", "en", "fr"]

    def test_an_early_finals_guess_is_its_own(self, polyglot: WhisperEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        guesses = iter([[0.0, -5.0, -5.0], [-5.0, -5.0, 0.0]])
        monkeypatch.setattr(
            polyglot.decoder, "first_token_scores", lambda audios, tokens: torch.tensor([next(guesses)])
        )
        polyglot.open("s", StreamSpec())
        hear(polyglot, noise(16_000))
        jobs = (job(8000, "interim"), job(16_000, "early_final"), job(16_000, "interim"))
        assert [only(polyglot.step([each])).language for each in jobs] == ["en", "fr", "en"]

    def test_an_english_only_model_is_english_whatever_is_asked(self, engine: WhisperEngine) -> None:
        engine.open("s", StreamSpec(language="de", task="translate"))
        pcm = hear(engine, clip("question.flac"))
        hypothesis = only(engine.step([job(len(pcm))]))
        assert hypothesis.language == "en"
        assert words(hypothesis) == words(heard_alone("question.flac"))
        assert engine.info.languages == ("en",)


class TestStart:
    @pytest.mark.parametrize("device", ["tpu", "cuda:x", "mps", "meta", "", "cuda:99"])
    def test_a_device_that_is_not_there_is_one_sentence(self, device: str) -> None:
        with pytest.raises(EngineStartError, match=r"^[^\n]+\.$"):
            build_engine("tiny.en", device)

    def test_weights_that_are_not_there_are_one_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(EngineStartError, match=r"^There is no model 'nix'[^\n]+\.$"):
            build_engine("nix", "cpu")

    def test_it_says_what_runs_where(self, engine: WhisperEngine) -> None:
        info = engine.info
        assert (info.model, info.device, info.dtype, info.max_batch) == ("tiny.en", "cpu", "float32", 64)

    def test_it_is_warm_and_empty_when_built(self) -> None:
        fresh = make_engine()
        assert fresh._streams == {}
        assert refused(fresh.step([job(SECOND, stream="warm-up")])).code == "missing_audio"

    def test_settings_that_make_no_sense_are_refused(self) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            EngineSettings(max_batch=0)
        with pytest.raises(ValueError, match="at least 1"):
            EngineSettings(threads=0)
