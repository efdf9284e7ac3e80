"""A service for the pages' tests: the real pages under the real policy, and sessions that say what it tells them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from streaming.app import SecurityHeaders, listen
from streaming.protocol import messages
from streaming.protocol.codec import decode_client, encode_server
from streaming.protocol.messages import AudioFormat, Call, Event, ServerMessage, Speech, Transcript, Word
from streaming.protocol.watching import Watching, encode_viewer
from streaming.transport.pages import page_routes
from tests.support.browser import PICTURES, Tab
from tests.support.client_wire import READY, resumed

SUBPROTOCOL = "tympan.v1.json"
WORD_MS = 320
CALL = AudioFormat(channels=2, labels=["agent", "customer"])


class Stage:
    def __init__(self, url: str = "") -> None:
        self.url = url
        self.audio = AudioFormat()
        self.refusal: messages.Error | None = None
        """What a client is answered that begins a session."""
        self.away = False
        """Nobody is let in."""
        self.listed: Any = {"sessions": [], "live": 0}
        """What `/v1/sessions` answers; a text is a refusal."""
        self.samples = 0
        """Heard of the client's session."""
        self._more = asyncio.Event()
        self._logs: dict[str, list[ServerMessage]] = {READY.session: []}
        self._audio: dict[str, AudioFormat] = {}
        self._streams: set[WebSocket] = set()
        self._viewers: dict[WebSocket, str] = {}

    def session(self, name: str, audio: AudioFormat, *said: ServerMessage) -> None:
        """Another one, for viewers."""
        self._audio[name] = audio
        self._logs[name] = []
        for message in said:
            self._number(name, message)

    async def say(self, *said: ServerMessage, session: str = READY.session) -> None:
        """To the client and to those who watch."""
        listening = [socket for socket, name in self._viewers.items() if name == session]
        if session == READY.session:
            listening += self._streams
        for message in said:
            self._number(session, message)
            for socket in listening:
                await socket.send_text(str(encode_server("json", message)))

    async def cut(self, *, away: bool = False) -> None:
        """The client's connection is gone."""
        self.away = away
        for socket in list(self._streams):
            await socket.close(1012)

    async def heard(self, seconds: float) -> None:
        """Returns when the client has sent so much."""
        while self.samples < seconds * self.audio.sample_rate:
            self._more.clear()
            await self._more.wait()

    @property
    def streaming(self) -> int:
        return len(self._streams)

    def clear(self) -> None:
        """As if it had been started anew, at the same place."""
        Stage.__init__(self, self.url)

    def _number(self, session: str, message: ServerMessage) -> None:
        log = self._logs[session]
        log.append(message)
        message.seq = len(log)

    async def stream(self, socket: WebSocket) -> None:
        if self.away:
            await socket.close()
            return
        await socket.accept(SUBPROTOCOL)
        start = decode_client("json", await socket.receive_text())
        assert isinstance(start, messages.Start)
        if self.refusal is not None:
            await socket.send_text(str(encode_server("json", self.refusal)))
            await socket.close(1013)
            return
        self.audio = start.audio
        self._streams.add(socket)
        ready = resumed(self.samples, 0) if start.resume else READY
        await socket.send_text(str(encode_server("json", msgspec.structs.replace(ready, audio=start.audio))))
        try:
            await self._hear(socket)
        except WebSocketDisconnect:
            pass
        finally:
            self._streams.discard(socket)

    async def _hear(self, socket: WebSocket) -> None:
        of_this_test = self._logs
        while True:
            event = await socket.receive()
            if event["type"] == "websocket.disconnect" or self._logs is not of_this_test:
                return
            message = decode_client("json", event.get("bytes") or event.get("text"))
            match message:
                case messages.RawAudio():
                    self.samples += len(message.data) // (2 * self.audio.channels)
                    self._more.set()
                    await socket.send_text(str(encode_server("json", messages.Ack(sample=self.samples))))
                case messages.Audio():
                    self.samples = message.first_sample + len(message.data) // (2 * self.audio.channels)
                case messages.Stop():
                    heard_ms = self.samples // 16
                    await self.say(messages.Summary(audio_ms=heard_ms, speech_ms=heard_ms, utterances=0, words=0))
                    await socket.close(1000)
                    return

    async def watch(self, socket: WebSocket) -> None:
        session = socket.path_params["session"]
        await socket.accept(SUBPROTOCOL)
        log = self._logs.get(session)
        if log is None:
            error = messages.Error(code="no_session", message="there is no such session, or it has expired")
            await socket.send_text(str(encode_server("json", error)))
            await socket.close(4404)
            return
        done = any(isinstance(message, messages.Summary) for message in log)
        audio = self._audio.get(session, self.audio)
        watching = Watching(session=session, audio=audio, tasks=[], interim="stable", last_seq=len(log), done=done)
        await socket.send_text(str(encode_viewer("json", watching)))
        for message in log:
            await socket.send_text(str(encode_server("json", message)))
        self._viewers[socket] = session
        with contextlib.suppress(WebSocketDisconnect):
            while (await socket.receive())["type"] != "websocket.disconnect":
                pass
        self._viewers.pop(socket, None)

    async def list(self, request: Request) -> Response:
        return PlainTextResponse(self.listed, 403) if isinstance(self.listed, str) else JSONResponse(self.listed)

    async def empty(self, request: Request) -> Response:
        return HTMLResponse("<!doctype html><title>Somebody's page</title><link rel=icon href=page/icon.svg>")

    async def readyz(self, request: Request) -> Response:
        return JSONResponse({"status": "ready", "model": "tiny.en", "device": "cpu", "dtype": "int8"})


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    stage = Stage()
    routes = [
        WebSocketRoute("/v1/stream", stage.stream),
        WebSocketRoute("/v1/sessions/{session}/watch", stage.watch),
        Route("/v1/sessions", stage.list),
        Route("/readyz", stage.readyz),
        Route("/empty", stage.empty),
        *page_routes(),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(SecurityHeaders)])
    listener = listen("127.0.0.1", 0)
    server = _Server(uvicorn.Config(app, ws="websockets-sansio", lifespan="off", log_config=None, access_log=False))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    stage.url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    try:
        yield stage
    finally:
        server.should_exit = True
        await running


