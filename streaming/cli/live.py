"""Live captions on a terminal, without the terminal: what is known, and how it looks. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich.console import Group
from rich.text import Text
from tympan_client import (
    Analysis,
    Event,
    Load,
    Ready,
    Reconnected,
    Reconnecting,
    SoundEvent,
    Transcript,
    TranscriptUpdate,
    Utterance,
)
from tympan_client.events import ErrorEvent

from streaming.cli.tasks import answer_line

FLOOR_DB = -60.0
METER_CELLS = 20
KEPT_FINALS = 200


def level_db(pcm: bytes) -> float:
    """Root mean square of s16le samples in dB below full scale; FLOOR_DB for silence and for nothing."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    power = float(np.mean(samples**2)) / 32768**2 if len(samples) else 0.0
    return max(FLOOR_DB, 10 * math.log10(power)) if power > 0 else FLOOR_DB


class LiveCaptions:
    """The newest finals, what is being said now, and how the line is doing."""

    def __init__(self, source: str) -> None:
        self.transcript = Transcript(keep=KEPT_FINALS)
        self.level: float | None = FLOOR_DB
        """None: there is no meter."""
        self.labels: Sequence[str] = ()
        """Of the channels; written before what is said in them."""
        self.latency_ms = 0
        self._source = source
        self._model = ""
        self._notice = ""

    def receive(self, event: Event) -> list[Text]:
        """What is settled now and can scroll away above the live part."""
        match event:
            case Ready():
                self._model = f"{event.model.name} on {event.model.device}"
            case TranscriptUpdate():
                utterance = self.transcript.apply(event)
                self.latency_ms = event.lag_ms
                if event.final and utterance.words:
                    return [Text(f"{prefix(self.labels, utterance)}{utterance.text}")]
            case Analysis():
                return [Text(f"  {answer_line(event)}", style="cyan")]
            case SoundEvent():
                self._notice = "" if event.phase == "end" else f"({event.label})"
            case Load():
                self._notice = "" if event.level == "normal" else f"the server is busy: {event.level.replace('_', ' ')}"
            case Reconnecting():
                self._notice = "reconnecting …"
            case Reconnected():
                self._notice = f"{event.lost_s:.0f} s of sound are lost" if event.lost_s else ""
            case ErrorEvent():
                self._notice = event.message
        return []

    def render(self) -> Group:
        """The open utterances (stable bright, tentative dim), then one line about the state."""
        return Group(*(self._open(utterance) for utterance in self.transcript.open if utterance.words), self._status())

    def _open(self, utterance: Utterance) -> Text:
        text = Text(f"{prefix(self.labels, utterance)}{utterance.stable_text}", style="bold")
        separator = " " if utterance.stable_text and utterance.tentative_text else ""
        return text.append(f"{separator}{utterance.tentative_text}", style="dim italic")

    def _status(self) -> Text:
        parts = [self._source, self._model, f"{self.latency_ms} ms behind", self._notice]
        return self._meter().append(" \u00b7 ".join(part for part in parts if part), style="dim")

    def _meter(self) -> Text:
        if self.level is None:
            return Text()
        filled = round((self.level - FLOOR_DB) / -FLOOR_DB * METER_CELLS)
        return Text("\u25ae" * filled, style="green").append("\u25af" * (METER_CELLS - filled) + "  ", style="dim")


class PlainCaptions:
    """The same for a pipe or a file: words are written once they are stable, a line for each utterance.

    Where a final corrects what is already written, it is written again as a whole after "=> ". Of two utterances that
    are open at once (two channels), the second one comes with its final, on a line of its own.
    """

    def __init__(self) -> None:
        self.labels: Sequence[str] = ()
        self._transcript = Transcript(keep=KEPT_FINALS)
        self._line: int | None = None
        """The utterance that has the line, of which `_written` is there."""
        self._written = ""
        self._waiting: list[str] = []

    def receive(self, event: Event) -> str:
        """What to write now."""
        if isinstance(event, Analysis):
            line = f"  {answer_line(event)}\n"
            if self._line is None:
                return line
            self._waiting.append(line)
            return ""
        if not isinstance(event, TranscriptUpdate):
            return ""
        utterance = self._transcript.apply(event)
        if self._line not in (None, utterance.id):
            if event.final and utterance.words:
                self._waiting.append(f"{prefix(self.labels, utterance)}{utterance.text}\n")
            return ""
        settled = utterance.stable_text
        grown = settled.startswith(self._written)
        text = settled[len(self._written) :] if grown else f"\n=> {settled}"
        if settled and not self._written:
            text = prefix(self.labels, utterance) + text
        self._line, self._written = (utterance.id, settled) if settled else (None, "")
        if event.final:
            text += "\n" if self._line is not None else ""
            text += "".join(self._waiting)
            self._line, self._written, self._waiting = None, "", []
        return text


def prefix(labels: Sequence[str], utterance: Utterance) -> str:
    """Whose words come, as "agent: "."""
    return f"{labels[utterance.channel]}: " if utterance.channel < len(labels) else ""
