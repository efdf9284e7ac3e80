"""A task as Qwen-Audio's tags: the six that follow the audio, and back. No torch.

The grammar is that of Chu et al., 2023 (arXiv 2311.07919, section 2.2): start, language of the audio, task, language of
the text, timestamps, output instruction; the prompts whose results are published are in `tests/unit/inference`. For the
tasks that are known by their tokens alone, the tags are those of the nearest published one: a keyword for what is
answered by names, a caption for what is answered by a sentence.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from inference.pool.tasks import CaptionStyle, Task, TaskName
from inference.qwen_audio.special_tokens import LANGUAGE_TAGS, UNKNOWN, SpecialTokens, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.qwen_audio.tokenizer import QwenTokenizer

LANGUAGE_NAMES: dict[str, str] = {
    "en": "English",
    "zh": "Chinese",
    "de": "German",
    "es": "Spanish",
    "ko": "Korean",
    "fr": "French",
    "ja": "Japanese",
    "it": "Italian",
    "zh_tr": "Traditional Chinese",
}
"""Of every language that has a tag, in English."""

Start = Literal["startoftranscript", "startofanalysis"]


class TaskError(ValueError):
    """A task that cannot be asked. The message says what is wrong with it and what would be right."""


class Tags(msgspec.Struct, frozen=True, kw_only=True):
    """What follows the audio. Names are those of special tokens, without `<|` and `|>`."""

    start: Start
    audio_language: str
    """A language, or `unknown`."""
    task: str
    text_language: str | None = None
    """A language, or `unknown` of words in an unknown one; None: a question, whose form has no such slot."""
    timestamps: Literal["notimestamps", "timestamps"] | None = None
    """None: a question."""
    instruction: str | None = None
    """None: the form of the task has none."""
    question: str | None = None
    """What is asked, between the tags `question` and `answer`. Data, never tags."""
    first_stamp: bool = False
    """The answer is made to begin with the time 0.00."""

    def slots(self) -> tuple[str, ...]:
        """The tags in their order; of a question those before it."""
        slots = (self.start, self.audio_language, self.task, self.text_language, self.timestamps, self.instruction)
        return tuple(slot for slot in slots if slot is not None)


@dataclass(frozen=True, slots=True)
class _Form:
    """How a task is asked."""

    start: Start
    task: str
    instruction: str | None
    audio_language: str = UNKNOWN
    """Where the task names none. `en` where every published prompt of the task has it."""


_FORMS: dict[TaskName, _Form] = {
    "transcribe": _Form("startoftranscript", "transcribe", "wo_itn"),
    "translate": _Form("startoftranscript", "translate", "itn"),
    "word_timestamps": _Form("startoftranscript", "transcribe", None),
    "caption": _Form("startofanalysis", "caption", "caption_clotho"),
    "sound_events": _Form("startofanalysis", "keyword", "event"),
    "scene": _Form("startofanalysis", "keyword", "scene"),
    "vocal_sound": _Form("startofanalysis", "keyword", "vocal_classification", "en"),
    "emotion": _Form("startofanalysis", "keyword", "emotion_recognition", "en"),
    "speaker": _Form("startofanalysis", "keyword", "speaker_meta"),
    "entities": _Form("startofanalysis", "keyword", "named_entity_recognition"),
    "speech_understanding": _Form("startofanalysis", "keyword", "speech_understanding"),
    "speech_edit": _Form("startofanalysis", "keyword", "speech_edit"),
    "music_notes": _Form("startofanalysis", "keyword", "note_analysis"),
    "music_description": _Form("startofanalysis", "caption", "music_description"),
    "song": _Form("startofanalysis", "keyword", "song_meta"),
    "grounding": _Form("startofanalysis", "audio_grounding", None),
    "question": _Form("startofanalysis", "question", None, "en"),
}
_CAPTION_STYLES: dict[str, CaptionStyle] = {f"caption_{style}": style for style in get_args(CaptionStyle)}
_ANSWER_LANGUAGE = "en"
_FIRST_STAMP = "0.00"
_SLOTS = ("start", "audio_language", "task", "text_language", "timestamps", "instruction")
_BEFORE_QUESTION = 3  # slots
_SPOKEN: frozenset[TaskName] = frozenset({"transcribe", "word_timestamps"})


def check_language(code: str) -> str:
    """
    Raises:
        TaskError: Qwen-Audio has no tag for this language.
    """
    if code not in LANGUAGE_TAGS:
        raise TaskError(f"Qwen-Audio has no tag for the language {code!r}; it has {', '.join(LANGUAGE_TAGS)}")
    return code


def check_question(task: Task) -> str | None:
    """The question of a task that has one.

    Raises:
        TaskError: the task `question` asks nothing, or another task asks something.
    """
    if task.name == "question":
        if not (task.question and task.question.strip()):
            raise TaskError("the task question needs a question, in words")
        return task.question
    if task.question is not None:
        raise TaskError(f"the task {task.name} takes no question; ask it with the task question")
    return None


def to_tags(task: Task) -> Tags:
    """
    Raises:
        TaskError: a language has no tag, or the fields of the task do not go together.
    """
    form = _FORMS[task.name]
    question = check_question(task)
    audio_language = form.audio_language if task.language is None else check_language(task.language)
    if question is not None:
        if task.target not in (None, audio_language):
            raise TaskError(
                f"a question to Qwen-Audio has one tag of language, and {audio_language} and {task.target} are asked "
                "for; leave the target out and ask in the language that the answer should have"
            )
        return Tags(start=form.start, audio_language=audio_language, task=form.task, question=question)
    instruction = form.instruction
    if task.name == "caption":
        instruction = f"caption_{task.style}"
    elif task.name == "transcribe" and task.written:
        instruction = "itn"
    timed = task.name == "word_timestamps"
    return Tags(
        start=form.start,
        audio_language=audio_language,
        task=form.task,
        text_language=text_language(task) or UNKNOWN,
        timestamps="timestamps" if timed else "notimestamps",
        instruction=instruction,
        first_stamp=timed,
    )


def text_language(task: Task) -> str | None:
    """The language of the answer: that of the speech where its words are asked for, else English.

    Returns:
        A language that has a tag; None for the words of speech in an unknown language.

    Raises:
        TaskError: the language has no tag, or is not one that the task can be answered in.
    """
    if task.name in _SPOKEN:
        if task.target is None or task.target == task.language:
            return None if task.language is None else check_language(task.language)
        if task.language == "zh" and task.target == "zh_tr":  # the same words in other characters
            return "zh_tr"
        raise TaskError(
            f"the task {task.name} writes the words in the language that is spoken "
            f"({task.language or 'unknown'}), not in {task.target}; to have another language, ask for translate"
        )
    target = check_language(task.target or _ANSWER_LANGUAGE)
    if task.name == "translate" and target == task.language:
        raise TaskError(f"translate needs a target other than the spoken language {target}; or ask for transcribe")
    return target


def from_tags(tags: Tags) -> Task:
    """The task that is asked with these tags, with no more fields than it needs: `to_tags` of it are the same tags.

    Raises:
        TaskError: no task is asked like this.
    """
    for name, form in _FORMS.items():
        task = Task(
            name=name,
            language=None if tags.audio_language in (UNKNOWN, form.audio_language) else tags.audio_language,
            style=_CAPTION_STYLES.get(tags.instruction or "", "clotho"),
            written=name == "transcribe" and tags.instruction == "itn",
            question=tags.question,
        )
        for candidate in (task, msgspec.structs.replace(task, target=tags.text_language)):
            with contextlib.suppress(TaskError):
                if to_tags(candidate) == tags:
                    return candidate
    raise TaskError(f"no task is asked by {render(tags)}; tasks are asked by the tags that to_tags makes of them")


def encode(tags: Tags, tokenizer: QwenTokenizer) -> tuple[int, ...]:
    """The tokens that follow the audio; those of a question's words are ordinary pieces."""
    specials = tokenizer.specials
    tokens = [specials.id(slot) for slot in tags.slots()]
    if tags.question is not None:
        tokens += [*tokenizer.encode_text(tags.question), specials.id("answer")]
    if tags.first_stamp:
        tokens.append(specials.stamp(0.0))
    return tuple(tokens)


