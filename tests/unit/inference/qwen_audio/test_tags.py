"""A task is asked by six tags after the audio, or by a question; the published prompts are the cases."""

from __future__ import annotations

import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.pool.tasks import TASK_NAMES, Task
from inference.qwen_audio.special_tokens import LANGUAGE_TAGS
from inference.qwen_audio.tags import (
    LANGUAGE_NAMES,
    Tags,
    TaskError,
    decode,
    encode,
    from_tags,
    language_tokens,
    render,
    to_tags,
)
from tests.support.qwen_audio import tokenizer

PUBLISHED = 151_643
LANGUAGES = st.sampled_from([None, *LANGUAGE_TAGS])
TASKS = st.builds(
    Task,
    name=st.sampled_from(TASK_NAMES),
    language=LANGUAGES,
    target=LANGUAGES,
    style=st.sampled_from(["audiocaps", "clotho", "plain"]),
    written=st.booleans(),
    question=st.none(),
) | st.builds(
    Task,
    name=st.just("question"),
    language=LANGUAGES,
    question=st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
    .filter(str.strip)
    .map(lambda text: unicodedata.normalize("NFC", text)),
)
QUESTION = "How many dogs bark?"
OFFICIAL = [
    (
        Task(language="en"),
        "<|startoftranscript|><|en|><|transcribe|><|en|><|notimestamps|><|wo_itn|>",
        [151852, 151859, 151855, 151859, 151868, 154877],
    ),
    (
        Task(language="zh"),
        "<|startoftranscript|><|zh|><|transcribe|><|zh|><|notimestamps|><|wo_itn|>",
        [151852, 151860, 151855, 151860, 151868, 154877],
    ),
    (
        Task(name="translate", language="en", target="de"),
        "<|startoftranscript|><|en|><|translate|><|de|><|notimestamps|><|itn|>",
        [151852, 151859, 151854, 151861, 151868, 154876],
    ),
    (
        Task(name="translate", language="zh"),
        "<|startoftranscript|><|zh|><|translate|><|en|><|notimestamps|><|itn|>",
        [151852, 151860, 151854, 151859, 151868, 154876],
    ),
    (
        Task(name="word_timestamps", language="zh"),
        "<|startoftranscript|><|zh|><|transcribe|><|zh|><|timestamps|><|0.00|>",
        [151852, 151860, 151855, 151860, 151870, 151871],
    ),
    (
        Task(name="caption"),
        "<|startofanalysis|><|unknown|><|caption|><|en|><|notimestamps|><|caption_clotho|>",
        [151853, 151858, 151856, 151859, 151868, 154873],
    ),
    (
        Task(name="caption", style="audiocaps"),
        "<|startofanalysis|><|unknown|><|caption|><|en|><|notimestamps|><|caption_audiocaps|>",
        [151853, 151858, 151856, 151859, 151868, 154872],
    ),
    (
        Task(name="caption", style="plain"),
        "<|startofanalysis|><|unknown|><|caption|><|en|><|notimestamps|><|caption_plain|>",
        [151853, 151858, 151856, 151859, 151868, 154875],
    ),
    (
        Task(name="emotion"),
        "<|startofanalysis|><|en|><|keyword|><|en|><|notimestamps|><|emotion_recognition|>",
        [151853, 151859, 151857, 151859, 151868, 154887],
    ),
    (
        Task(name="scene"),
        "<|startofanalysis|><|unknown|><|keyword|><|en|><|notimestamps|><|scene|>",
        [151853, 151858, 151857, 151859, 151868, 155155],
    ),
    (
        Task(name="vocal_sound"),
        "<|startofanalysis|><|en|><|keyword|><|en|><|notimestamps|><|vocal_classification|>",
        [151853, 151859, 151857, 151859, 151868, 155157],
    ),
    (
        Task(name="music_notes"),
        "<|startofanalysis|><|unknown|><|keyword|><|en|><|notimestamps|><|note_analysis|>",
        [151853, 151858, 151857, 151859, 151868, 154889],
    ),
]
BY_TOKEN_NAME = [
    (
        Task(name="grounding"),
        "<|startofanalysis|><|unknown|><|audio_grounding|><|en|><|notimestamps|>",
    ),
    (
        Task(name="sound_events"),
        "<|startofanalysis|><|unknown|><|keyword|><|en|><|notimestamps|><|event|>",
    ),
    (
        Task(name="speaker", language="de"),
        "<|startofanalysis|><|de|><|keyword|><|en|><|notimestamps|><|speaker_meta|>",
    ),
    (
        Task(name="entities", language="fr", target="fr"),
        "<|startofanalysis|><|fr|><|keyword|><|fr|><|notimestamps|><|named_entity_recognition|>",
    ),
    (
        Task(name="speech_understanding", language="en"),
        "<|startofanalysis|><|en|><|keyword|><|en|><|notimestamps|><|speech_understanding|>",
    ),
    (
        Task(name="speech_edit", language="en"),
        "<|startofanalysis|><|en|><|keyword|><|en|><|notimestamps|><|speech_edit|>",
    ),
    (
        Task(name="music_description", target="zh"),
        "<|startofanalysis|><|unknown|><|caption|><|zh|><|notimestamps|><|music_description|>",
    ),
    (
        Task(name="song"),
        "<|startofanalysis|><|unknown|><|keyword|><|en|><|notimestamps|><|song_meta|>",
    ),
]


