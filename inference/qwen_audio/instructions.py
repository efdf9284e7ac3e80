"""A task for models that know no tags, in words: Qwen2-Audio and chat models; and which family has which. No torch."""

from __future__ import annotations

from typing import Literal

from inference.pool.tasks import TASK_NAMES, Task, TaskName
from inference.qwen_audio.tags import LANGUAGE_NAMES, TaskError, check_language, check_question, text_language

Family = Literal["whisper", "qwen_audio", "qwen_audio_chat", "qwen2_audio"]

# The base model continues a prompt of the kind it was trained with. Those of transcribe, translate, caption, emotion
# and vocal_sound are of Qwen2-Audio's report (arXiv 2407.10759, figure 2) and evaluation; the others follow them.
_BASE: dict[TaskName, str] = {
    "transcribe": "Detect the language and recognize the speech:",
    "translate": "Detect the language and translate the speech into {language}:",
    "caption": "Generate the caption in {language}:",
    "sound_events": "Recognize the sound events with keywords in {language}:",
    "scene": "Classify the acoustic scene with keywords in {language}:",
    "vocal_sound": "Classify the human vocal sound to VocalSound in {language}:",
    "emotion": "Recognize the emotion with keywords in {language}:",
    "speaker": "Recognize the gender and age of the speaker with keywords in {language}:",
    "entities": "Recognize the named entities of the speech in {language}:",
    "speech_understanding": "Recognize the scenario, the action and the entities of the speech in {language}:",
    "music_notes": "Recognize the pitch, velocity, instrument and qualities of the note in {language}:",
    "music_description": "Generate the description of the music in {language}:",
    "song": "Recognize the genre, mood and instruments of the song with keywords in {language}:",
}
# "Only" and "nothing else" since a chat model otherwise writes a sentence about its answer.
_CHAT: dict[TaskName, str] = {
    "transcribe": "Transcribe the speech word for word. Write only the words that are said, and nothing else.",
    "translate": "Translate the speech into {language}. Write only the translation, and nothing else.",
    "caption": "Describe in one sentence in {language} what can be heard.",
    "sound_events": "Which sounds can be heard? Answer in {language}, with their names only, separated by commas.",
    "scene": "In which acoustic scene was this recorded? Answer in {language}, with its name only.",
    "vocal_sound": "Which vocal sound does the person make: laughter, sigh, cough, throat clearing, sneeze or sniff? "
    "Answer in {language}, with its name only.",
    "emotion": "Which emotion does the speaker show? Answer in {language}, with one word only.",
    "speaker": "What are the gender and the age of the speaker? Answer in {language}, with keywords only, separated by "
    "commas.",
    "entities": "Which named entities are said? Answer in {language}, with each entity and its type.",
    "speech_understanding": "What does the speaker want? Answer in {language}, with the scenario, the action and the "
    "entities.",
    "music_notes": "Which note is played? Answer in {language}, with its MIDI pitch, its velocity, the instrument and "
    "the qualities of its sound.",
    "music_description": "Describe the music in {language}.",
    "song": "What are the genre, the mood and the instruments of the song? Answer in {language}, with keywords only, "
    "separated by commas.",
}
_WITH_TAGS: tuple[TaskName, ...] = ("word_timestamps", "grounding", "speech_edit")
_IN_WORDS = tuple(name for name in TASK_NAMES if name not in _WITH_TAGS)
_SUPPORTED: dict[Family, tuple[TaskName, ...]] = {
    "whisper": ("transcribe", "translate", "word_timestamps"),
    "qwen_audio": TASK_NAMES,
    "qwen_audio_chat": _IN_WORDS,
    "qwen2_audio": _IN_WORDS,
}


def supported_tasks(family: Family) -> tuple[TaskName, ...]:
    """What models of the family can be asked. What is answered with times needs tags."""
    return _SUPPORTED[family]


def check_supported(task: Task, family: Family) -> None:
    """
    Raises:
        TaskError: models of the family cannot be asked this.
    """
    if task.name not in _SUPPORTED[family]:
        raise TaskError(f"{family} has no task {task.name}; it has {', '.join(_SUPPORTED[family])}")


def base_instruction(task: Task) -> str:
    """What follows the audio in a prompt of the base model of Qwen2-Audio. A question is the asker's own words.

    Raises:
        TaskError: the model has no such task, or the fields of the task do not go together.
    """
    return _instruction(task, _BASE)


def chat_instruction(task: Task) -> str:
    """What a user would say after the audio to Qwen-Audio-Chat or Qwen2-Audio-Instruct.

    Raises:
        TaskError: the models have no such task, or the fields of the task do not go together.
    """
    said = _instruction(task, _CHAT)
    if task.name != "transcribe":
        return said
    language = text_language(task)
    if language is not None:
        said += f" They are in {LANGUAGE_NAMES[language]}."
    return said + (" Write numbers and dates in digits." if task.written else "")


def _instruction(task: Task, texts: dict[TaskName, str]) -> str:
    check_supported(task, "qwen2_audio")
    question = check_question(task)
    if task.language is not None:
        check_language(task.language)
    language = text_language(task)
    if question is not None:
        return question
    return texts[task.name].format(language=language and LANGUAGE_NAMES[language])
