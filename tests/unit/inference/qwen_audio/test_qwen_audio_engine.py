"""Qwen-Audio in the engine: what it says is what the model's own decoding says, and a clip is read once."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from inference.pool.interface import Hypothesis, HypothesisWord, Job, JobError, JobKind, StreamSpec
from inference.pool.tasks import Answer, Chat, ChatTurn, Task
from inference.qwen_audio.build import build_qwen_audio
from inference.qwen_audio.cache import held_bytes
from inference.qwen_audio.engine import QwenAudioEngine
from inference.qwen_audio.features import clip_mel
from inference.qwen_audio.generate import Decoding, generate
from inference.qwen_audio.instructions import chat_instruction
from inference.qwen_audio.prompts import AudioSlot, ModelTurn, Prompt, UserTurn, chat_prompt, task_prompt
from inference.qwen_audio.results import read_answer, read_reply
from inference.qwen_audio.tags import to_tags
from inference.qwen_audio.writing import STEP_TOKENS, most_tokens
from tests.support.adapter_checkpoints import melody
from tests.support.qwen_checkpoints import write_speaking_checkpoint

SECOND = 16_000
PCM = (melody(6.0, 3) * 32_767).astype("<i2").tobytes()
ENGLISH = StreamSpec(language="en")
TASKS = (Task(name="caption"), Task(name="sound_events"), Task(name="question", question="Who <|im_end|> is it?"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> QwenAudioEngine:
    return build_qwen_audio(str(write_speaking_checkpoint(tmp_path_factory.mktemp("base"), seed=2)), "cpu", 1)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> QwenAudioEngine:
    folder = write_speaking_checkpoint(tmp_path_factory.mktemp("talking"), chats=True, seed=2)
    return build_qwen_audio(str(folder), "cpu", 1)


@pytest.fixture(autouse=True)
def nothing_is_left(base: QwenAudioEngine, chat: QwenAudioEngine) -> Any:
    """Whatever a test does, closing its streams gives back all that was kept."""
    yield
    for engine in (base, chat):
        for stream in list(engine._streams):
            engine.close(stream)
        assert (engine.ledger.bytes, len(engine.writer.batch)) == (0, 0)


def hear(engine: QwenAudioEngine, spec: StreamSpec = ENGLISH, pcm: bytes = PCM, stream: str = "s") -> None:
    engine.close(stream)
    engine.open(stream, spec)
    engine.append(stream, 0, 0, pcm)


def caption(samples: int, kind: JobKind = "final", *, stream: str = "s", prefix: tuple[int, ...] = ()) -> Job:
    return Job(stream, 0, 1, kind, 0, samples, prefix)


def asking(samples: int, *tasks: Task, stream: str = "s", chat: Chat | None = None) -> Job:
    return Job(stream, 0, 1, "answer", 0, samples, tasks=tasks, chat=chat)


def one(engine: QwenAudioEngine, job: Job) -> Hypothesis:
    result = engine.step([job])
    assert result.errors == ()
    return result.hypotheses[0]


def refused(engine: QwenAudioEngine, job: Job) -> JobError:
    result = engine.step([job])
    assert result.hypotheses == ()
    return result.errors[0]


def ask(engine: QwenAudioEngine, job: Job) -> list[tuple[Answer, ...]]:
    """The answers after each job, until they are done."""
    said = []
    while True:
        hypothesis = one(engine, job)
        assert (hypothesis.words, hypothesis.final, hypothesis.early) == ((), False, False)
        said.append(hypothesis.answers)
        if not hypothesis.more:
            return said


def tokens(words: tuple[HypothesisWord, ...]) -> list[int]:
    return [token for word in words for token in word.tokens]


def clip(first: int, until: int, pcm: bytes = PCM) -> Tensor:
    return torch.frombuffer(bytearray(pcm[2 * first : 2 * until]), dtype=torch.int16).float() / 32768.0


def by_the_model(engine: QwenAudioEngine, prompt: Prompt, clips: list[Tensor], decoding: Decoding) -> list[int]:
    """The model's own decoding of a whole prompt."""
    heard = engine.model.encode_audio([clip_mel(each, 80) for each in clips])
    segments = [heard[part.index] if isinstance(part, AudioSlot) else torch.tensor(part) for part in prompt.parts]
    return generate(engine.model, [segments], decoding)[0]


