"""Asks an exported model about clips, the way inference does: its loader, its prompts, its decoding, its reading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from inference.pool.tasks import Task
from inference.qwen_audio.checkpoint import load_model
from inference.qwen_audio.features import clip_mel
from inference.qwen_audio.generate import Decoding, generate
from inference.qwen_audio.model import QwenAudio
from inference.qwen_audio.results import read_answer
from inference.qwen_audio.tags import encode, to_tags
from inference.qwen_audio.tokenizer import QwenTokenizer, load_tokenizer
from training.qwen_audio.audio import read_clip

MAX_NEW = 96
_CLIPS = 32  # asked about together


class Asker:
    """One exported model."""

    def __init__(self, folder: Path, tags: bool) -> None:
        """
        Args:
            tags: whether it was trained with them; else the answer follows the audio, whatever is asked.

        Raises:
            CheckpointError, ConfigError, TokenizerError: the folder does not hold a model.
        """
        self._model: QwenAudio = load_model(folder)
        self._tokenizer: QwenTokenizer = load_tokenizer(folder)
        self._tags = tags

    @torch.inference_mode()
    def ask(
        self, clips: Sequence[str], tasks: Sequence[Task], done: Callable[[int], None] = lambda count: None
    ) -> dict[tuple[str, Task], str]:
        """The text of each clip's answer to each task, greedily decoded.

        Args:
            done: hears of each number of clips that are answered.

        Raises:
            ManifestError: a clip cannot be read.
        """
        answers: dict[tuple[str, Task], str] = {}
        for at in range(0, len(clips), _CLIPS):
            part = clips[at : at + _CLIPS]
            answers |= self._ask(part, tasks)
            done(len(part))
        return answers

    def _ask(self, clips: Sequence[str], tasks: Sequence[Task]) -> dict[tuple[str, Task], str]:
        bins = self._model.config.audio.n_mels
        heard = self._model.encode_audio([clip_mel(read_clip(clip), bins) for clip in clips])
        decoding = Decoding(stop_ids=frozenset(self._tokenizer.specials.ends), max_new=MAX_NEW)
        if not self._tags:
            found = generate(self._model, [[clip] for clip in heard], decoding)
            return {
                (clip, task): self._read(task, ids) for clip, ids in zip(clips, found, strict=True) for task in tasks
            }
        suffixes = [torch.tensor(encode(to_tags(task), self._tokenizer)) for task in tasks]
        found = generate(self._model, [[clip, suffix] for clip in heard for suffix in suffixes], decoding)
        asked = [(clip, task) for clip in clips for task in tasks]
        return {(clip, task): self._read(task, ids) for (clip, task), ids in zip(asked, found, strict=True)}

    def _read(self, task: Task, ids: Sequence[int]) -> str:
        return read_answer(task, ids, self._tokenizer, ended=True).text
