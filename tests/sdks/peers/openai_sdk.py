"""openai: realtime transcription, GA and beta, and files."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import openai
from exchange import Wanted, answer, wanted
from openai import AsyncOpenAI, OpenAI

TEXT = "conversation.item.input_audio_transcription"
FORMAT = {"type": "audio/pcm", "rate": 16_000}
MODEL = {"model": "gpt-4o-transcribe", "language": "en"}


async def append(asked: Wanted, socket: Any) -> None:
    for piece in asked.pieces():
        await socket.input_audio_buffer.append(audio=base64.b64encode(piece).decode())
        await asyncio.sleep(0)


async def listen(socket: Any, silent_s: float) -> tuple[list[str], list[str], dict[str, str]]:
    """Until nothing is said for a while: transcripts, kinds of events, deltas of each item."""
    transcripts, kinds, deltas = [], [], {}
    try:
        while True:
            event = await asyncio.wait_for(socket.recv(), silent_s)
            kinds.append(event.type)
            if event.type == f"{TEXT}.delta":
                deltas[event.item_id] = deltas.get(event.item_id, "") + (event.delta or "")
            if event.type == f"{TEXT}.completed":
                transcripts.append(event.transcript)
                assert deltas.get(event.item_id, "") == event.transcript, "deltas add up"
    except TimeoutError:
        return transcripts, kinds, deltas


async def realtime(asked: Wanted) -> None:
    """GA, turns by server VAD."""
    client = AsyncOpenAI(api_key=asked.key, base_url=f"http://{asked.host}/v1")
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as socket:
        hello = await socket.recv()
        await socket.session.update(
            session={"type": "transcription", "audio": {"input": {"format": FORMAT, "transcription": MODEL}}}  # type: ignore[arg-type]
        )
        listening = asyncio.create_task(listen(socket, 15))
        await append(asked, socket)
        transcripts, kinds, _ = await listening
    order = [kind for kind in kinds if kind.startswith("input_audio_buffer.")]
    answer(
        " ".join(transcripts),
        hello=hello.type == "session.created",
        updated="session.updated" in kinds,
        order=order[:3] == [f"input_audio_buffer.{name}" for name in ("speech_started", "speech_stopped", "committed")],
        items="conversation.item.added" in kinds and "conversation.item.done" in kinds,
        no_errors="error" not in kinds,
    )


async def manual(asked: Wanted) -> None:
    client = AsyncOpenAI(api_key=asked.key, base_url=f"http://{asked.host}/v1")
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as socket:
        sound = {"format": FORMAT, "transcription": MODEL, "turn_detection": None}
        await socket.session.update(session={"type": "transcription", "audio": {"input": sound}})  # type: ignore[arg-type]
        await append(asked, socket)
        await socket.input_audio_buffer.commit()
        transcripts, kinds, _ = await listen(socket, 15)
    answer(" ".join(transcripts), one_item=len(transcripts) == 1, no_errors="error" not in kinds)


async def beta(asked: Wanted) -> None:
    client = AsyncOpenAI(
        api_key=asked.key, base_url=f"http://{asked.host}/v1", websocket_base_url=f"ws://{asked.host}/v1"
    )
    async with client.beta.realtime.connect(
        model="gpt-4o-transcribe", extra_query={"intent": "transcription"}
    ) as socket:
        hello = await socket.recv()
        await socket.transcription_session.update(
            session={"input_audio_format": "g711_ulaw", "input_audio_transcription": MODEL}  # type: ignore[typeddict-item]
        )
        told = await socket.recv()
    answer(
        "",
        hello=hello.type == "transcription_session.created",
        updated=told.type == "transcription_session.updated",
        format=told.session.input_audio_format == "g711_ulaw",
    )


def files(asked: Wanted) -> None:
    client = OpenAI(api_key=asked.key, base_url=f"http://{asked.host}/v1")
    create = client.audio.transcriptions.create
    clip = ("clip.wav", asked.wav)
    brief = create(model="whisper-1", file=clip)
    verbose = create(
        model="whisper-1", file=clip, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    streamed = list(create(model="gpt-4o-transcribe", file=clip, stream=True))
    deltas = "".join(event.delta for event in streamed if event.type == "transcript.text.delta")
    answer(
        brief.text,
        verbose=verbose.text == brief.text and bool(verbose.words) and bool(verbose.segments),
        stream=deltas == brief.text and streamed[-1].type == "transcript.text.done",
        plain=create(model="whisper-1", file=clip, response_format="text").strip() == brief.text,  # type: ignore[attr-defined]
        srt="-->" in create(model="whisper-1", file=clip, response_format="srt"),
        vtt=create(model="whisper-1", file=clip, response_format="vtt").startswith("WEBVTT"),  # type: ignore[attr-defined]
    )


def refused(asked: Wanted) -> None:
    client = OpenAI(api_key="nobody-has-such-a-key", base_url=f"http://{asked.host}/v1")
    try:
        client.audio.transcriptions.create(model="whisper-1", file=("clip.wav", asked.wav))
        code = None
    except openai.AuthenticationError as error:
        code = error.code
    answer("", unauthorized=code == "invalid_api_key")


ASKED = wanted()
match ASKED.mode:
    case "paced" | "unpaced":
        asyncio.run(realtime(ASKED))
    case "manual":
        asyncio.run(manual(ASKED))
    case "beta":
        asyncio.run(beta(ASKED))
    case "file":
        files(ASKED)
    case "refused":
        refused(ASKED)
