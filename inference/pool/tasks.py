"""What a listener can be asked: Qwen-Audio's tasks (Chu et al., 2023), as one vocabulary for every model. No torch.

`inference.qwen_audio.tags` turns a task into the tags that follow the audio; Whisper takes its language and task
tokens from it, Qwen2-Audio an instruction. The wire's `task` has the same names and fields.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

TaskName = Literal[
    "transcribe",
    "translate",
    "word_timestamps",
    "caption",
    "sound_events",
    "scene",
    "vocal_sound",
    "emotion",
    "speaker",
    "entities",
    "speech_understanding",
    "speech_edit",
    "music_notes",
    "music_description",
    "song",
    "grounding",
    "question",
]
CaptionStyle = Literal["audiocaps", "clotho", "plain"]

TASK_NAMES: tuple[TaskName, ...] = get_args(TaskName)
CAPTIONING: tuple[TaskName, ...] = ("transcribe", "translate", "word_timestamps")
"""Those whose words are live captions; a session has one of them, the first that is asked for. All others, and any
further one, are answered once per utterance."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be answered about a piece of audio."""

    name: TaskName = "transcribe"
    language: str | None = None
    """ISO 639-1 code of the language that is spoken; None: unknown, or there is no speech."""
    target: str | None = None
    """ISO 639-1 code of the language of the answer; None: the spoken one where words are asked for, else English."""
    style: CaptionStyle = "clotho"
    """Of `caption`."""
    written: bool = False
    """Numbers and dates in written form (inverse text normalisation) instead of as they are spoken; `transcribe`."""
    question: str | None = None
    """Of `question`, required there: what is asked, in the asker's words. Data, never tags."""


class TimedWord(msgspec.Struct, frozen=True):
    text: str
    start_s: float
    end_s: float
    """Seconds from the begin of the audio."""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model's answer to a task, as far as it could be read."""

    text: str
    """All that it wrote, without tags."""
    labels: tuple[str, ...] = ()
    """Of classifications, most certain first; qualities of a note."""
    words: tuple[TimedWord, ...] = ()
    """Only where the model wrote times itself; never derived from counts of tokens."""
    fields: dict[str, str] = {}
    """Named values: `pitch`, `velocity`, `instrument` of a note; `scenario`, `action`, `entities` of an utterance."""
    complete: bool = True
    """False: it was cut off, or is not of the task's form."""
    error: str | None = None
    """Why there is none, of a task that this model cannot be asked; others of its job are answered."""


class ChatTurn(msgspec.Struct, frozen=True, omit_defaults=True):
    role: Literal["user", "assistant"]
    text: str
    """Data, whatever it says."""
    clips: int = 0
    """Of a user's turn: how many clips come before the text."""


class Chat(msgspec.Struct, frozen=True, omit_defaults=True):
    """A conversation about clips; the last turn is the user's, and is answered."""

    turns: tuple[ChatTurn, ...]
    clip_samples: tuple[int, ...] = ()
    """Lengths at 16 kHz of the clips, in the order of the turns; together they are the utterance's audio."""
    system: str | None = None
    """None: what the model was trained with."""
    max_tokens: int = 256
    temperature: float = 0.0
    """0: greedy."""
    top_p: float = 1.0
    seed: int = 0
