"""What every adapter owes the worker that hosts it: one suite for all families, on tiny checkpoints."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.adapters.build import ENGINES, build_adapter
from inference.pool.core import StepEngine
from inference.pool.interface import Hypothesis, Job, JobError, JobKind, StepResult, StreamSpec
from inference.pool.tasks import Task
from inference.qwen_audio.build import build_qwen_audio
from tests.support.adapter_checkpoints import melody, write_checkpoint
from tests.support.qwen_checkpoints import write_speaking_checkpoint

START = 3_200
SECOND = 16_000
ENGLISH = StreamSpec(language="en")


def pcm(seconds: float, seed: int = 0) -> bytes:
    return (melody(seconds, seed) * 32_767).astype("<i2").tobytes()


AUDIO = pcm(4.0)


QWEN_AUDIO = ("qwen_audio", "qwen_audio_chat")
ANSWERING = ("qwen2_audio", *QWEN_AUDIO)


@pytest.fixture(scope="module", params=[*sorted(ENGINES), *QWEN_AUDIO])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine(family: str, tmp_path_factory: pytest.TempPathFactory) -> StepEngine:
    if family in QWEN_AUDIO:
        chats = family == "qwen_audio_chat"
        folder = write_speaking_checkpoint(tmp_path_factory.mktemp(family), chats=chats, seed=2)
        return build_qwen_audio(str(folder), "cpu", 1)
    return build_adapter(str(write_checkpoint(family, tmp_path_factory.mktemp(family))), "cpu", 1)


@pytest.fixture(autouse=True)
def no_streams(engine: Any) -> None:
    for stream in list(engine._streams):
        engine.close(stream)


def job(
    samples: int, kind: JobKind = "interim", *, stream: str = "s", utterance: int = 0, prefix: tuple[int, ...] = ()
) -> Job:
    """Asks for the first `samples` of the utterance."""
    return Job(stream, utterance, 1, kind, START, START + samples, prefix)


def hear(engine: StepEngine, audio: bytes = AUDIO, *, stream: str = "s", utterance: int = 0) -> None:
    engine.open(stream, ENGLISH)
    engine.append(stream, utterance, START, audio)


def only(result: StepResult) -> Hypothesis:
    assert result.errors == ()
    (hypothesis,) = result.hypotheses
    return hypothesis


def refusal(result: StepResult) -> JobError:
    assert result.hypotheses == ()
    (error,) = result.errors
    return error


def tokens(hypothesis: Hypothesis) -> tuple[int, ...]:
    return tuple(token for word in hypothesis.words for token in word.tokens)


def test_it_says_something_about_what_it_hears(engine: StepEngine) -> None:
    hear(engine)
    hear(engine, pcm(4.0, seed=5), stream="other")
    one = only(engine.step([job(4 * SECOND, "final")]))
    other = only(engine.step([job(4 * SECOND, "final", stream="other")]))
    assert tokens(one)
    assert tokens(one) != tokens(other)


def test_each_job_has_exactly_one_answer_that_names_it(engine: StepEngine) -> None:
    for stream in "abc":
        hear(engine, stream=stream)
    kinds: list[JobKind] = ["interim", "early_final", "final"]
    jobs = [job(2 * SECOND, kind, stream=stream) for stream, kind in zip("abc", kinds, strict=True)]
    result = engine.step([*jobs, job(SECOND, stream="nobody")])
    said = {hypothesis.stream: hypothesis for hypothesis in result.hypotheses}
    assert sorted(said) == ["a", "b", "c"]
    assert [(said[s].final, said[s].early) for s in "abc"] == [(False, False), (False, True), (True, False)]
    assert all(h.decoded_until == START + 2 * SECOND and h.revision == 1 for h in said.values())
    assert [error.stream for error in result.errors] == ["nobody"]
    assert result.stats.jobs == 4


def test_no_jobs_have_no_answers(engine: StepEngine) -> None:
    result = engine.step([])
    assert (result.hypotheses, result.errors, result.stats.jobs) == ((), (), 0)


def test_audio_that_is_not_here_is_missing(engine: StepEngine) -> None:
    assert refusal(engine.step([job(SECOND)])).code == "missing_audio"
    hear(engine)
    assert refusal(engine.step([job(5 * SECOND)])).code == "missing_audio"
    assert refusal(engine.step([job(SECOND, utterance=9)])).code == "missing_audio"
    assert only(engine.step([job(SECOND)])).decoded_until == START + SECOND


def test_audio_behind_a_hole_is_missing_until_the_hole_is_filled(engine: StepEngine) -> None:
    hear(engine, AUDIO[: 2 * SECOND])
    engine.append("s", 0, START + 2 * SECOND, AUDIO[4 * SECOND :])
    assert refusal(engine.step([job(3 * SECOND)])).code == "missing_audio"
    engine.append("s", 0, START, AUDIO)
    whole = only(engine.step([job(4 * SECOND, "final")]))
    hear(engine)
    assert whole.words == only(engine.step([job(4 * SECOND, "final")])).words


def test_a_segment_off_the_grid_of_frames_is_not_taken(engine: StepEngine) -> None:
    engine.open("s", ENGLISH)
    engine.append("s", 0, START + 1, AUDIO)
    asked = Job("s", 0, 1, "interim", START + 1, START + 1 + SECOND)
    assert refusal(engine.step([asked])).code == "missing_audio"


def test_jobs_that_contradict_the_utterance_are_refused(engine: StepEngine) -> None:
    hear(engine)
    assert refusal(engine.step([Job("s", 0, 1, "interim", START + 320, START + SECOND)])).code == "bad_job"
    assert refusal(engine.step([job(0)])).code == "bad_job"
    assert refusal(engine.step([job(31 * SECOND)])).code == "bad_job"
    assert refusal(engine.step([job(SECOND, prefix=(10_000_000,))])).code == "bad_job"
    assert only(engine.step([job(SECOND)])).words is not None


def test_a_bad_stream_does_not_touch_the_others(engine: StepEngine) -> None:
    hear(engine, stream="alone")
    alone = only(engine.step([job(3 * SECOND, "final", stream="alone")]))
    hear(engine, stream="good")
    hear(engine, stream="bad")
    result = engine.step([job(9 * SECOND, stream="bad"), job(3 * SECOND, "final", stream="good")])
    assert [error.stream for error in result.errors] == ["bad"]
    (good,) = result.hypotheses
    assert good.words == alone.words


def test_a_failure_within_the_model_is_one_jobs_own(engine: Any, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hear(engine, stream="good")
    hear(engine, stream="bad")
    part, name = (engine.writer, "begin") if family in QWEN_AUDIO else (engine, "answer")
    works = getattr(part, name)

    def fails(*given: Any) -> Any:
        asked = given[0].job if family in QWEN_AUDIO else given[2]
        if asked.stream == "bad":
            raise RuntimeError("the model broke")
        return works(*given)

    monkeypatch.setattr(part, name, fails)
    result = engine.step([job(SECOND, stream="bad"), job(SECOND, stream="good")])
    assert [(error.stream, error.code) for error in result.errors] == [("bad", "internal")]
    assert [hypothesis.stream for hypothesis in result.hypotheses] == ["good"]
    assert refusal(engine.step([job(SECOND, stream="bad")])).code == "missing_audio", "its state is not trusted"


def test_streams_say_the_same_alone_and_among_others(engine: StepEngine) -> None:
    hear(engine)
    alone = [only(engine.step([job(seconds * SECOND)])).words for seconds in (1, 2, 3)]
    engine.close("s")
    hear(engine)
    hear(engine, pcm(4.0, seed=7), stream="other")
    among = []
    for seconds in (1, 2, 3):
        result = engine.step([job(seconds * SECOND, stream="other"), job(seconds * SECOND)])
        among += [hypothesis.words for hypothesis in result.hypotheses if hypothesis.stream == "s"]
    assert among == alone


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, 4 * SECOND - 1), max_size=8).map(sorted),
    interims=st.lists(st.integers(SECOND // 4, 4 * SECOND), max_size=4).map(sorted),
)
def test_how_audio_and_interims_are_cut_does_not_matter(
    engine: StepEngine, cuts: list[int], interims: list[int]
) -> None:
    """The final is a function of the samples alone."""
    engine.close("s")
    hear(engine)
    expected = only(engine.step([job(4 * SECOND, "final")])).words
    engine.open("s", ENGLISH)
    waiting = list(interims)
    for begin, end in zip([0, *cuts], [*cuts, 4 * SECOND], strict=True):
        engine.append("s", 0, START + begin, AUDIO[2 * begin : 2 * end])
        while waiting and waiting[0] <= end:
            only(engine.step([job(waiting.pop(0))]))
    assert only(engine.step([job(4 * SECOND, "final")])).words == expected


def test_audio_sent_again_is_ignored(engine: StepEngine) -> None:
    hear(engine)
    expected = only(engine.step([job(3 * SECOND, "final")])).words
    hear(engine, AUDIO[: 4 * SECOND])
    only(engine.step([job(SECOND)]))
    hear(engine)
    assert only(engine.step([job(3 * SECOND, "final")])).words == expected


def test_an_early_final_is_the_final_and_leaves_the_utterance_as_it_was(engine: StepEngine) -> None:
    hear(engine)
    final = only(engine.step([job(2 * SECOND, "final")])).words
    hear(engine)
    interim = only(engine.step([job(3 * SECOND)])).words
    engine.close("s")
    hear(engine)
    early = only(engine.step([job(2 * SECOND, "early_final")]))
    assert (early.words, early.early, early.final) == (final, True, False)
    assert only(engine.step([job(3 * SECOND)])).words == interim


def test_a_job_may_end_before_what_was_heard(engine: StepEngine) -> None:
    hear(engine)
    expected = only(engine.step([job(2 * SECOND, "final")])).words
    hear(engine)
    only(engine.step([job(4 * SECOND)]))
    assert only(engine.step([job(2 * SECOND, "final")])).words == expected


@pytest.mark.parametrize("kind", ["interim", "final"])
def test_a_prefix_binds_the_first_tokens(engine: StepEngine, kind: JobKind) -> None:
    """What was said before as much as something that it would not have said."""
    hear(engine)
    said = tokens(only(engine.step([job(2 * SECOND)])))
    prefix = said[:2]
    foreign = tuple(reversed(said[:3])) + said[:1] * 2
    assert tokens(only(engine.step([job(3 * SECOND, prefix=prefix)])))[: len(prefix)] == prefix
    assert tokens(only(engine.step([job(3 * SECOND, kind, prefix=foreign)])))[: len(foreign)] == foreign


def test_words_lie_within_the_segment_in_order(engine: StepEngine) -> None:
    hear(engine)
    for kind in ("interim", "final"):
        words = only(engine.step([job(3 * SECOND, kind)])).words
        assert all(START <= w.start_sample <= w.end_sample <= START + 3 * SECOND for w in words)
        assert all(0.0 < w.confidence <= 1.0 for w in words)
        starts = [word.start_sample for word in words]
        assert starts == sorted(starts)


def test_discard_and_close_free_theirs_and_a_final_where_nothing_is_answered(engine: Any) -> None:
    hear(engine)
    engine.append("s", 1, START, AUDIO)
    only(engine.step([job(SECOND, "final")]))
    if engine.info.answers:
        only(engine.step([job(SECOND, "final")]))
        engine.discard("s", 0)
    assert refusal(engine.step([job(SECOND)])).code == "missing_audio"
    engine.discard("s", 1)
    assert refusal(engine.step([job(SECOND, utterance=1)])).code == "missing_audio"
    assert engine._streams["s"].utterances == {}
    engine.close("s")
    assert engine._streams == {}


def test_unknown_streams_and_utterances_are_nothing(engine: Any) -> None:
    engine.append("nobody", 0, 0, AUDIO)
    engine.discard("nobody", 0)
    engine.close("nobody")
    assert engine._streams == {}


def test_opening_again_keeps_the_utterances(engine: StepEngine) -> None:
    hear(engine)
    engine.open("s", ENGLISH)
    assert only(engine.step([job(SECOND)])).decoded_until == START + SECOND


def test_an_utterance_keeps_no_more_than_half_a_minute_or_what_a_chat_may_have(engine: Any) -> None:
    most = round(max(30.0, engine.info.chat.audio_s if engine.info.chat else 0.0)) * SECOND
    hear(engine, bytes(2 * most + 10 * SECOND))
    assert len(engine._streams["s"].utterances[0].pcm) == 2 * most


def test_an_interim_encodes_no_more_late_in_an_utterance_than_early(engine: StepEngine, family: str) -> None:
    """Interims every two seconds, in frames of 20 ms: a streaming family encodes the two seconds that are new, and
    what a chunk rounds them up to; a windowed one its open window; Qwen2-Audio half a minute, whatever is new; and
    Qwen-Audio each block of a second with half of the next, and what follows the last block."""
    hear(engine, pcm(24.0))
    frames = [engine.step([job(seconds * SECOND)]).stats.encoder_frames for seconds in range(2, 25, 2)]
    if family == "qwen2_audio":
        assert set(frames) == {1_500}
    elif family == "qwen3_asr":
        assert frames == [100, 200, 300, 400] * 3
    elif family in QWEN_AUDIO:
        assert frames == [75 + 50, *[75 + 75 + 50] * 11]
    else:
        assert max(frames) <= 100 + 28
        assert 24 * 50 - 56 <= sum(frames) <= 24 * 50 + 28


def test_what_finals_cost_is_counted_apart(engine: StepEngine) -> None:
    hear(engine)
    interim = engine.step([job(2 * SECOND)]).stats
    final = engine.step([job(4 * SECOND, "final")]).stats
    assert interim.encoder_frames > 0
    assert interim.encoder_frames_final == 0
    assert final.encoder_frames == final.encoder_frames_final > 0
    assert final.decoder_calls >= final.decoder_passes > 0


def test_it_says_what_it_is(engine: StepEngine) -> None:
    assert engine.info.device == "cpu"
    assert engine.info.dtype == "float32"
    assert engine.info.max_batch >= 1


def test_only_those_that_say_so_answer(engine: StepEngine, family: str) -> None:
    assert engine.info.answers is (family in ANSWERING)
    hear(engine)
    only(engine.step([job(SECOND, "final")]))
    hear(engine)
    asked = Job("s", 0, 2, "answer", START, START + SECOND, tasks=(Task(name="transcribe"),))
    result = engine.step([asked])
    if not engine.info.answers:
        assert refusal(result).code == "bad_job"
        return
    while only(result).more:
        result = engine.step([asked])
    (answer,) = only(result).answers
    assert answer.text
    assert set(engine.info.tasks) >= {"transcribe", "translate", "question"}


def test_pcm_is_taken_as_sixteen_bits(engine: StepEngine) -> None:
    """Half a sample at a message's end is no sample."""
    hear(engine, AUDIO + b"\x01")
    whole = only(engine.step([job(4 * SECOND, "final")])).words
    hear(engine)
    assert whole == only(engine.step([job(4 * SECOND, "final")])).words
