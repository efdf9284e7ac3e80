"""What a session can ask for. None means: as the server decides (docs/protocol.md has its defaults)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tympan_client.errors import TympanError

Encoding = Literal["s16le", "f32le", "mulaw", "alaw"]
InterimPolicy = Literal["stable", "append_only", "off"]
Codec = Literal["msgpack", "json"]

SAMPLE_RATES = (8000, 16000, 24000, 44100, 48000)
BYTES_PER_SAMPLE: dict[Encoding, int] = {"s16le": 2, "f32le": 4, "mulaw": 1, "alaw": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFormat:
    encoding: Encoding = "s16le"
    sample_rate: int = 16_000
    """One of SAMPLE_RATES."""
    channels: int = 1
    """1, or 2 interleaved; each channel is transcribed by itself."""
    labels: tuple[str, ...] | None = None
    """One name per channel, for example ("agent", "customer")."""

    @property
    def bytes_per_frame(self) -> int:
        """Bytes of one sample of every channel."""
        return BYTES_PER_SAMPLE[self.encoding] * self.channels


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpointing:
    detector: Literal["cascade", "silero", "webrtc"] | None = None
    threshold: float | None = None
    min_speech_ms: int | None = None
    min_silence_ms: int | None = None
    """Trailing silence that ends an utterance."""
    max_utterance_ms: int | None = None
    no_speech_ms: int | None = None
    pre_roll_ms: int | None = None
    pad_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    audio: AudioFormat = AudioFormat()
    language: str | None = None
    task: Literal["transcribe", "translate"] | None = None
    interim: InterimPolicy | None = None
    endpointing: Endpointing | None = None
    events: bool | None = None

    def start_message(self) -> dict[str, Any]:
        task = {"name": self.task, "language": self.language}
        return without_none(
            {
                "type": "start",
                "audio": without_none(dataclasses.asdict(self.audio)),
                "task": without_none(task) or None,
                "interim": self.interim,
                "endpointing": settings(self.endpointing),
                "events": self.events,
            }
        )


def merge_options(options: SessionOptions, changes: Mapping[str, Any]) -> SessionOptions:
    """`options` with some fields changed.

    Raises:
        TympanError: `bad_use` for a name that is no option.
    """
    known = {field.name for field in dataclasses.fields(SessionOptions)}
    if unknown := sorted(set(changes) - known):
        raise TympanError("bad_use", f"unknown option {unknown[0]!r}; known are {', '.join(sorted(known))}")
    return dataclasses.replace(options, **changes)


def settings(endpointing: Endpointing | None) -> dict[str, Any] | None:
    return None if endpointing is None else without_none(dataclasses.asdict(endpointing))


def without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
