"""What Qwen-Audio and Qwen-Audio-Chat are asked, as the tokens around a clip, and how their answers are read.

All that is asked about a clip stands behind it, and what stands before it is always the same. So the clip is encoded
and read once, and each question goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from inference.pool.interface import SAMPLE_RATE, ChatLimits, StreamSpec
from inference.pool.tasks import CAPTIONING, Answer, Chat, Task
from inference.qwen_audio.config import QwenAudioConfig
from inference.qwen_audio.features import WINDOW_SAMPLES, clip_lengths
from inference.qwen_audio.instructions import Family, chat_instruction, check_supported
from inference.qwen_audio.prompts import (
    SYSTEM,
    AudioSlot,
    ModelTurn,
    Prompt,
    UserTurn,
    chat_prompt,
    task_prompt,
)
from inference.qwen_audio.results import read_answer, read_reply
from inference.qwen_audio.tags import TaskError, text_language, to_tags
from inference.qwen_audio.tokenizer import QwenTokenizer

CONTEXT_TOKENS = 1024
"""Of a question, or of all that was written in a chat."""
TASK_TOKENS = 256
"""Of the answer to a task, at most; the published evaluation of speech allows as many."""
CHAT_TOKENS = 1024
"""Of the answer in a chat, at most."""
_FRAMING = 64
"""Positions for the marks of turns, and the words that the model was trained with."""
_CLIP_POSITIONS = clip_lengths(WINDOW_SAMPLES).span + 16
"""Of 30 s, with its number before it: 768."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A chat, ready to be decoded."""

    prompt: Prompt
    max_new: int


def caption_task(spec: StreamSpec) -> Task:
    return Task(name=spec.task, language=spec.language, target=spec.target, written=spec.written)


