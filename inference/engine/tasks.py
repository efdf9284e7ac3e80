"""What the engine keeps of streams and utterances, and a job on its way through a step."""

from __future__ import annotations

from dataclasses import dataclass, field

from inference.pool.interface import BlockScores, Job, StreamSpec
from inference.whisper.decoding import Decoded
from inference.whisper.state import UtteranceState


@dataclass(slots=True)
class Utterance:
    """A cache: all of it can be made again from the PCM."""

    audio: UtteranceState
    language: str | None = None
    draft: tuple[int, ...] = ()
    """The last interim's tokens, and the one that its frontier held back."""
    logprobs: tuple[float, ...] = ()
    starts: tuple[int, ...] = ()
    """Frame at which each token of the draft begins, and where the last one ends."""
    heard: list[BlockScores] = field(default_factory=list)
    """Of all blocks that are kept, oldest first."""


@dataclass(slots=True)
class Stream:
    spec: StreamSpec
    utterances: dict[int, Utterance] = field(default_factory=dict)


@dataclass(slots=True)
class Task:
    """A job on its way through a step."""

    job: Job
    utterance: Utterance
    spec: StreamSpec
    audio: UtteranceState
    prompt: tuple[int, ...] = ()
    language: str | None = None
    decoded: Decoded = field(default_factory=lambda: Decoded([], [], ended=False, looped=False))
    """Empty before the decoder ran."""
    first: tuple[int, ...] | None = None
    """What it was decoded to at first: the draft, should it be decoded again."""
    fallback: bool = False
    """It was decoded again: a guard tripped."""
    no_fourth_repeat: bool = False
    repeats: bool = False
    """It says something four times in a row, and the model is sure of it."""
