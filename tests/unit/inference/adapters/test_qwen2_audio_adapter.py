"""Qwen2-Audio's engine writes what transformers' generation writes, for a whole window of half a minute each time."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.adapters.build import build_adapter
from inference.adapters.qwen2_audio import STEP_TOKENS
from inference.pool.interface import EngineStartError, Hypothesis, Job, JobError, JobKind, StepStats, StreamSpec
from inference.pool.tasks import Answer, Chat, ChatTurn, Task
from inference.qwen_audio.instructions import base_instruction, chat_instruction
from tests.support.adapter_checkpoints import melody, write_checkpoint

SECOND = 16_000
TRANSCRIBE = "Detect the language and recognize the speech: "
TRANSLATE = "Detect the language and translate the speech into English: "
AUDIO = (melody(6.0, 2) * 32_767).astype("<i2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint("qwen2_audio", tmp_path_factory.mktemp("qwen2"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> Any:
    return build_adapter(str(folder), "cpu", 1)


def begin(engine: Any, spec: StreamSpec) -> None:
    engine.close("s")
    engine.open("s", spec)
    engine.append("s", 0, 0, AUDIO.tobytes())


def step(engine: Any, samples: int, kind: JobKind = "interim") -> tuple[Hypothesis, StepStats]:
    result = engine.step([Job("s", 0, 1, kind, 0, samples)])
    assert result.errors == ()
    return result.hypotheses[0], result.stats


def tokens(hypothesis: Hypothesis) -> list[int]:
    return [token for word in hypothesis.words for token in word.tokens]


def read_by(engine: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The token ids that the engine's language model is given, as they come."""
    embed, given = engine.writer.embed, list[list[int]]()
    monkeypatch.setattr(engine.writer, "embed", lambda ids: (given.append(list(ids)), embed(ids))[1])
    return given


def test_it_writes_what_transformers_generation_writes(engine: Any) -> None:
    """With transformers' own way of putting the audio among the tokens."""
    begin(engine, StreamSpec(language="en"))
    said, _ = step(engine, 4 * SECOND)
    told = engine.extractor(
        AUDIO[: 4 * SECOND].astype("float32") / 32768.0,
        sampling_rate=SECOND,
        return_attention_mask=True,
        return_tensors="pt",
    )
    audio = [engine.model.config.audio_token_id] * (4 * 25)
    prompt = [engine.audio_begin, *audio, engine.audio_end, *engine.prompt.text(TRANSCRIBE), engine.tags["en"]]
    vocabulary = engine.model.config.text_config.vocab_size
    written = engine.model.generate(
        torch.tensor([prompt]),
        input_features=told["input_features"],
        feature_attention_mask=told["attention_mask"],
        max_new_tokens=16 + 12 * 4,
        do_sample=False,
        suppress_tokens=[
            token
            for token in range(vocabulary)
            if not engine.splitter.is_text(token) and token not in engine.prompt.special("<|endoftext|>", "<|im_end|>")
        ],
        eos_token_id=engine.prompt.special("<|endoftext|>", "<|im_end|>"),
    )[0, len(prompt) :].tolist()
    assert tokens(said) == [token for token in written if engine.splitter.is_text(token)]
    assert said.words


def test_each_job_pays_for_half_a_minute_but_one_that_ends_where_the_last_did(engine: Any) -> None:
    begin(engine, StreamSpec(language="en"))
    kinds: list[tuple[int, JobKind]] = [(SECOND, "interim"), (2 * SECOND, "early_final"), (2 * SECOND, "final")]
    asked = [step(engine, samples, kind) for samples, kind in kinds]
    assert [stats.encoder_frames for _, stats in asked] == [1_500, 1_500, 0]
    assert asked[1][0].words == asked[2][0].words


def test_words_have_the_segments_bounds_as_the_model_gives_no_times(engine: Any) -> None:
    begin(engine, StreamSpec(language="en"))
    said, _ = step(engine, 3 * SECOND)
    assert {(word.start_sample, word.end_sample) for word in said.words} == {(0, 3 * SECOND)}


@pytest.mark.parametrize(("task", "instruction"), [("transcribe", TRANSCRIBE), ("translate", TRANSLATE)])
def test_the_task_is_an_instruction_behind_the_audio(
    engine: Any, monkeypatch: pytest.MonkeyPatch, task: Any, instruction: str
) -> None:
    given = read_by(engine, monkeypatch)
    begin(engine, StreamSpec(language="de", task=task))
    said, _ = step(engine, SECOND)
    before, after = given[:2]
    assert before == [engine.audio_begin]
    assert after == [engine.audio_end, *engine.prompt.text(instruction), engine.tags["de"]]
    assert said.language == "de"


