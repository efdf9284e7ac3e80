"""A server with one session that outlives its connections, which fail as a script says; it notes what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.typing import Subprotocol

from streaming.protocol import messages
from streaming.protocol.codec import CODECS, Codec, decode_client, encode_server
from tests.support.client_wire import READY, resumed

BLOCK_SAMPLES = 8000
"""After each of them the server stores all it has, acknowledges it, and says a final of one word."""
HttpAnswer = Callable[[ServerConnection, Request], Response | None]


@dataclass
class Connection:
    """What happens on one connection."""

    refusal: messages.Error | None = None
    cut_at: int | None = None
    """The socket is cut when the session has so many samples; those are not stored."""
    silent_at: int | None = None
    """Nothing is read or said any more, and the socket stays open."""
    goaway_at: int | None = None
    cut_on_stop: bool = False
    error_at: int | None = None
    error: messages.Error | None = None


@dataclass
class State:
    pcm: bytes = b""
    position: int = 0
    commands: list[tuple[int, messages.ClientMessage]] = field(default_factory=list)
    """(position, command)"""
    gaps: list[tuple[int, int]] = field(default_factory=list)

    def copy(self) -> State:
        return State(self.pcm, self.position, list(self.commands), list(self.gaps))


class ResumableServer:
    def __init__(self, *script: Connection, deadline_ms: int = 400) -> None:
        """Connections after those of the script do what they should."""
        self.state = State()
        self.starts: list[messages.Start] = []
        self.stored = State()
        self.deadline_ms = deadline_ms
        self.left_in_time = False
        self._script = list(script)
        self._log: list[messages.ServerMessage] = []
        self._said: set[str] = set()
        self._socket: ServerConnection | None = None
        self._codec: Codec = "json"
        self._frame_bytes = 2

    async def __call__(self, socket: ServerConnection) -> None:
        self._socket, self._codec = socket, CODECS[socket.subprotocol or ""]
        plan = self._script.pop(0) if self._script else Connection()
        start = decode_client(self._codec, await socket.recv())
        assert isinstance(start, messages.Start)
        self.starts.append(start)
        self._frame_bytes = 2 * start.audio.channels
        if plan.refusal:
            await self._tell(plan.refusal)
            await socket.close(1013, plan.refusal.code)
            return
        self.state = self.stored.copy()
        if start.resume is None:
            await self._tell(READY)
        else:
            await self._tell(resumed(self.state.position, len(self.state.commands)))
            for message in self._log[start.resume.last_seq :]:
                await self._tell(message)
        async for payload in socket:
            if await self._hear(decode_client(self._codec, payload), plan):
                return

    async def _hear(self, message: messages.ClientMessage | messages.RawAudio, plan: Connection) -> bool:
        """True: this connection is over."""
        assert self._socket is not None
        state = self.state
        match message:
            case messages.Audio() | messages.RawAudio():
                first = message.first_sample if isinstance(message, messages.Audio) else state.position
                before = state.position
                if first > before:
                    state.gaps.append((before, first))
                state.position = max(first, before)
                fresh = message.data[max(0, before - first) * self._frame_bytes :]
                state.pcm += fresh
                state.position += len(fresh) // self._frame_bytes
                return await self._reach(before, plan)
            case messages.Stop() if plan.cut_on_stop:
                self._socket.transport.abort()
                return True
            case messages.Marker():
                state.commands.append((state.position, message))
                await self._say(messages.MarkerEcho(id=message.id, sample=state.position), f"marker {message.id}")
            case messages.Stop():
                state.commands.append((state.position, message))
                self.stored = state.copy()
                await self._say(messages.Summary(audio_ms=0, speech_ms=0, utterances=0, words=0), "summary")
                return True
            case messages.Finalize() | messages.Configure():
                state.commands.append((state.position, message))
        return False

    async def _reach(self, before: int, plan: Connection) -> bool:
        assert self._socket is not None
        position = self.state.position
        if plan.cut_at is not None and position >= plan.cut_at:
            self._socket.transport.abort()
            return True
        if plan.silent_at is not None and position >= plan.silent_at:
            self._socket.transport.pause_reading()
            await self._socket.wait_closed()
            return True
        if plan.error and plan.error_at is not None and position >= plan.error_at:
            await self._tell(plan.error)
            await self._socket.close(1012, plan.error.code)
            return True
        if plan.goaway_at is not None and before < plan.goaway_at <= position:
            await self._tell(messages.GoAway(deadline_ms=self.deadline_ms))
            asyncio.get_running_loop().call_later(self.deadline_ms / 1000, self._deadline, self._socket)
        if position // BLOCK_SAMPLES > before // BLOCK_SAMPLES:
            self.stored = self.state.copy()
            await self._tell(messages.Ack(sample=position, commands=len(self.state.commands)))
            number = position // BLOCK_SAMPLES
            word = messages.Word(id=number, text=f"w{number}", start_ms=0, end_ms=0, confidence=1.0, state="final")
            said = messages.Transcript(utterance=number, channel=0, revision=1, from_word=0, words=[word], final=True)
            await self._say(said, f"final {number}")
        return False

    def _deadline(self, socket: ServerConnection) -> None:
        self.left_in_time = socket is not self._socket

    async def _say(self, message: messages.ServerMessage, key: str) -> None:
        """Into the log, unless it was said before the connection was lost."""
        if key in self._said:
            return
        self._said.add(key)
        self._log.append(message)
        message.seq = len(self._log)
        await self._tell(message)

    async def _tell(self, message: messages.ServerMessage) -> None:
        assert self._socket is not None
        await self._socket.send(encode_server(self._codec, message))


@asynccontextmanager
async def serving(
    handler: Callable[[ServerConnection], Awaitable[None]], answer_http: HttpAnswer | None = None
) -> AsyncIterator[str]:
    """Its `host:port`. `answer_http` may answer requests that are not for the stream."""
    async with serve(
        handler,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol(name) for name in CODECS],
        compression=None,
        close_timeout=0.1,  # a silent connection is not waited for
        process_request=answer_http,
    ) as listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