def words(text: str, start_ms: int, *, state: str, first: int = 0, each_ms: int = WORD_MS) -> list[Word]:
    """One after another."""
    return [
        Word(
            id=start_ms * 100 + at,
            text=word,
            start_ms=start_ms + at * each_ms,
            end_ms=start_ms + (at + 1) * each_ms - 20,
            confidence=0.9,
            state=state,
        )
        for at, word in enumerate(text.split(), first)
    ]


def said(utterance: int, text: str, start_ms: int, channel: int = 0, each_ms: int = WORD_MS) -> Transcript:
    """A final."""
    return Transcript(
        utterance=utterance, channel=channel, revision=99, from_word=0, final=True, text=text, language="en",
        words=words(text, start_ms, state="final", each_ms=each_ms),
    )  # fmt: skip


def being_said(
    utterance: int, stable: str, tentative: str, start_ms: int, channel: int = 0, until_ms: int = 0
) -> Transcript:
    """An interim: all of its words. `until_ms`: where its audio ends."""
    settled = words(stable, start_ms, state="stable")
    open_words = words(tentative, start_ms, state="tentative", first=len(settled))
    return Transcript(
        utterance=utterance, channel=channel, revision=len(settled) + len(open_words), from_word=0,
        words=[*settled, *open_words], language="en", decoded_until_ms=until_ms,
    )  # fmt: skip


def speech(utterance: int, state: str, at_ms: int, channel: int = 0) -> Speech:
    return Speech(channel=channel, state=state, utterance=utterance, at_ms=at_ms)


def story(heard_ms: int = 0) -> list[ServerMessage]:
    """What demo.flac says, as far as it has come after 13 seconds."""
    return [
        speech(1, "started", 100),
        said(1, "Hello, and welcome to this demonstration. Every word you hear is on its way to becoming a caption.", 0,
             each_ms=290),
        speech(1, "ended", 5_500),
        speech(2, "started", 5_900),
        being_said(2, "At first, a word", "is only", 5_900),
        Event(label="Tick-tock", channel=0, start_ms=6_700, score=0.8, phase="start"),
        Event(label="Tick-tock", channel=0, start_ms=6_700, end_ms=8_300, score=0.8, phase="end"),
        said(2, "At first, a word is only a guess, and it is shown in a lighter tone.", 5_900, each_ms=215),
        speech(2, "ended", 9_150),
        Event(label="Rain", channel=0, start_ms=9_300, score=0.7, phase="start"),
        speech(3, "started", 9_800),
        being_said(3, "A moment later it settles, and", "it stays. The", 9_800, until_ms=heard_ms),
    ]  # fmt: skip


def call_story() -> list[ServerMessage]:
    """What call.flac says, as far as it has come after 13 seconds, with some talk-over that is not in it."""
    return [
        said(1, "Good morning, this is the help desk. How can I help you?", 0, 0, 260),
        speech(2, "started", 3_500, 1),
        being_said(2, "Hello, my internet", "connection", 3_500, 1),
        Call(kind="keyword", channel=1, start_ms=4_700, end_ms=5_760, keyword="internet connection", utterance=2),
        said(2, "Hello, my internet connection stopped working last night.", 3_500, 1, 400),
        speech(2, "ended", 7_500, 1),
        speech(3, "started", 7_700),
        being_said(3, "I am sorry to hear that. Is the light on the box", "green", 7_700),
        speech(4, "started", 9_900, 1),
        being_said(4, "It is", "red", 9_900, 1),
        Call(kind="talk_over", start_ms=9_900, phase="start"),
        said(3, "I am sorry to hear that. Is the light on the box green or red?", 7_700, 0, 230),
        speech(3, "ended", 11_200),
        Call(kind="talk_over", start_ms=9_900, end_ms=11_200, phase="end"),
        being_said(4, "It is red, and I have already", "restarted it", 9_900, 1, until_ms=12_900),
    ]


async def started(stage: Stage, page: Tab, heard_s: float = 0.0) -> None:
    """The microphone is on; in pictures its sound has been heard for so long."""
    await page.page.click("#start")
    await page.state("live")
    if PICTURES:
        await stage.heard(heard_s)