def test_a_language_that_is_not_told_may_be_named_by_the_model(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(engine, StreamSpec())
    assert step(engine, SECOND)[0].language is None
    read = engine.writer.read

    def names_german(keys: Any, embedded: torch.Tensor) -> Any:
        reading = read(keys, embedded)
        if embedded.shape[1] > 1:
            reading.scores[engine.tags["de"]] = 1e4
        return reading

    monkeypatch.setattr(engine.writer, "read", names_german)
    assert step(engine, SECOND)[0].language == "de"


def test_an_instruct_checkpoint_is_asked_within_a_chat(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "Tiny-Instruct").symlink_to(folder)
    engine: Any = build_adapter(str(tmp_path / "Tiny-Instruct"), "cpu", 1)
    text, (start, end) = engine.prompt.text, engine.prompt.special("<|im_start|>", "<|im_end|>")
    system = [start, *text("system\nYou are a helpful assistant."), end, *text("\n")]
    assert engine.head == [*system, start, *text("user\nAudio 1: ")]
    assert engine.tail == [end, *text("\n"), start, *text("assistant\n")]
    begin(engine, StreamSpec(language="en"))
    assert step(engine, SECOND)[0].words


def test_an_encoder_with_another_window_than_its_features_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    features = tmp_path / "preprocessor_config.json"
    features.write_text(features.read_text().replace('"chunk_length": 30', '"chunk_length": 20'))
    with pytest.raises(EngineStartError, match="2000 frames"):
        build_adapter(str(tmp_path), "cpu", 1)


# -- answers ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def instruct(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    named = tmp_path_factory.mktemp("named") / "Tiny-Instruct"
    named.symlink_to(folder)
    return build_adapter(str(named), "cpu", 1)


def ask(engine: Any, job: Job) -> list[tuple[Answer, ...]]:
    """The answers after each job, until they are done."""
    said: list[tuple[Answer, ...]] = []
    while True:
        result = engine.step([job])
        assert result.errors == ()
        (hypothesis,) = result.hypotheses
        assert (hypothesis.words, hypothesis.final) == ((), False)
        said.append(hypothesis.answers)
        if not hypothesis.more:
            return said


def by_generation(engine: Any, clips: list[int], prompt: list[int], most: int) -> str:
    """What transformers' own generation writes behind a prompt with audio tokens in the place of clips, greedily."""
    told = [
        engine.extractor(
            AUDIO[sum(clips[:place]) : sum(clips[: place + 1])].astype("float32") / 32768.0,
            sampling_rate=SECOND,
            return_attention_mask=True,
            return_tensors="pt",
        )
        for place in range(len(clips))
    ]
    stops = engine.prompt.special("<|endoftext|>", "<|im_end|>")
    vocabulary = engine.model.config.text_config.vocab_size
    written = engine.model.generate(
        torch.tensor([prompt]),
        input_features=torch.cat([each["input_features"] for each in told]),
        feature_attention_mask=torch.cat([each["attention_mask"] for each in told]),
        max_new_tokens=most,
        do_sample=False,
        suppress_tokens=[t for t in range(vocabulary) if not engine.splitter.is_text(t) and t not in stops],
        eos_token_id=stops,
    )[0, len(prompt) :].tolist()
    return str(engine.splitter.text([token for token in written if engine.splitter.is_text(token)])).strip()


def test_tasks_are_answered_as_transformers_generation_answers_them(engine: Any) -> None:
    begin(engine, StreamSpec())
    tasks = (Task(name="caption"), Task(name="question", question="Who?"))
    last = ask(engine, Job("s", 0, 1, "answer", 0, 2 * SECOND, tasks=tasks))[-1]
    audio = [engine.model.config.audio_token_id] * (2 * 25)
    for task, answer in zip(tasks, last, strict=True):
        asked = engine.prompt.text(base_instruction(task))
        assert answer.text == by_generation(
            engine, [2 * SECOND], [engine.audio_begin, *audio, engine.audio_end, *asked], 256
        )


def test_answers_grow_by_a_few_tokens_and_the_audio_is_read_once(engine: Any) -> None:
    begin(engine, StreamSpec(language="en"))
    step(engine, 2 * SECOND, "final")
    before = engine.costs.encoded_samples
    job = Job("s", 0, 1, "answer", 0, 2 * SECOND, tasks=(Task(name="scene"), Task(name="speaker")))
    said = ask(engine, job)
    assert engine.costs.encoded_samples == before, "the final's audio is there"
    assert len(said) >= len(said[-1][0].text) // (8 * STEP_TOKENS)
    for earlier, later in pairwise(said):
        assert all(b.text.startswith(a.text) for a, b in zip(earlier, later, strict=True))
    assert said[-1][0].labels == (said[-1][0].text,)
    assert ask(engine, job) == said


def test_a_chat_of_two_clips_is_answered_as_transformers_generation_answers_it(instruct: Any) -> None:
    text, start, end = instruct.prompt.text, instruct.turn_start, instruct.turn_end
    turns = (ChatTurn("user", "one?", 1), ChatTurn("assistant", "a"), ChatTurn("user", "two <|im_end|>?", 1))
    chat = Chat(turns, (SECOND, 2 * SECOND), max_tokens=20)

    def clip(number: int, seconds: int) -> list[int]:
        audio = [instruct.model.config.audio_token_id] * (25 * seconds)
        return [*text(f"Audio {number}: "), instruct.audio_begin, *audio, instruct.audio_end, *text("\n")]

    line = text("\n")
    prompt = [start, *text("system\nYou are a helpful assistant."), end, *line]
    prompt += [start, *text("user\n"), *clip(1, 1), *text("one?"), end, *line]
    prompt += [start, *text("assistant\n"), *text("a"), end, *line]
    prompt += [start, *text("user\n"), *clip(2, 2), *text("two <|im_end|>?"), end, *line, start, *text("assistant\n")]
    begin(instruct, StreamSpec())
    (answer,) = ask(instruct, Job("s", 0, 1, "answer", 0, 3 * SECOND, chat=chat))[-1]
    assert answer.text == by_generation(instruct, [SECOND, 2 * SECOND], prompt, 20)


def test_a_seed_says_the_same_again(instruct: Any) -> None:
    begin(instruct, StreamSpec())
    chats = [
        Chat((ChatTurn("user", "go", 1),), (SECOND,), max_tokens=12, temperature=2.0, seed=seed) for seed in (1, 1, 2)
    ]
    first, again, other = (ask(instruct, Job("s", 0, 1, "answer", 0, SECOND, chat=chat))[-1] for chat in chats)
    assert first == again
    assert first != other


def test_a_task_in_a_chat_model_is_an_instruction(instruct: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(instruct, StreamSpec())
    given = read_by(instruct, monkeypatch)
    ask(instruct, Job("s", 0, 1, "answer", 0, SECOND, tasks=(Task(name="scene"),)))
    question = [instruct.audio_end, *instruct.prompt.text("\n" + chat_instruction(Task(name="scene"))), *instruct.tail]
    assert given[:2] == [[*instruct.head, instruct.audio_begin], question]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"chat": Chat((ChatTurn("user", "a", 1), ChatTurn("user", "b")), (SECOND,))},
        {"chat": Chat((ChatTurn("user", "a", 1),), (2 * SECOND,))},
        {"chat": Chat((ChatTurn("user", "a", 1),), (SECOND,), system="be kind")},
    ],
)
def test_what_cannot_be_asked_is_a_bad_job(engine: Any, wrong: dict[str, Any]) -> None:
    begin(engine, StreamSpec())
    (error,) = engine.step([Job("s", 0, 1, "answer", 0, SECOND, **wrong)]).errors
    assert isinstance(error, JobError)
    assert error.code == "bad_job"


def test_a_task_that_cannot_be_asked_says_so_and_the_others_are_answered(engine: Any) -> None:
    tasks = (Task(name="grounding"), Task(name="emotion"), Task(name="question"))
    begin(engine, StreamSpec())
    job = Job("s", 0, 1, "answer", 0, SECOND, tasks=tasks)
    while (said := engine.step([job]).hypotheses[0]).more:
        pass
    grounding, emotion, question = said.answers
    assert emotion.error is None
    assert "no task grounding" in (grounding.error or "")
    assert "needs a question" in (question.error or "")


def test_captions_that_cannot_be_asked_for_are_a_bad_job(engine: Any) -> None:
    begin(engine, StreamSpec(task="word_timestamps"))
    (error,) = engine.step([Job("s", 0, 1, "interim", 0, SECOND)]).errors
    assert (error.code, "word_timestamps" in error.message) == ("bad_job", True)
    (hypothesis,) = engine.step([Job("s", 0, 1, "interim", 0, SECOND, spec=StreamSpec(language="en"))]).hypotheses
    assert hypothesis.words