class Asker:
    def __init__(self, tokenizer: QwenTokenizer, config: QwenAudioConfig, chats: bool) -> None:
        """`chats`: it is the chat model, which is asked in words within turns; the base model is asked by tags."""
        self.tokenizer = tokenizer
        self.chats = chats
        self.family: Family = "qwen_audio_chat" if chats else "qwen_audio"
        self._positions = config.max_position_embeddings
        self.before, _ = self._around("", chats)
        """What stands before every clip."""
        self.limits = chat_room(config.max_position_embeddings, turns=chats)

    def after(self, task: Task) -> tuple[int, ...]:
        """What follows the clip.

        Raises:
            TaskError: the model cannot be asked this, or the fields of the task do not go together.
        """
        check_supported(task, self.family)
        if self.chats:
            after = self._around(chat_instruction(task), chats=True)[1]
        else:
            after = _ids(task_prompt(to_tags(task), self.tokenizer).parts[1:])
        if len(after) > CONTEXT_TOKENS:
            raise TaskError(f"the question has {len(after)} tokens; at most {CONTEXT_TOKENS} can be asked")
        return after

    def hears_language(self, task: Task) -> bool:
        """Whether the language that is spoken has to be found out first: tags name it, instructions need not."""
        return not self.chats and task.language is None and task.name in CAPTIONING

    def settled(self, task: Task, heard: str | None) -> Task:
        """The task with the language that the model heard. What is said in the target language already is transcribed
        instead of translated."""
        if heard is None or not self.hears_language(task):
            return task
        if task.name == "translate" and (task.target or "en") == heard:
            return Task(name="transcribe", language=heard)
        return msgspec.structs.replace(task, language=heard)

    def written_language(self, task: Task) -> str | None:
        """Of the text that the task is answered with."""
        return text_language(task)

    def conversation(self, chat: Chat, samples: int) -> Conversation:
        """
        Args:
            samples: of the utterance.

        Raises:
            TaskError: the chat is not one, or beyond what `limits` allow.
        """
        check_chat(chat, samples, self.limits, self.chats)
        assert self.limits is not None
        if self.chats:
            turns = [self._turn(turn.role, turn.text, turn.clips) for turn in chat.turns]
            prompt = chat_prompt(turns, self.tokenizer, system=SYSTEM if chat.system is None else chat.system)
            written = sum(len(self.tokenizer.encode_text(text)) for text in _texts(chat))
        else:
            asked = to_tags(Task(name="question", question=chat.turns[0].text))
            prompt = task_prompt(asked, self.tokenizer)
            written = sum(map(len, (part for part in prompt.parts if isinstance(part, tuple))))
        if written > self.limits.context_tokens:
            raise TaskError(f"the chat has {written} tokens of text; at most {self.limits.context_tokens} fit")
        spans = [clip_lengths(count).span for count in chat.clip_samples]
        room = self._positions - prompt.positions(spans)
        if room < 1:
            raise TaskError(f"the chat leaves no room for an answer in the model's {self._positions} positions")
        return Conversation(prompt, min(chat.max_tokens, CHAT_TOKENS, room))

    def read(self, task: Task | None, tokens: Sequence[int], *, ended: bool, duration_s: float) -> Answer:
        """An answer as far as it is written; `task`: None in a chat, whose answers have no form that they could miss.
        `duration_s`: of the longest clip."""
        if task is None or self.chats:
            reply = read_reply(tokens, self.tokenizer, ended=ended, duration_s=duration_s)
            return reply if task is not None else msgspec.structs.replace(reply, complete=ended)
        return read_answer(task, tokens, self.tokenizer, ended=ended, duration_s=duration_s)

    def _around(self, instruction: str, chats: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What stands before a clip, and behind it."""
        if not chats:
            return (), ()
        parts = chat_prompt([UserTurn(instruction, clips=1)], self.tokenizer).parts
        at = parts.index(AudioSlot(0))
        return _ids(parts[:at]), _ids(parts[at + 1 :])

    def _turn(self, role: str, text: str, clips: int) -> UserTurn | ModelTurn:
        return UserTurn(text, clips) if role == "user" else ModelTurn(tuple(self.tokenizer.encode_text(text)))


def chat_room(positions: int, *, turns: bool) -> ChatLimits | None:
    """What fits into a model's positions, the text and the longest answer beside it; None: not one clip.

    Args:
        turns: it is a chat model; else it answers one question about one clip.
    """
    clips = (positions - _FRAMING - CONTEXT_TOKENS - CHAT_TOKENS) // _CLIP_POSITIONS
    if clips < 1:
        return None
    most = clips if turns else 1
    return ChatLimits(audio_s=30.0 * most, clips=most, turns=turns, context_tokens=CONTEXT_TOKENS)


def check_chat(chat: Chat, samples: int, limits: ChatLimits | None, system: bool) -> None:
    """
    Args:
        samples: of the utterance.
        limits: None: the model has no room for any.
        system: the model takes a system message.

    Raises:
        TaskError: the chat is not one, or beyond the limits; its text was not looked at.
    """
    if limits is None:
        raise TaskError("the model has no room for a conversation about a clip")
    if chat.system is not None and not system:
        raise TaskError("this model takes no system message; choose a chat model")
    if not chat.turns or chat.turns[-1].role != "user":
        raise TaskError("the last turn of a chat is the user's: it is what is answered")
    if len(chat.turns) > 1 and not limits.turns:
        raise TaskError(f"this model answers one question, not {len(chat.turns)} turns; choose a chat model")
    if any(turn.clips and turn.role != "user" for turn in chat.turns):
        raise TaskError("clips belong to turns of the user")
    if any(not (turn.clips or turn.text.strip()) for turn in chat.turns):
        raise TaskError("a turn of a chat has a text or a clip")
    clips = sum(turn.clips for turn in chat.turns)
    if min((turn.clips for turn in chat.turns), default=0) < 0 or clips != len(chat.clip_samples):
        raise TaskError(f"the turns speak of {clips} clips, {len(chat.clip_samples)} are given")
    if not 1 <= clips <= limits.clips:
        raise TaskError(f"the chat has {clips} clips; 1 to {limits.clips} can be heard")
    longest = round(limits.clip_s * SAMPLE_RATE)
    if not all(0 < count <= longest for count in chat.clip_samples):
        raise TaskError(f"a clip has 1 to {longest} samples ({limits.clip_s:g} s)")
    if sum(chat.clip_samples) != samples:
        raise TaskError(f"the clips have {sum(chat.clip_samples)} samples, the utterance {samples}")
    if samples > round(limits.audio_s * SAMPLE_RATE):
        raise TaskError(f"the clips of a chat last at most {limits.audio_s:g} s together")
    if chat.max_tokens < 1 or chat.temperature < 0 or not 0 < chat.top_p <= 1:
        raise TaskError("max_tokens is at least 1, temperature at least 0, top_p above 0 and at most 1")


def _texts(chat: Chat) -> list[str]:
    return [*(turn.text for turn in chat.turns), *([] if chat.system is None else [chat.system])]


def _ids(parts: Sequence[object]) -> tuple[int, ...]:
    return tuple(token for part in parts if isinstance(part, tuple) for token in part)
