"""What a tagger is asked, and what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from inference.tagging.hysteresis import Threshold
from inference.whisper.pooled import PooledBlock
from inference.whisper.state import UtteranceState


@dataclass(frozen=True, slots=True)
class Hearing:
    """A block that is to be scored."""

    audio: UtteranceState
    recent: Sequence[PooledBlock]
    """The newest is the block itself; before it those of its utterance that lead to it, oldest first, as many as the
    tagger's `context_blocks` or fewer."""


class Tagger(Protocol):
    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def context_blocks(self) -> int: ...

    @property
    def thresholds(self) -> Mapping[str, Threshold]:
        """Of the labels for which the usual ones are not right."""

    @property
    def speech_below(self) -> float:
        """Where no block of an utterance scores so much for "Speech", nobody speaks; 0: that is not judged."""

    def hear(self, wanted: Sequence[Hearing]) -> list[tuple[float, ...]]:
        """Scores of each block, 0 to 1 in the order of the labels: the same alone and in any company, to 1e-4."""