def stopping(engine: QwenAudioEngine, most: int) -> Decoding:
    return Decoding(engine.tokenizer.specials.ends, most)


def task_of(engine: QwenAudioEngine, task: Task) -> Prompt:
    if engine.asker.chats:
        return chat_prompt([UserTurn(chat_instruction(task), 1)], engine.tokenizer)
    return task_prompt(to_tags(task), engine.tokenizer)


# -- captions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["final", "early_final"])
@pytest.mark.parametrize("which", ["base", "chat"])
def test_a_final_is_the_text_that_the_model_writes_of_the_whole_clip(
    which: str, kind: JobKind, request: pytest.FixtureRequest
) -> None:
    """The likeliest text: step by step the best of what a caption may have."""
    engine: QwenAudioEngine = request.getfixturevalue(which)
    hear(engine)
    said = one(engine, caption(3 * SECOND, kind))
    prompt = task_of(engine, Task(language="en"))
    allowed = torch.zeros(engine.model.config.vocab_size, dtype=torch.bool)
    allowed[: engine.tokenizer.specials.base] = True
    allowed[sorted(engine.tokenizer.specials.ends)] = True
    heard = engine.model.encode_audio([clip_mel(clip(0, 3 * SECOND), 80)])
    segments = [heard[0] if isinstance(part, AudioSlot) else torch.tensor(part) for part in prompt.parts]
    written: list[int] = []
    while len(written) < most_tokens(3 * SECOND, timed=False):
        logits = engine.model([[*segments, torch.tensor(written, dtype=torch.long)]])[0][-1]
        token = int(logits.masked_fill(~allowed, -torch.inf).argmax())
        if token in engine.tokenizer.specials.ends:
            break
        written.append(token)
    assert said.language == "en"
    assert tokens(said.words) == written[: len(tokens(said.words))]
    assert engine.tokenizer.decode(written[len(tokens(said.words)) :]).strip() == ""
    assert written


def test_words_have_the_segments_bounds_where_the_model_writes_no_times(base: QwenAudioEngine) -> None:
    hear(base)
    words = one(base, caption(3 * SECOND)).words
    assert {(word.start_sample, word.end_sample) for word in words} == {(0, 3 * SECOND)}
    assert not words[0].glued


def test_confidence_is_the_mean_probability_of_a_words_tokens_bound_or_not(base: QwenAudioEngine) -> None:
    hear(base)
    words = one(base, caption(3 * SECOND, "interim")).words
    bound = one(base, caption(3 * SECOND, "interim", prefix=words[0].tokens)).words
    assert [word.tokens for word in bound] == [word.tokens for word in words]
    assert [w.confidence for w in bound] == pytest.approx([w.confidence for w in words], abs=2e-4)