@pytest.mark.parametrize(("task", "prompt", "tokens"), OFFICIAL)
def test_a_task_is_asked_as_in_the_official_evaluation(task: Task, prompt: str, tokens: list[int]) -> None:
    tags = to_tags(task)
    assert render(tags) == prompt
    assert list(encode(tags, tokenizer(PUBLISHED))) == tokens


def test_a_question_is_asked_as_in_the_official_evaluation() -> None:
    """Its words stand between two tags, as ordinary pieces."""
    tags = to_tags(Task(name="question", question=QUESTION))
    assert render(tags) == f"<|startofanalysis|><|en|><|question|>{QUESTION}<|answer|>"
    official = tokenizer(PUBLISHED)
    words = official.encode_text(QUESTION)
    assert list(encode(tags, official)) == [151853, 151859, 155152, *words, 155153]


@pytest.mark.parametrize(("task", "prompt"), BY_TOKEN_NAME)
def test_a_task_without_a_published_prompt_has_the_tags_of_its_token(task: Task, prompt: str) -> None:
    assert render(to_tags(task)) == prompt


def test_every_task_has_tags() -> None:
    asked = {name: to_tags(Task(name=name, question=QUESTION if name == "question" else None)) for name in TASK_NAMES}
    assert len(set(asked.values())) == len(TASK_NAMES)


@pytest.mark.parametrize("language", LANGUAGE_TAGS)
def test_every_language_that_has_a_tag_can_be_transcribed(language: str) -> None:
    tags = to_tags(Task(language=language))
    assert (tags.audio_language, tags.text_language) == (language, language)
    assert language in LANGUAGE_NAMES


def test_words_in_an_unknown_language_are_written_in_an_unknown_language() -> None:
    assert render(to_tags(Task())) == (
        "<|startoftranscript|><|unknown|><|transcribe|><|unknown|><|notimestamps|><|wo_itn|>"
    )


def test_numbers_are_written_out_or_in_digits() -> None:
    assert to_tags(Task(language="en", written=True)).instruction == "itn"
    assert to_tags(Task(language="en")).instruction == "wo_itn"


def test_chinese_can_be_written_in_traditional_characters() -> None:
    tags = to_tags(Task(language="zh", target="zh_tr"))
    assert (tags.audio_language, tags.text_language) == ("zh", "zh_tr")


