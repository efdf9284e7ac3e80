"""What is said of a family of models: what it can do, what it keeps, and what was verified how. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from inference.adapters import memory
from inference.pool.tasks import TaskName

Streaming = Literal["incremental", "windowed", "whole"]
"""incremental: an interim encodes what is new; windowed: a window is encoded again until it is full, and then
never; whole: the whole utterance is encoded for each answer."""
Proof = Literal["real weights", "golden vectors", "structure only"]
"""With published weights; against outputs of the original code for a given checkpoint; with a tiny random checkpoint,
against the generation of the model's own code, so that nothing is known of the accuracy."""


@dataclass(frozen=True, slots=True)
class Evidence:
    proof: Proof
    test: str
    """The file whose tests are the evidence."""
    shows: str


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint that the family is published as, and the part of its configuration that its memory follows from."""

    name: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Memory:
    weights_bytes: int
    stream_bytes: int
    """What stays of one utterance between jobs, its PCM included."""


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    model_type: str
    """As config.json has it."""
    code: Literal["own", "transformers"]
    tasks: tuple[TaskName, ...]
    languages: str
    language_count: int
    """At most: a checkpoint may know fewer."""
    streaming: Streaming
    keeps: str
    """What of an utterance is kept between jobs."""
    times: str
    """Where the words' times come from."""
    batch: str
    """How jobs of one step run."""
    published: tuple[Published, ...]
    evidence: tuple[Evidence, ...]
    parameters: Callable[[Mapping[str, Any]], int]
    stream_values: Callable[[Mapping[str, Any], float], int]
    """Numbers that are kept of an utterance of so many seconds."""

    def memory(self, config: Mapping[str, Any], seconds: float, bytes_per_value: int = 2) -> Memory:
        """For a model of this configuration and one stream whose open utterance has lasted `seconds`.

        `bytes_per_value`: 2 for bfloat16, 4 for float32. Activations of a running step are not counted.
        """
        return Memory(
            self.parameters(config) * bytes_per_value,
            self.stream_values(config, seconds) * bytes_per_value + round(memory.PCM_BYTES_PER_S * seconds),
        )
