"""deepgram-sdk 7: its asynchronous and its synchronous client."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v1.types import ListenV1CloseStream, ListenV1Finalize, ListenV1KeepAlive
from exchange import Wanted, answer, wanted
from websockets.exceptions import InvalidStatus

OPTIONS: dict[str, Any] = {
    "model": "nova-3",
    "encoding": "linear16",
    "sample_rate": "16000",
    "punctuate": "true",
    "interim_results": "true",
    "vad_events": "true",
    "utterance_end_ms": "1000",
    "keyterm": ["Tympan", "Deepgram"],
}


def environment(host: str) -> DeepgramClientEnvironment:
    base, socket = f"http://{host}", f"ws://{host}"
    return DeepgramClientEnvironment(base=base, production=socket, agent=socket, agent_rest=base)


class Heard:
    def __init__(self) -> None:
        self.finals: list[str] = []
        self.kinds: set[str] = set()
        self.interims = self.from_finalize = self.words = 0

    def take(self, message: Any) -> None:
        self.kinds.add(message.type)
        if message.type != "Results":
            return
        best = message.channel.alternatives[0]
        self.from_finalize += bool(message.from_finalize)
        if not message.is_final:
            self.interims += 1
        elif best.transcript:
            self.finals.append(best.transcript)
            self.words += len(best.words)

    def answer(self, **checked: object) -> None:
        answer(" ".join(self.finals), words=self.words > 0, **checked)


async def live(asked: Wanted) -> None:
    client = AsyncDeepgramClient(api_key=asked.key, environment=environment(asked.host))
    heard = Heard()
    async with client.listen.v1.connect(**OPTIONS) as socket:
        socket.on(EventType.MESSAGE, heard.take)
        listening = asyncio.create_task(socket.start_listening())
        await socket.send_keep_alive(ListenV1KeepAlive(type="KeepAlive"))
        for piece in asked.pieces():
            await socket.send_media(piece)
            await asyncio.sleep(0)
        await socket.send_close_stream(ListenV1CloseStream(type="CloseStream"))
        await listening
        code = socket._websocket.close_code
    heard.answer(
        closed_normally=code == 1000,
        interim_results=heard.interims > 0 or asked.mode == "unpaced",  # finals go first
        vad_events="SpeechStarted" in heard.kinds,
        utterance_end="UtteranceEnd" in heard.kinds,
        metadata="Metadata" in heard.kinds,
    )


def synchronous(asked: Wanted) -> None:
    client = DeepgramClient(api_key=asked.key, environment=environment(asked.host))
    heard = Heard()
    with client.listen.v1.connect(**OPTIONS) as socket:
        socket.on(EventType.MESSAGE, heard.take)
        listening = threading.Thread(target=socket.start_listening)
        listening.start()
        for piece in asked.pieces():
            socket.send_media(piece)
        socket.send_finalize(ListenV1Finalize(type="Finalize"))
        socket.send_finalize(ListenV1Finalize(type="Finalize"))
        socket.send_close_stream(ListenV1CloseStream(type="CloseStream"))
        listening.join()
    heard.answer(finalize_twice=heard.from_finalize == 2)


def recorded(asked: Wanted) -> None:
    client = DeepgramClient(api_key=asked.key, environment=environment(asked.host))
    told = client.listen.v1.media.transcribe_file(
        request=asked.wav, model="nova-3", punctuate=True, utterances=True, smart_format=True
    )
    best = told.results.channels[0].alternatives[0]
    answer(
        best.transcript,
        words=len(best.words) > 0,
        utterances=len(told.results.utterances) > 0,
        duration=told.metadata.duration > 1,
    )


def refused(asked: Wanted) -> None:
    client = DeepgramClient(api_key="nobody-has-such-a-key", environment=environment(asked.host))
    try:
        with client.listen.v1.connect(**OPTIONS):
            status = 101
    except ApiError as error:
        status = error.status_code
    except InvalidStatus as error:  # from websockets itself, where its version is newer than the SDK's names
        status = error.response.status_code
    answer("", unauthorized=status == 401)


ASKED = wanted()
match ASKED.mode:
    case "paced" | "unpaced":
        asyncio.run(live(ASKED))
    case "sync":
        synchronous(ASKED)
    case "file":
        recorded(ASKED)
    case "refused":
        refused(ASKED)
