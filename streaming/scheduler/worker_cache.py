"""The gateway's book of what the worker holds. The worker's state is a cache: this knows where it has holes.

Each open utterance is tagged with the worker generation that has all its audio. Audio that the worker cannot take
(it is being replaced, or too much is on its way to it) is not kept here: the utterance counts as incomplete from
then on, and is sent whole by `resend` before its next job.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from inference.pool.interface import Engine, StreamSpec

_INCOMPLETE = -1  # no worker's generation


@dataclass(slots=True)
class _Entry:
    spec: StreamSpec
    open_in: int
    complete_in: dict[int, int] = field(default_factory=dict)
    """Utterance -> the generation that has all its audio."""


class WorkerCache:
    """Forwards streams and audio to the engine. Calls for streams that are not open do nothing."""

    def __init__(self, engine: Engine, max_outbound_bytes: int) -> None:
        self._engine = engine
        self._max_outbound_bytes = max_outbound_bytes
        self._streams: dict[str, _Entry] = {}

    def open(self, stream: str, spec: StreamSpec) -> None:
        self._streams[stream] = _Entry(spec, self._engine.generation)
        self._engine.open(stream, spec)

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        entry = self._present(stream)
        if entry is None:
            return
        generation = self._engine.generation
        if entry.complete_in.setdefault(utterance, generation) != generation:
            return
        if self._engine.outbound_bytes > self._max_outbound_bytes:
            entry.complete_in[utterance] = _INCOMPLETE
            return
        self._engine.append(stream, utterance, first_sample, pcm)

    def complete(self, stream: str, utterance: int) -> bool:
        """The worker has been sent all the audio of this utterance that was appended."""
        entry = self._present(stream)
        return entry is not None and entry.complete_in.get(utterance) == self._engine.generation

    def resend(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        """`pcm` is all the utterance's audio so far; whatever the worker had of it is forgotten."""
        entry = self._present(stream)
        if entry is None:
            return
        self._engine.discard(stream, utterance)
        self._engine.append(stream, utterance, first_sample, pcm)
        entry.complete_in[utterance] = self._engine.generation

    def distrust(self, stream: str, utterance: int) -> None:
        """A job on it failed: `complete` is False until it was sent again."""
        entry = self._streams.get(stream)
        if entry is not None and utterance in entry.complete_in:
            entry.complete_in[utterance] = _INCOMPLETE

    def discard(self, stream: str, utterance: int) -> None:
        if (entry := self._streams.get(stream)) is not None:
            entry.complete_in.pop(utterance, None)
            self._engine.discard(stream, utterance)

    def close(self, stream: str) -> None:
        if self._streams.pop(stream, None) is not None:
            self._engine.close(stream)

    def _present(self, stream: str) -> _Entry | None:
        """The stream's entry, after the present worker was told of it."""
        entry = self._streams.get(stream)
        if entry is not None and entry.open_in != self._engine.generation:
            self._engine.open(stream, entry.spec)
            entry.open_in = self._engine.generation
        return entry