def test_interims_go_on_from_what_was_heard(base: QwenAudioEngine) -> None:
    """The same text as of one interim, and each second is read by the language model once, but for the open block."""
    hear(base, stream="often")
    for samples in range(SECOND, 5 * SECOND, SECOND // 2):
        one(base, caption(samples, "interim", stream="often"))
    hear(base, stream="once")
    often, once = (one(base, caption(5 * SECOND, "interim", stream=stream)) for stream in ("often", "once"))
    assert often.words == once.words
    live = base._streams["often"].utterances[0].live
    assert live is not None
    assert live.clip.read_tokens == 4 * 25


def test_a_language_that_is_not_told_is_heard(base: QwenAudioEngine) -> None:
    """The likeliest of the tags after the first one; with it the caption is as if it had been told."""
    specials = base.tokenizer.specials
    logits = base.model([[*base.model.encode_audio([clip_mel(clip(0, 3 * SECOND), 80)]),
                          torch.tensor([specials.id("startoftranscript")])]])[0][-1]  # fmt: skip
    codes = base.info.languages
    likeliest = codes[int(logits[[specials.id(code) for code in codes]].argmax())]
    hear(base, StreamSpec())
    heard = one(base, caption(3 * SECOND))
    assert heard.language == likeliest
    hear(base, StreamSpec(language=likeliest))
    assert one(base, caption(3 * SECOND)).words == heard.words


def test_what_is_said_in_the_target_language_already_is_transcribed(base: QwenAudioEngine) -> None:
    hear(base, StreamSpec())
    heard = one(base, caption(3 * SECOND)).language
    hear(base, StreamSpec(task="translate", target=heard))
    same = one(base, caption(3 * SECOND))
    hear(base, StreamSpec(language=heard))
    assert same.words == one(base, caption(3 * SECOND)).words


def test_a_job_may_want_another_language_than_its_stream(base: QwenAudioEngine) -> None:
    hear(base, StreamSpec(language="de", task="translate", target="fr"))
    expected = one(base, caption(2 * SECOND)).words
    hear(base)
    assert one(base, caption(2 * SECOND)).words != expected
    spec = StreamSpec(language="de", task="translate", target="fr")
    assert one(base, msgspec.structs.replace(caption(2 * SECOND), spec=spec)).words == expected


def test_captions_in_a_batch_are_those_alone(base: QwenAudioEngine) -> None:
    """Of all kinds, beside answers."""
    jobs = [
        caption(2 * SECOND, "interim", stream="a"),
        caption(3 * SECOND, "early_final", stream="b"),
        caption(4 * SECOND, "final", stream="c"),
        asking(2 * SECOND, *TASKS, stream="d"),
    ]
    specs = dict(
        zip("abcd", (ENGLISH, StreamSpec(), StreamSpec(language="zh", task="word_timestamps"), ENGLISH), strict=True)
    )
    alone = []
    for job in jobs:
        hear(base, specs[job.stream], stream=job.stream)
        alone.append(one(base, job))
    for job in jobs:
        hear(base, specs[job.stream], stream=job.stream)
    together = {said.stream: said for said in base.step(jobs).hypotheses}
    for said in alone:
        other = together[said.stream]
        assert (tokens(other.words), other.language, other.answers) == (tokens(said.words), said.language, said.answers)


# -- words with times ---------------------------------------------------------------------------------------------


def test_words_with_stamps_hold_all_tokens_and_a_prefix_of_them_says_them_again(base: QwenAudioEngine) -> None:
    hear(base, StreamSpec(language="en", task="word_timestamps"))
    bound = 0
    for samples in range(SECOND, 7 * SECOND, SECOND):
        words = one(base, caption(samples, "interim")).words
        starts = [word.start_sample for word in words]
        assert starts == sorted(starts)
        for count in range(1, len(words)):
            prefix = tuple(tokens(words[:count]))
            again = one(base, caption(samples, "interim", prefix=prefix)).words
            assert [timed(word) for word in again] == [timed(word) for word in words]
            bound += any(base.tokenizer.specials.seconds(token) is not None for token in prefix)
    assert bound >= 3


def timed(word: HypothesisWord) -> tuple[str, int, int, tuple[int, ...]]:
    return word.text, word.start_sample, word.end_sample, word.tokens


def test_stamps_in_captions_without_times_are_no_prefix(base: QwenAudioEngine) -> None:
    stamp = base.tokenizer.specials.stamp(1.0)
    hear(base)
    assert refused(base, caption(2 * SECOND, "interim", prefix=(stamp,))).code == "bad_job"
    hear(base, StreamSpec(task="word_timestamps"))
    assert one(base, caption(2 * SECOND, "interim", prefix=(stamp,))).words is not None


# -- answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["base", "chat"])
def test_answers_are_those_of_the_models_own_decoding(which: str, request: pytest.FixtureRequest) -> None:
    engine: QwenAudioEngine = request.getfixturevalue(which)
    hear(engine)
    for task, answer in zip(TASKS, ask(engine, asking(2 * SECOND, *TASKS))[-1], strict=True):
        written = by_the_model(engine, task_of(engine, task), [clip(0, 2 * SECOND)], stopping(engine, 256))
        ended = len(written) < 256
        if engine.asker.chats:
            assert answer == read_reply(written, engine.tokenizer, ended=ended, duration_s=2.0)
        else:
            assert answer == read_answer(task, written, engine.tokenizer, ended=ended, duration_s=2.0)


def test_an_answer_grows_in_whole_characters_by_a_few_tokens_with_each_job(chat: QwenAudioEngine) -> None:
    hear(chat)
    said = ask(chat, asking(2 * SECOND, *TASKS))
    for earlier, later in pairwise(said):
        assert all(after.text.startswith(before.text) for before, after in zip(earlier, later, strict=True))
    assert not any(answer.complete for answers in said[:-1] for answer in answers if len(said) > 1 and not answer.text)
    writing = max(len(chat.tokenizer.encode_text(answer.text)) for answer in said[0])
    assert len(said) > 1
    assert writing <= 8 * STEP_TOKENS


def test_the_final_and_all_tasks_share_one_reading_of_the_clip(base: QwenAudioEngine) -> None:
    hear(base)
    final = base.step([caption(4 * SECOND)])
    assert final.stats.encoder_frames == final.stats.encoder_frames_final == 200
    read: list[int] = []
    layers = base.model._layers

    def counted(embedded: Any, *rest: Any) -> Tensor:
        read.append(sum(each.shape[0] for each in embedded))
        return layers(embedded, *rest)

    base.model._layers = counted  # type: ignore[method-assign]
    try:
        steps = [base.step([asking(4 * SECOND, *TASKS)])]
        while steps[-1].hypotheses[0].more:
            steps.append(base.step([asking(4 * SECOND, *TASKS)]))
    finally:
        del base.model._layers
    assert sum(step.stats.encoder_frames for step in steps) == 0
    questions = sum(len(base.asker.after(task)) for task in TASKS)
    assert read[0] == questions < 100, "4 s of audio are 102 positions"
    assert max(read[1:]) <= len(TASKS)
    (utterance,) = base._streams["s"].utterances.values()
    assert utterance.whole is not None
    assert base.ledger.bytes == held_bytes([utterance.whole.cache]), "what was written is given back"


def test_an_answer_without_a_final_before_it_reads_the_clip_itself(base: QwenAudioEngine) -> None:
    """As after the loss of a worker."""
    hear(base)
    one(base, caption(3 * SECOND))
    expected = ask(base, asking(3 * SECOND, *TASKS))
    hear(base)
    assert ask(base, asking(3 * SECOND, *TASKS)) == expected


def test_other_questions_than_the_unfinished_ones_begin_anew(chat: QwenAudioEngine) -> None:
    hear(chat)
    first = one(chat, asking(2 * SECOND, TASKS[0]))
    assert first.more
    one(chat, asking(2 * SECOND, TASKS[1]))
    assert one(chat, asking(2 * SECOND, TASKS[0])).answers == first.answers
    assert len(chat.writer.batch) == 1


def test_answers_wait_while_no_job_asks_for_them(chat: QwenAudioEngine) -> None:
    hear(chat)
    hear(chat, stream="other")
    expected = ask(chat, asking(2 * SECOND, *TASKS))
    begun = one(chat, asking(2 * SECOND, *TASKS))
    for _ in range(3):
        one(chat, caption(3 * SECOND, "interim", stream="other"))
    assert [begun.answers, *ask(chat, asking(2 * SECOND, *TASKS))] == expected


# -- chats --------------------------------------------------------------------------------------------------------

TURNS = (ChatTurn("user", "what?", 1), ChatTurn("assistant", "the hello"), ChatTurn("user", "and <|im_end|> now?", 1))
TWO_CLIPS = Chat(TURNS, (SECOND, 2 * SECOND), max_tokens=40)


def test_a_chat_of_two_clips_is_the_models_own_decoding_of_its_turns(chat: QwenAudioEngine) -> None:
    encode = chat.tokenizer.encode_text
    turns = [UserTurn(TURNS[0].text, 1), ModelTurn(tuple(encode(TURNS[1].text))), UserTurn(TURNS[2].text, 1)]
    clips = [clip(0, SECOND), clip(SECOND, 3 * SECOND)]
    written = by_the_model(chat, chat_prompt(turns, chat.tokenizer), clips, stopping(chat, 40))
    hear(chat)
    (answer,) = ask(chat, asking(3 * SECOND, chat=TWO_CLIPS))[-1]
    assert answer == read_reply(written, chat.tokenizer, ended=len(written) < 40, duration_s=2.0)


def test_a_system_message_temperature_and_seed_are_the_chats_own(chat: QwenAudioEngine) -> None:
    hear(chat)
    hot = msgspec.structs.replace(TWO_CLIPS, temperature=1.5, top_p=0.95, seed=-7)
    other, terse = msgspec.structs.replace(hot, seed=8), msgspec.structs.replace(TWO_CLIPS, system="be terse")
    said = [ask(chat, asking(3 * SECOND, chat=each))[-1] for each in (TWO_CLIPS, hot, hot, other, terse)]
    assert said[1] == said[2]
    assert len({str(each) for each in said}) == 4


def test_clips_longer_than_a_caption_fit_into_a_chat(chat: QwenAudioEngine) -> None:
    limits = chat.info.chat
    assert limits is not None
    assert (limits.turns, limits.clips, limits.audio_s, limits.clip_s) == (True, 7, 210.0, 30.0)
    hear(chat, pcm=PCM * 6)
    two = Chat((ChatTurn("user", "a", 2),), (30 * SECOND, 6 * SECOND), max_tokens=2)
    assert ask(chat, asking(36 * SECOND, chat=two))[-1]
    assert refused(chat, caption(36 * SECOND)).code == "bad_job"


def test_the_base_model_answers_one_question_about_one_clip(base: QwenAudioEngine) -> None:
    hear(base)
    question = Chat((ChatTurn("user", "Who is it?", 1),), (2 * SECOND,))
    (answer,) = ask(base, asking(2 * SECOND, chat=question))[-1]
    assert (answer,) == ask(base, asking(2 * SECOND, Task(name="question", question="Who is it?")))[-1]


LONG = "hello the or in " * 400


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"turns": ()}, "last turn"),
        ({"turns": (*TURNS, ChatTurn("assistant", "a"))}, "last turn"),
        ({"turns": (ChatTurn("user", "a", 1), ChatTurn("assistant", "b", 1), ChatTurn("user", "c"))}, "of the user"),
        ({"turns": (ChatTurn("user", "a", 2), ChatTurn("user", ""))}, "text or a clip"),
        ({"turns": TURNS[:1]}, "1 clips, 2"),
        ({"clip_samples": (SECOND, SECOND)}, "samples"),
        ({"clip_samples": (3 * SECOND, 0)}, "a clip has"),
        ({"turns": (ChatTurn("user", "none"),), "clip_samples": ()}, "1 to 7"),
        ({"turns": (*TURNS[:2], ChatTurn("user", LONG, 1))}, "tokens of text"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"top_p": 0.0}, "top_p"),
        ({"temperature": -1.0}, "temperature"),
    ],
)
def test_a_chat_that_is_none_is_a_bad_job(chat: QwenAudioEngine, wrong: dict[str, Any], said: str) -> None:
    hear(chat)
    error = refused(chat, asking(3 * SECOND, chat=msgspec.structs.replace(TWO_CLIPS, **wrong)))
    assert (error.code, said in error.message) == ("bad_job", True), error.message


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (TWO_CLIPS, "one question"),
        (Chat((ChatTurn("user", "a", 1),), (3 * SECOND,), system="be terse"), "system message"),
    ],
)
def test_a_conversation_needs_the_chat_model(base: QwenAudioEngine, wrong: Chat, said: str) -> None:
    hear(base)
    error = refused(base, asking(3 * SECOND, chat=wrong))
    assert (error.code, said in error.message) == ("bad_job", True), error.message