def decode(tokens: Sequence[int], tokenizer: QwenTokenizer) -> Tags:
    """The reverse of `encode`.

    Raises:
        TaskError: the tokens are not tags in their order.
    """
    specials = tokenizer.specials
    names = [specials.name(token) for token in tokens]
    tags = None
    if len(names) > _BEFORE_QUESTION and names[2] == "question":
        start, audio_language, task = names[:_BEFORE_QUESTION]
        asked = tokenizer.decode(tokens[_BEFORE_QUESTION:-1])
        tags = _checked(start=start, audio_language=audio_language, task=task, question=asked)
    elif len(names) > _BEFORE_QUESTION:
        first_stamp = names[-1] == _FIRST_STAMP
        slots = names[:-1] if first_stamp else names
        tags = _checked(**dict(zip(_SLOTS, slots, strict=False)), first_stamp=first_stamp)
    if tags is None or encode(tags, tokenizer) != tuple(tokens):
        raise TaskError(f"{tokenizer.render(tokens)} are not the tags of a task; they should be {', '.join(_SLOTS)}")
    return tags


def _checked(**fields: object) -> Tags | None:
    try:
        return msgspec.convert(fields, Tags)
    except msgspec.ValidationError:
        return None


def render(tags: Tags) -> str:
    """As prompts are written for people: not to be read back, since a question may say anything."""
    shown = "".join(written(slot) for slot in tags.slots())
    if tags.question is not None:
        shown += tags.question + written("answer")
    return shown + (written(_FIRST_STAMP) if tags.first_stamp else "")


def language_tokens(specials: SpecialTokens) -> dict[str, int]:
    """Language → its token: the likeliest one after `startoftranscript` is the one that the model hears."""
    return {language: specials.id(language) for language in LANGUAGE_TAGS}
