"""livekit-plugins-deepgram: a LiveKit agent's speech to text, without the room around it."""

from __future__ import annotations

import asyncio

import aiohttp
from exchange import RATE, Wanted, answer, wanted
from livekit import rtc
from livekit.agents import stt
from livekit.plugins import deepgram


def speech_to_text(asked: Wanted, session: aiohttp.ClientSession) -> deepgram.STT:
    return deepgram.STT(
        model="nova-3",
        api_key=asked.key,
        base_url=f"http://{asked.host}/v1/listen",
        http_session=session,
        sample_rate=RATE,
    )


def frame(pcm: bytes) -> rtc.AudioFrame:
    return rtc.AudioFrame(data=pcm, sample_rate=RATE, num_channels=1, samples_per_channel=len(pcm) // 2)


async def live(asked: Wanted) -> None:
    async with aiohttp.ClientSession() as session:
        stream = speech_to_text(asked, session).stream()

        async def speak() -> None:
            for piece in asked.pieces():
                stream.push_frame(frame(piece))
                await asyncio.sleep(0)
            stream.end_input()

        speaking = asyncio.create_task(speak())
        finals, kinds = [], []
        async for event in stream:
            kinds.append(event.type)
            if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                finals.append(event.alternatives[0].text)
        await speaking
        await stream.aclose()
    known = stt.SpeechEventType
    answer(
        " ".join(finals),
        start_of_speech=known.START_OF_SPEECH in kinds,
        end_of_speech=known.END_OF_SPEECH in kinds,
        interims=known.INTERIM_TRANSCRIPT in kinds or asked.mode == "unpaced",  # finals go first
    )


async def recorded(asked: Wanted) -> None:
    async with aiohttp.ClientSession() as session:
        event = await speech_to_text(asked, session).recognize(frame(asked.pcm))
    answer(event.alternatives[0].text, words=bool(event.alternatives[0].words))


ASKED = wanted()
match ASKED.mode:
    case "paced" | "unpaced":
        asyncio.run(live(ASKED))
    case "file":
        asyncio.run(recorded(ASKED))