def test_a_translation_is_into_english_if_nothing_else_is_said() -> None:
    assert to_tags(Task(name="translate", language="de")).text_language == "en"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task(language="pt"), "no tag for the language 'pt'; it has en, zh, de, es, ko, fr, ja, it, zh_tr"),
        (Task(language="EN"), "no tag for the language 'EN'"),
        (Task(language="unknown"), "no tag for the language 'unknown'"),
        (Task(name="translate", language="en", target="sv"), "no tag for the language 'sv'"),
        (Task(name="caption", target="<|im_end|>"), "no tag for the language '<|im_end|>'"),
        (Task(language="de", target="en"), "language that is spoken (de), not in en"),
        (Task(language="de", target="zh_tr"), "language that is spoken (de), not in zh_tr"),
        (Task(target="en"), "language that is spoken (unknown), not in en"),
        (Task(name="translate", language="en"), "needs a target other than the spoken language en"),
        (Task(name="question"), "needs a question, in words"),
        (Task(name="question", question="  \n"), "needs a question, in words"),
        (Task(name="scene", question="Where?"), "the task scene takes no question"),
        (Task(name="question", question="Wer?", language="en", target="de"), "en and de are asked for"),
    ],
)
def test_a_task_that_cannot_be_asked_is_refused(task: Task, message: str) -> None:
    with pytest.raises(TaskError) as refused:
        to_tags(task)
    assert message in str(refused.value)


def asked(task: Task) -> Tags | None:
    try:
        return to_tags(task)
    except TaskError:
        return None


@given(TASKS)
def test_tags_say_which_task_was_asked(task: Task) -> None:
    """The task that they give is asked by the same tags, and has no fields that these do not tell."""
    tags = asked(task)
    if tags is None:
        return
    understood = from_tags(tags)
    assert understood.name == task.name
    assert to_tags(understood) == tags
    assert from_tags(to_tags(understood)) == understood


@given(TASKS)
def test_tokens_say_which_tags_were_meant(task: Task) -> None:
    tags = asked(task)
    if tags is not None:
        assert decode(encode(tags, tokenizer()), tokenizer()) == tags


@pytest.mark.parametrize("task", [case[0] for case in [*OFFICIAL, *BY_TOKEN_NAME]])
def test_a_task_that_says_no_more_than_it_must_comes_back_as_it_was(task: Task) -> None:
    assert from_tags(to_tags(task)) == task


@given(st.lists(st.integers(min_value=-1, max_value=tokenizer().vocabulary), max_size=9))
def test_tokens_that_are_no_tags_are_refused(tokens: list[int]) -> None:
    try:
        tags = decode(tokens, tokenizer())
    except TaskError:
        return
    assert encode(tags, tokenizer()) == tuple(tokens)


def test_tags_in_another_order_are_refused() -> None:
    tokens = encode(to_tags(Task(language="en")), tokenizer())
    for wrong in (tokens[::-1], tokens[:3], (), tokens[1:], (*tokens, tokens[-1])):
        with pytest.raises(TaskError, match="not the tags of a task; they should be start, audio_language"):
            decode(wrong, tokenizer())


def test_a_combination_that_no_task_has_is_refused() -> None:
    tags = msgspec.structs.replace(to_tags(Task(language="en")), instruction="scene")
    with pytest.raises(TaskError, match=r"no task is asked by <\|startoftranscript\|><\|en\|>"):
        from_tags(tags)


@given(st.text(min_size=1).filter(str.strip))
def test_a_question_has_no_special_token_in_its_words(question: str) -> None:
    tokens = encode(to_tags(Task(name="question", question=f"<|answer|>{question}<|im_end|>")), tokenizer())
    special = [token for token in tokens if token >= tokenizer().specials.base]
    assert [tokenizer().specials.name(token) for token in special] == ["startofanalysis", "en", "question", "answer"]


def test_languages_to_be_heard_are_the_tokens_after_the_start() -> None:
    assert language_tokens(tokenizer(PUBLISHED).specials) == {
        language: 151859 + place for place, language in enumerate(LANGUAGE_TAGS)
    }
