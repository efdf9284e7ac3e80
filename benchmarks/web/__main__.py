"""`python -m benchmarks.web [--run] [--minutes M]`: the captions page in a real browser; writes docs/captions-page.md.

`--run` opens the page some times and listens for a minute (about three minutes in all); `--minutes M` listens for so
long and looks at memory and frames. The service and the browser share the machine; the fake microphone plays the
bundled clips one after the other, over and over. Without either the document is written from what is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.clips import MODEL_RATE, load_clip, read_manifest
from benchmarks.circumstances import circumstances
from benchmarks.page import ROOT, Page
from benchmarks.web.browser import chromium, fake_microphone, launched, write_voice
from benchmarks.web.measure import endurance, first_loads, missed, steadiness
from benchmarks.web.table import long_table, page_table
from streaming.cli.demo import serving
from streaming.cli.errors import UserError

RUNS = 5
LISTEN_S = 60.0
PAUSE_S = 1.2
CLIPS = ("demo.flac", "prose.flac", "numbers.flac", "pause.flac", "question.flac")

DOCUMENT = Page(
    ROOT / "docs" / "captions-page.md",
    ROOT / "benchmarks" / "web" / "results",
    {"page": ("The page", page_table), "long": ("A long session", long_table)},
    {},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0; 1 where a bound was missed; 2 after one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web", description="Measures the captions page.")
    parser.add_argument("--run", action="store_true", help="measure the page: about three minutes")
    parser.add_argument("--minutes", type=float, default=0.0, help="measure a session of so many minutes")
    options = parser.parse_args(arguments)
    command = chromium()
    if command is None and (options.run or options.minutes):
        print("benchmarks.web: no Chromium is installed: apt-get install chromium", file=sys.stderr)
        return 2
    wrong: list[str] = []
    try:
        if command is not None and options.run:
            wrong += _keep("page", asyncio.run(measure(command)))
        if command is not None and options.minutes:
            wrong += _keep("long", asyncio.run(measure(command, options.minutes)))
    except UserError as error:
        print(f"benchmarks.web: {error}", file=sys.stderr)
        return 2
    DOCUMENT.write()
    for name in wrong:
        print(f"benchmarks.web: out of its bound: {name}", file=sys.stderr)
    return 1 if wrong else 0


def _keep(name: str, result: dict[str, Any]) -> list[str]:
    DOCUMENT.keep(name, result)
    return missed(result)


async def measure(command: str, minutes: float = 0.0) -> dict[str, Any]:
    """A service and a browser of its own; of the page, or of a session of so many minutes."""
    result = circumstances()
    with tempfile.TemporaryDirectory() as folder:
        voice = Path(folder) / "voice.wav"
        await asyncio.to_thread(_write_voice, voice)
        with serving(0) as url:
            async with launched(command, *fake_microphone(voice)) as browser:
                result["browser"] = browser.version
                if minutes:
                    return result | await endurance(browser, url, minutes)
                return result | await first_loads(browser, url, RUNS) | await steadiness(browser, url, LISTEN_S)


def _write_voice(file: Path) -> None:
    """The bundled clips with pauses between them, 16 kHz."""
    rows = {row.file.name: row for row in read_manifest(ROOT / "tests" / "data" / "manifest.tsv")}
    pause = np.zeros(round(PAUSE_S * MODEL_RATE), np.int16)
    parts = [part for name in CLIPS for part in (load_clip(rows[name]).samples, pause)]
    write_voice(file, np.concatenate(parts), MODEL_RATE, 0)


if __name__ == "__main__":
    sys.exit(main())
