"""vosk: what `vosk-transcriber --server` does, without the model that its constructor loads for nothing."""

from __future__ import annotations

import argparse
import asyncio
import json
from itertools import pairwise

from exchange import Wanted, answer, wanted
from vosk.transcriber.transcriber import CHUNK_SIZE, Transcriber


class Process:
    """A clip in place of ffmpeg's output."""

    def __init__(self, asked: Wanted) -> None:
        self.stdout = self
        self._data = asked.pcm
        self._pause_s = CHUNK_SIZE / 32_000 if asked.mode == "paced" else 0.0

    async def read(self, size: int) -> bytes:
        await asyncio.sleep(self._pause_s)
        data, self._data = self._data[:size], self._data[size:]
        return data


ASKED = wanted()
TRANSCRIBER = Transcriber.__new__(Transcriber)
TRANSCRIBER.args = argparse.Namespace(server=f"ws://{ASKED.host}/?token={ASKED.key}", output_type="txt")
RESULTS, _ = asyncio.run(TRANSCRIBER.recognize_stream_server(Process(ASKED)))
TEXT = TRANSCRIBER.format_result(RESULTS)
WORDS = [word for result in RESULTS for word in result.get("result", [])]
answer(
    " ".join(TEXT.split()),
    words=[word["word"] for word in WORDS] == TEXT.split(),
    times=all(earlier["start"] <= later["start"] for earlier, later in pairwise(WORDS)),
    json=json.dumps(RESULTS) != "[]",
)
