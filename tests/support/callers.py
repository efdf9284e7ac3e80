"""A client whose connections come and go, message by message: it keeps what it heard and knows what to send again."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.config import StoreSettings
from streaming.protocol.messages import (
    Ack,
    Audio,
    AudioFormat,
    ClientMessage,
    Marker,
    MarkerEcho,
    Ready,
    Resume,
    ServerMessage,
    Stop,
    Summary,
    Transcript,
)
from streaming.session.outbox import is_numbered
from tests.support.live import Client, Live, client_at, live_server, pcm
from tests.support.redis_server import RedisServer
from tests.support.sessions import speech

SENTENCES = speech((0.5, 2.5), (4.0, 5.5), (7.0, 8.2), total_s=9.5)
STEP = 2_000
"""Sample frames in a message."""


def over(server: RedisServer, **settings: Any) -> StoreSettings:
    """Settings of gateways that share this server."""
    return StoreSettings(kind="redis", url=server.url, **settings)


class Caller:
    """Order of calls: `connected` to a gateway; in it `send`, `stop` and whatever `client` can; and again."""

    def __init__(
        self, data: bytes = pcm(SENTENCES), audio: AudioFormat | None = None, *, codec: str = "msgpack", **start: Any
    ) -> None:
        self.audio = audio or AudioFormat()
        self.heard: list[ServerMessage] = []
        """What has a number, over all connections, in order."""
        self.acked = 0
        self.ready: Ready | None = None
        self._data = data
        self._codec = codec
        self._start = start
        self._frame_bytes = {"s16le": 2, "f32le": 4}.get(self.audio.encoding, 1) * self.audio.channels
        self._commands: list[tuple[int, ClientMessage]] = []
        self._sent = 0

    @property
    def length(self) -> int:
        """Sample frames of all it has to say."""
        return len(self._data) // self._frame_bytes

    @property
    def last_seq(self) -> int:
        return self.heard[-1].seq if self.heard else 0

    @property
    def session(self) -> str:
        assert self.ready is not None
        return self.ready.session

    def resume(self, last_seq: int | None = None, token: str | None = None) -> Resume:
        assert self.ready is not None
        assert self.ready.resume_token is not None
        last_seq = self.last_seq if last_seq is None else last_seq
        return Resume(session=self.session, token=token or self.ready.resume_token, last_seq=last_seq)

    @contextlib.asynccontextmanager
    async def connected(self, server: Live | str, **options: Any) -> AsyncIterator[Client]:
        """A connection to a gateway, or a `host:port`, with its `ready`; what was not stored is sent again. `options`:
        the socket's."""
        host = server if isinstance(server, str) else server.host
        async with client_at(host, self._codec, **options) as client:
            again = {"resume": self.resume()} if self.ready is not None else {}
            self.ready = await client.start(audio=self.audio, **again, **self._start)
            until, self._sent = self._sent, self.ready.next_sample
            commands, self._commands = self._commands[self.ready.commands :], self._commands[: self.ready.commands]
            try:
                for place, command in commands:
                    await self.send(client, place)
                    await self.command(client, command)
                await self.send(client, until)
                yield client
            finally:
                self.keep(client)

    async def send(self, client: Client, until: int | None = None) -> None:
        """Audio up to a sample, or all."""
        until = self.length if until is None else until
        for at in range(self._sent, until, STEP):
            end = min(at + STEP, until)
            data = self._data[at * self._frame_bytes : end * self._frame_bytes]
            await client.send(Audio(first_sample=at, data=data))
        self._sent = max(self._sent, until)

    async def paced(self, client: Client, until: int) -> None:
        """The same, and after each half second waits until it is decoded: every interim is there."""
        while self._sent < until:
            await self.send(client, min(until, self._sent + self.audio.sample_rate // 2))
            await self.command(client, Marker(id=str(self._sent)))
            await client.until(MarkerEcho, id=str(self._sent))

    async def command(self, client: Client, command: ClientMessage) -> None:
        self._commands.append((self._sent, command))
        await client.send(command)

    async def stop(self, client: Client) -> int:
        """Sends the rest and reads to the end; the close code."""
        await self.send(client)
        await self.command(client, Stop())
        return await client.rest()

    def keep(self, client: Client) -> None:
        """Takes what a connection has received; `connected` does at its end."""
        self.heard += [message for message in client.received if is_numbered(message)]
        self.acked = max([self.acked, *(ack.sample for ack in client.got(Ack))])
        client.received.clear()

    @property
    def finals(self) -> list[tuple[Any, ...]]:
        return sorted(
            (message.utterance, message.channel, message.text, message.decoded_until_ms,
             *((word.text, word.start_ms, word.end_ms) for word in message.words))
            for message in self.heard
            if isinstance(message, Transcript) and message.final
        )  # fmt: skip

    def check(self) -> None:
        """Each message once and in order, a final for each utterance once, and what was stable stays."""
        numbers = [message.seq for message in self.heard]
        assert numbers == list(range(1, len(numbers) + 1))
        shown: dict[int, list[tuple[int, str, str]]] = {}
        closed = set()
        for message in self.heard:
            if not isinstance(message, Transcript):
                continue
            assert message.utterance not in closed, "nothing is said of an utterance after its final"
            before = shown.get(message.utterance, [])
            assert message.from_word <= len(before)
            words = before[: message.from_word] + [(word.id, word.text, word.state) for word in message.words]
            stable = [word for word in before if word[2] == "stable"]
            if message.final:
                closed.add(message.utterance)
            else:
                assert words[: len(stable)] == stable
            shown[message.utterance] = words


_undisturbed: dict[str, Caller] = {}


async def undisturbed(like: Caller) -> Caller:
    """What the same session hears whose connection holds."""
    key = f"{zlib.crc32(like._data)} {like.audio} {like._start} {like._commands}"
    if key not in _undisturbed:
        _undisturbed[key] = await _converse(like)
    return _undisturbed[key]


async def _converse(like: Caller) -> Caller:
    whole = Caller(like._data, like.audio, codec=like._codec, **like._start)
    async with live_server() as live, whole.connected(live) as client:
        for place, command in like._commands:
            if not isinstance(command, Stop):
                await whole.send(client, place)
                await whole.command(client, command)
        assert await whole.stop(client) == 1000
    whole.check()
    return whole


async def same_as_undisturbed(caller: Caller) -> None:
    """To the word, and to the summary's counts."""
    caller.check()
    whole = await undisturbed(caller)
    assert caller.finals == whole.finals
    assert len(caller.finals) > 0
    ends = []
    for each in (caller, whole):
        (summary,) = [message for message in each.heard if isinstance(message, Summary)]
        ends.append((summary.audio_ms, summary.speech_ms, summary.utterances, summary.words, summary.gaps))
    assert ends[0] == ends[1]


def mulaw(samples: NDArray[np.int16]) -> bytes:
    """Loud where the samples are, else silent."""
    return np.where(samples != 0, 0x80, 0xFF).astype(np.uint8).tobytes()
