"""What a transcription came to, and the forms it is written in: text, JSON, SRT, WebVTT. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tympan_client import (
    Analysis,
    CallSummary,
    Event,
    Gap,
    Ready,
    SoundEvent,
    Speech,
    Summary,
    Transcript,
    TranscriptUpdate,
    Utterance,
)
from tympan_client.events import Ack, ErrorEvent

from streaming.cli.tasks import answer_line
from streaming.transcript.captions import Spoken, srt, webvtt

Format = Literal["txt", "json", "srt", "vtt"]
SUFFIXES: dict[Format, str] = {"txt": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}


@dataclass
class Transcription:
    """One file's events, collected. Feed them all to `receive`."""

    name: str
    labels: Sequence[str | None] = (None,)
    """One per channel; None: the channel is not named."""
    sample_rate: int = 16_000
    transcript: Transcript = field(default_factory=Transcript)
    sounds: list[SoundEvent] = field(default_factory=list)
    analyses: list[Analysis] = field(default_factory=list)
    call: CallSummary | None = None
    gaps: list[Gap] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    model: str = ""
    audio_ms: int = 0
    _acknowledged_ms: int = 0
    _decoded_ms: dict[int, int] = field(default_factory=dict)

    def receive(self, event: Event) -> None:
        match event:
            case Ready():
                self.model = event.model.name
            case Ack():
                self._acknowledged_ms = event.sample * 1000 // self.sample_rate
            case Speech(state="started"):
                self._decoded_ms[event.utterance] = event.at_ms
            case TranscriptUpdate():
                self.transcript.apply(event)
                self._decoded_ms[event.utterance] = event.decoded_until_ms
                if event.final:
                    del self._decoded_ms[event.utterance]
            case SoundEvent(phase="end" | "instant"):
                self.sounds.append(event)
            case Analysis():
                self.analyses.append(event)
            case CallSummary():
                self.call = event
            case Gap():
                self.gaps.append(event)
            case ErrorEvent():
                self.warnings.append(event.message)
            case Summary():
                self.audio_ms = self._acknowledged_ms = event.audio_ms
                self._decoded_ms.clear()

    @property
    def position_ms(self) -> int:
        """Everything before this is done: transcribed, or heard to be silent."""
        return min([self._acknowledged_ms, *self._decoded_ms.values()])

    @property
    def finals(self) -> list[Utterance]:
        """Those with words, by the time at which they begin."""
        spoken = [utterance for utterance in self.transcript.finals if utterance.words]
        return sorted(spoken, key=lambda utterance: utterance.words[0].start_ms)

    def label(self, utterance: Utterance) -> str | None:
        return self.labels[utterance.channel] if utterance.channel < len(self.labels) else None

    def render(self, form: Format) -> str:
        match form:
            case "txt":
                return "".join(f"{line}\n" for line in self._lines())
            case "json":
                return json.dumps(self.as_dict(), ensure_ascii=False, indent=2) + "\n"
            case "srt":
                return srt(self._spoken())
            case "vtt":
                return webvtt(self._spoken())

    def render_line(self) -> str:
        """JSON without line breaks."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def as_dict(self) -> dict[str, Any]:
        about_call = {} if self.call is None else {"call": dict(self.call.call)}
        return {
            "file": self.name,
            "model": self.model,
            "audio_ms": self.audio_ms,
            "utterances": [self._utterance(utterance) for utterance in self.finals],
            "sounds": [
                {"label": s.label, "channel": s.channel, "start_ms": s.start_ms, "end_ms": s.end_ms, "score": s.score}
                for s in self.sounds
            ],
            "analyses": [
                {
                    "utterance": one.utterance,
                    "channel": one.channel,
                    "task": one.task,
                    "start_ms": one.start_ms,
                    "end_ms": one.end_ms,
                    "text": one.text,
                    "labels": list(one.labels),
                    "words": [asdict(word) for word in one.words],
                    "fields": dict(one.fields),
                    "complete": one.complete,
                    "error": one.error,
                }
                for one in self.analyses
            ],
            "gaps": [
                {
                    "from_ms": gap.from_sample * 1000 // self.sample_rate,
                    "to_ms": gap.to_sample * 1000 // self.sample_rate,
                    "reason": gap.reason,
                    "channel": gap.channel,
                }
                for gap in self.gaps
            ],
            **about_call,
        }

    def _utterance(self, utterance: Utterance) -> dict[str, Any]:
        return {
            "id": utterance.id,
            "channel": utterance.channel,
            "label": self.label(utterance),
            "language": utterance.language,
            "start_ms": utterance.words[0].start_ms,
            "end_ms": utterance.words[-1].end_ms,
            "text": utterance.text,
            "words": [
                {
                    "text": word.text,
                    "start_ms": word.start_ms,
                    "end_ms": word.end_ms,
                    "confidence": round(word.confidence, 4),
                }
                for word in utterance.words
            ],
        }

    def _lines(self) -> list[str]:
        """Each utterance's words, and below them what else was asked about it."""
        placed = [(utterance.words[0].start_ms, utterance.id, 0, self._line(utterance)) for utterance in self.finals]
        begins = {utterance: start_ms for start_ms, utterance, _, _ in placed}
        for one in self.analyses:
            place = (begins.get(one.utterance, one.start_ms), one.utterance, 1 + one.index, f"  {answer_line(one)}")
            placed.append(place)
        return [line for _, _, _, line in sorted(placed)]

    def _line(self, utterance: Utterance) -> str:
        label = self.label(utterance)
        return f"{label}: {utterance.text}" if label else utterance.text

    def _spoken(self) -> list[Spoken]:
        return [Spoken(utterance.words, self.label(utterance)) for utterance in self.finals]
