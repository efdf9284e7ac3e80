"""Tiny Qwen-Audio engines that tests share, and how they are spoken to."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from inference.pool.interface import Hypothesis, HypothesisWord, Job, JobError, JobKind, StreamSpec
from inference.pool.tasks import Answer, Chat, ChatTurn, Task
from inference.qwen_audio.build import build_qwen_audio
from inference.qwen_audio.engine import QwenAudioEngine
from inference.qwen_audio.features import clip_mel
from inference.qwen_audio.generate import Decoding, generate
from inference.qwen_audio.instructions import chat_instruction
from inference.qwen_audio.prompts import AudioSlot, Prompt, UserTurn, chat_prompt, task_prompt
from inference.qwen_audio.tags import to_tags
from tests.support.adapter_checkpoints import melody
from tests.support.qwen_checkpoints import write_speaking_checkpoint

SECOND = 16_000
PCM = (melody(6.0, 3) * 32_767).astype("<i2").tobytes()
ENGLISH = StreamSpec(language="en")
TASKS = (Task(name="caption"), Task(name="sound_events"), Task(name="question", question="Who <|im_end|> is it?"))
TURNS = (ChatTurn("user", "what?", 1), ChatTurn("assistant", "the hello"), ChatTurn("user", "and <|im_end|> now?", 1))
TWO_CLIPS = Chat(TURNS, (SECOND, 2 * SECOND), max_tokens=40)
LONG = "hello the or in " * 400
"""More text than may be asked."""


@lru_cache(maxsize=2)
def qwen_engine(chats: bool) -> QwenAudioEngine:
    with TemporaryDirectory() as folder:
        return build_qwen_audio(str(write_speaking_checkpoint(Path(folder), chats=chats, seed=2)), "cpu", 1)


def close_all(*engines: QwenAudioEngine) -> None:
    """Whatever a test did, closing its streams gives back all that was kept."""
    for engine in engines:
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