# -- what cannot be done ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "job",
    [
        asking(2 * SECOND),
        asking(2 * SECOND, Task(), chat=TWO_CLIPS),
        asking(2 * SECOND, Task(name="question")),
        asking(2 * SECOND, Task(name="question", question=LONG)),
        asking(2 * SECOND, Task(name="caption", target="xx")),
        asking(2 * SECOND, *[Task()] * 33),
        asking(31 * SECOND, Task()),
        caption(2 * SECOND, prefix=(-1,)),
        msgspec.structs.replace(caption(2 * SECOND), spec=StreamSpec(language="xx")),
        msgspec.structs.replace(caption(2 * SECOND), spec=StreamSpec(language="en", task="translate")),
    ],
)
def test_a_bad_job_says_so_and_touches_nobody(base: QwenAudioEngine, job: Job) -> None:
    hear(base, stream="good")
    alone = one(base, caption(2 * SECOND, "interim", stream="good")).words
    hear(base)
    result = base.step([job, caption(2 * SECOND, "interim", stream="good")])
    assert [(error.stream, error.code) for error in result.errors] == [("s", "bad_job")]
    assert [said.words for said in result.hypotheses] == [alone]


def test_the_chat_model_has_no_task_with_times(chat: QwenAudioEngine) -> None:
    hear(chat)
    assert "word_timestamps" not in chat.info.tasks
    for job in (
        msgspec.structs.replace(caption(SECOND), spec=StreamSpec(task="word_timestamps")),
        asking(SECOND, Task(name="grounding")),
    ):
        assert refused(chat, job).code == "bad_job"


