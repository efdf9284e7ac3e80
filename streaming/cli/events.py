"""`tympan events FILE...`: what is heard in audio files beside words, as a live stream of them would be told.

Exit code 0: every file was heard. 1: some were not (stderr has one sentence for each). 2: none was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tympan_client import Event, SessionOptions, SoundEvent, Summary, TympanError

from streaming.cli.backend import Backend, add_engine_flags, engine_config, open_backend
from streaming.cli.errors import UserError
from streaming.cli.media import MediaFile


@dataclass
class Heard:
    """One file's sounds, collected. Feed all events to `receive`."""

    name: str
    scores: dict[str, float] = field(default_factory=dict)
    """How sure the tagger was of each label at most, surest first."""
    audio_ms: int = 0
    _events: list[dict[str, Any]] = field(default_factory=list)
    _open: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)

    def receive(self, event: Event) -> None:
        match event:
            case SoundEvent():
                self._receive_sound(event)
            case Summary():
                self.audio_ms = event.audio_ms
                for sound in event.sounds:
                    label, score = str(sound["label"]), float(sound["score"])
                    self.scores[label] = max(score, self.scores.get(label, 0.0))

    def _receive_sound(self, event: SoundEvent) -> None:
        key = (f"{event.source} {event.label}", event.channel)
        unnamed = self._open.get(("tones tone", event.channel))
        if event.source == "tones" and event.label != "tone" and unnamed and unnamed["start_ms"] == event.start_ms:
            self._events.remove(self._open.pop(("tones tone", event.channel)))  # it has a name now
        sound = self._open.pop(key, None) if event.phase in ("update", "end") else None
        if sound is None:
            sound = {"label": event.label, "source": event.source, "channel": event.channel, "start_ms": event.start_ms}
            self._events.append(sound)
        sound |= {"end_ms": event.end_ms, "score": event.score}
        if event.phase in ("start", "update"):
            self._open[key] = sound

    def events(self) -> list[dict[str, Any]]:
        """Each sound once, in the order of their begins."""
        return sorted(self._events, key=lambda sound: (sound["start_ms"], sound["label"]))

    def as_dict(self) -> dict[str, Any]:
        return {"file": self.name, "audio_ms": self.audio_ms, "scores": self.scores, "events": self.events()}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "events", help="what is heard in audio files beside words", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="any audio or video file")
    parser.add_argument("--json", action="store_true", help="one JSON object for each file, one to a line")
    add_engine_flags(parser, "--device")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Raises UserError where nothing can be done at all."""
    return asyncio.run(hear_files(args, Console(stderr=True, highlight=False)))


async def hear_files(args: argparse.Namespace, errors: Console) -> int:
    done = 0
    async with open_backend(args.server, engine_config(args)) as backend:
        for path in args.files:
            try:
                heard = await hear_file(path, backend)
            except (UserError, TympanError) as error:
                errors.print(f"tympan events: {path}: {error}", markup=False, soft_wrap=True)
                continue
            done += 1
            if args.json:
                sys.stdout.write(json.dumps(heard.as_dict(), ensure_ascii=False) + "\n")
            else:
                show(heard, Console())
    return 0 if done == len(args.files) else 1 if done else 2


async def hear_file(path: Path, backend: Backend) -> Heard:
    """Raises UserError where it cannot be read, TympanError where the session fails."""
    media = MediaFile.open(path, "mix")
    heard = Heard(str(path))

    async def chunks() -> Any:
        pieces = media.chunks()
        while (chunk := await asyncio.to_thread(lambda: next(pieces, None))) is not None:
            yield chunk

    options = SessionOptions(audio=media.audio, interim="off")
    async with aclosing(backend.stream(chunks(), options)) as events:
        async for event in events:
            heard.receive(event)
    return heard


def show(heard: Heard, console: Console) -> None:
    """The scores in one line, then a table of what was heard when."""
    console.print(heard.name, style="bold", markup=False)
    surest = list(heard.scores.items())[:5]
    console.print(
        "  " + (", ".join(f"{label} {score:.2f}" for label, score in surest) or "nothing but words"), markup=False
    )
    if not heard.events():
        return
    table = Table(box=None, padding=(0, 2))
    for title in ("from", "to", "what", "score", "heard by"):
        table.add_column(title, justify="right" if title in ("from", "to", "score") else "left")
    for sound in heard.events():
        table.add_row(*_row(sound))
    console.print(table)


def _row(sound: dict[str, Any]) -> Sequence[str]:
    end, score = sound["end_ms"], sound["score"]
    return (
        f"{sound['start_ms'] / 1000:.2f}",
        "" if end is None else f"{end / 1000:.2f}",
        sound["label"],
        "" if score is None else f"{score:.2f}",
        sound["source"],
    )
