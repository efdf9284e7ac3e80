"""wyoming: what Home Assistant's speech-to-text does with its client, one connection for each clip."""

from __future__ import annotations

import asyncio

from exchange import RATE, answer, wanted
from wyoming.asr import Transcribe, Transcript, TranscriptChunk
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.info import Describe, Info

FORMAT = (RATE, 2, 1)
ASKED = wanted()


async def described() -> bool:
    async with AsyncClient.from_uri(f"tcp://{ASKED.host}") as client:
        await client.write_event(Describe().event())
        event = await client.read_event()
        return event is not None and [model.languages for model in Info.from_event(event).asr[0].models] == [["en"]]


async def heard() -> tuple[str, list[str]]:
    """The transcript, and the pieces that went ahead of it."""
    async with AsyncClient.from_uri(f"tcp://{ASKED.host}") as client:
        reading = asyncio.create_task(read(client))
        await client.write_event(Transcribe(language="en").event())
        await client.write_event(AudioStart(*FORMAT).event())
        for piece in ASKED.pieces():
            await client.write_event(AudioChunk(*FORMAT, piece).event())
        await client.write_event(AudioStop().event())
        return await reading


async def read(client: AsyncClient) -> tuple[str, list[str]]:
    pieces = []
    while (event := await client.read_event()) is not None:
        if TranscriptChunk.is_type(event.type):
            pieces.append(TranscriptChunk.from_event(event).text)
        if Transcript.is_type(event.type):
            return Transcript.from_event(event).text, pieces
    return "", pieces


INFO = asyncio.run(described())
TEXT, PIECES = asyncio.run(heard())
answer(TEXT, info=INFO, pieces="".join(PIECES) == TEXT)