def test_answers_to_audio_that_is_not_here_are_missing(base: QwenAudioEngine) -> None:
    hear(base)
    assert refused(base, asking(7 * SECOND, *TASKS)).code == "missing_audio"
    assert refused(base, asking(SECOND, *TASKS, stream="nobody")).code == "missing_audio"


@pytest.mark.parametrize("kind", ["interim", "final", "answer"])
def test_without_room_a_job_says_so_and_its_neighbour_goes_on(base: QwenAudioEngine, kind: JobKind) -> None:
    """The neighbour's caches have their room already; audio is kept, and is heard once there is room again."""
    hear(base, stream="good")
    expected = one(base, caption(2 * SECOND, "interim", stream="good")).words
    hear(base)
    job = asking(6 * SECOND, *TASKS) if kind == "answer" else caption(6 * SECOND, kind)
    base.ledger.limit_bytes = base.ledger.bytes + (96 << 10)
    try:
        result = base.step([job, caption(2 * SECOND, "interim", stream="good")])
    finally:
        base.ledger.limit_bytes = None
    assert [(error.stream, error.code) for error in result.errors] == [("s", "out_of_memory")]
    assert [said.words for said in result.hypotheses] == [expected]
    assert base.step([job]).errors == ()


def test_a_failure_while_writing_is_one_jobs_own(base: QwenAudioEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what was kept of its utterance with it; the others lose nothing."""
    for stream in ("good", "bad", "asked"):
        hear(base, stream=stream)
    expected = one(base, caption(3 * SECOND, stream="good")).words
    answers = ask(base, asking(2 * SECOND, *TASKS, stream="asked"))[0]
    hear(base, stream="good")
    advance = base.model.advance
    passes: list[int] = []

    def breaks(caches: Any, ids: Any) -> Tensor:
        passes.append(len(ids))
        bad = base._streams["bad"].utterances.get(0)
        run = bad.whole.cache.own if bad and bad.whole else None
        if len(passes) > 3 and any(run is shared for cache in caches for shared, _ in cache.shared):
            raise torch.OutOfMemoryError("the card is full")
        return advance(caches, ids)

    monkeypatch.setattr(base.model, "advance", breaks)
    jobs = [caption(3 * SECOND, stream="bad"), caption(3 * SECOND, stream="good")]
    result = base.step([*jobs, asking(2 * SECOND, *TASKS, stream="asked")])
    assert [(error.stream, error.code) for error in result.errors] == [("bad", "out_of_memory")]
    said = {hypothesis.stream: hypothesis for hypothesis in result.hypotheses}
    assert (said["good"].words, said["asked"].answers) == (expected, answers)
    assert refused(base, caption(3 * SECOND, stream="bad")).code == "missing_audio"


def test_it_says_what_it_is(base: QwenAudioEngine, chat: QwenAudioEngine) -> None:
    assert (base.info.answers, chat.info.answers) == (True, True)
    assert base.info.languages == base.info.targets == chat.info.targets
    assert len(base.info.tasks) > len(chat.info.tasks) > 10
    assert base.info.chat is not None
    assert (base.info.chat.turns, base.info.chat.clips, base.info.chat.audio_s) == (False, 1, 30.0)


def test_a_model_without_room_for_a_conversation_says_so(base: QwenAudioEngine) -> None:
    config = replace(base.model.config, seq_length=512, max_position_embeddings=1024)
    model = base.model
    model.config = config
    try:
        small = QwenAudioEngine(model, base.tokenizer, name="small", chats=True)
    finally:
        model.config = replace(config, seq_length=2048, max_position_embeddings=8192)
    assert small.info.chat is None
    hear(small)
    assert refused(small, asking(3 * SECOND, chat=TWO_CLIPS)).code == "bad_job"


def test_the_checkpoint_says_which_of_the_two_it_is(tmp_path: Path) -> None:
    folder = write_speaking_checkpoint(tmp_path / "Qwen-Audio-Chat")
    assert not build_qwen_audio(str(folder), "cpu", 1).asker.chats, "generation_config.json says raw"
    (folder / "generation_config.json").unlink()
    assert build_qwen_audio(str(folder), "cpu", 1).asker.chats, "by its name"
    (folder / "generation_config.json").write_text(json.dumps({"chat_format": "chatml"}))
    assert build_qwen_audio(str(folder), "cpu", 1).asker.chats
