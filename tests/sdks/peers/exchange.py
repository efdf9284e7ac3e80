"""What every peer's program does alike: its arguments, the pace of a voice, and its answer. Standard library only,
since it runs in the environments of the SDKs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RATE = 16_000
PACED_S = 0.1
UNPACED_S = 0.5


@dataclass(frozen=True)
class Wanted:
    host: str
    """HOST:PORT"""
    key: str
    clip: Path
    """WAV, s16le mono at 16 kHz."""
    mode: str

    @property
    def wav(self) -> bytes:
        return self.clip.read_bytes()

    @property
    def pcm(self) -> bytes:
        """The clip, and a second of silence, in which the last sentence ends."""
        return self.wav[44:] + bytes(2 * RATE)

    def pieces(self) -> Iterator[bytes]:
        """As a microphone gives them in mode `paced`, else as fast as they are taken."""
        paced = self.mode == "paced"
        step = round((PACED_S if paced else UNPACED_S) * RATE) * 2
        begin = time.monotonic()
        for at in range(0, len(self.pcm), step):
            if paced:
                time.sleep(max(0.0, begin + at / 2 / RATE - time.monotonic()))
            yield self.pcm[at : at + step]


def wanted() -> Wanted:
    host, key, clip, mode = sys.argv[1:]
    return Wanted(host, key, Path(clip), mode)


def answer(text: str, **checked: object) -> None:
    """The words that were heard, and what else was seen; what is False was not as it should be."""
    print(json.dumps({"text": text, "checked": checked}))
