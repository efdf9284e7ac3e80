"""Both shells of the client against a scripted server that speaks with the real server's records."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tympan_client import (
    AudioFormat,
    ConnectionLost,
    Event,
    MarkerReached,
    Ready,
    Summary,
    SyncTympanClient,
    TranscriptUpdate,
    TympanClient,
    TympanError,
)
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from streaming.protocol import messages
from streaming.protocol.codec import CODECS, decode_client

TELEPHONE_CLIP = Path(__file__).parents[1] / "data" / "telephone.wav"
ACK_EVERY_SAMPLES = 8000


class ScriptedServer:
    """Acknowledges audio, echoes markers, and writes one word for each second that it got."""

    def __init__(self) -> None:
        self.received: list[messages.ClientMessage | messages.RawAudio] = []
        self.samples = 0
        self.pcm = b""
        self.acknowledging = True

    async def __call__(self, socket: ServerConnection) -> None:
        codec = CODECS[socket.subprotocol or ""]
        seq = 0

        async def say(message: messages.ServerMessage) -> None:
            nonlocal seq
            seq += 1
            message.seq = seq
            data = msgspec.msgpack.encode(message) if codec == "msgpack" else msgspec.json.encode(message).decode()
            await socket.send(data)

        audio = messages.AudioFormat()
        async for payload in socket:
            message = decode_client(codec, payload)
            self.received.append(message)
            match message:
                case messages.Start():
                    audio = message.audio
                    await say(self.ready(message))
                case messages.Audio() | messages.RawAudio():
                    width = {"s16le": 2, "f32le": 4, "mulaw": 1, "alaw": 1}[audio.encoding] * audio.channels
                    self.pcm += message.data
                    before, self.samples = self.samples, self.samples + len(message.data) // width
                    if self.acknowledging and before // ACK_EVERY_SAMPLES < self.samples // ACK_EVERY_SAMPLES:
                        await say(messages.Ack(sample=self.samples // ACK_EVERY_SAMPLES * ACK_EVERY_SAMPLES))
                case messages.Marker():
                    await say(messages.MarkerEcho(id=message.id, sample=self.samples))
                case messages.Stop():
                    seconds = self.samples // audio.sample_rate
                    words = [
                        messages.Word(id=i, text=f"w{i}", start_ms=i, end_ms=i, confidence=1.0, state="final")
                        for i in range(seconds)
                    ]
                    await say(
                        messages.Transcript(utterance=1, channel=0, revision=1, from_word=0, words=words, final=True)
                    )
                    await say(messages.Summary(audio_ms=0, speech_ms=0, utterances=1, words=seconds))
                    return

    def ready(self, start: messages.Start) -> messages.Ready:
        return messages.Ready(
            session="s",
            model=messages.ModelInfo(name="scripted", device="cpu", dtype="float32"),
            audio=start.audio,
            interim=start.interim,
            endpointing=start.endpointing,
            max_message_bytes=20_000,
        )


@asynccontextmanager
async def serving(handler: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    subprotocols = [Subprotocol(name) for name in CODECS]
    async with serve(handler, "127.0.0.1", 0, subprotocols=subprotocols, compression=None) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def stream_async(url: str, source: object, **options: object) -> list[Event]:
    codec = options.pop("codec", "msgpack")
    return [event async for event in TympanClient(url, codec=codec).stream(source, **options)]


async def stream_sync(url: str, source: object, **options: object) -> list[Event]:
    codec = options.pop("codec", "msgpack")
    return await asyncio.to_thread(lambda: list(SyncTympanClient(url, codec=codec).stream(source, **options)))


both = pytest.mark.parametrize("stream", [stream_async, stream_sync])


@both
@pytest.mark.parametrize("codec", ["msgpack", "json"])
async def test_a_stream_sends_everything_and_ends_with_the_summary(stream: Callable, codec: str) -> None:
    server = ScriptedServer()
    pcm = np.arange(48_000, dtype=np.int16)
    async with serving(server) as url:
        events = await stream(url, pcm, codec=codec)
    assert isinstance(events[0], Ready)
    assert isinstance(events[-1], Summary)
    assert server.pcm == pcm.tobytes()
    transcript = next(event for event in events if isinstance(event, TranscriptUpdate))
    assert [word.text for word in transcript.words] == ["w0", "w1", "w2"]


@both
async def test_a_wav_file_declares_its_own_format(stream: Callable) -> None:
    server = ScriptedServer()
    async with serving(server) as url:
        await stream(url, TELEPHONE_CLIP)
    start = server.received[0]
    assert isinstance(start, messages.Start)
    assert start.audio == messages.AudioFormat(encoding="mulaw", sample_rate=8000)
    assert server.samples > 6 * 8000


@both
async def test_an_iterable_may_give_chunks_of_any_length(stream: Callable) -> None:
    server = ScriptedServer()
    async with serving(server) as url:
        await stream(url, iter([b"\1\0", b"", bytes(100_000), np.zeros(3, np.int16)]))
    assert server.pcm == b"\1\0" + bytes(100_006)


async def test_an_async_iterable_is_a_source() -> None:
    async def microphone() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(320)

    server = ScriptedServer()
    async with serving(server) as url:
        await stream_async(url, microphone())
    assert server.samples == 480


@both
async def test_realtime_takes_as_long_as_the_audio(stream: Callable) -> None:
    async with serving(ScriptedServer()) as url:
        begin = asyncio.get_running_loop().time()
        await stream(url, bytes(6400), realtime=True)
        assert asyncio.get_running_loop().time() - begin >= 0.19


@both
async def test_an_error_of_the_source_reaches_the_reader_of_the_events(stream: Callable) -> None:
    def source() -> object:
        yield bytes(3200)
        raise RuntimeError("unplugged")

    async with serving(ScriptedServer()) as url:
        with pytest.raises(RuntimeError, match="unplugged"):
            await stream(url, source())


@both
async def test_bad_audio_is_refused_before_it_is_sent(stream: Callable) -> None:
    async with serving(ScriptedServer()) as url:
        with pytest.raises(TympanError, match="bad_audio"):
            await stream(url, b"\0\0\0")


async def refuse(socket: ServerConnection) -> None:
    await socket.recv()
    refusal = messages.Error(seq=1, code="overloaded", message="full", retryable=True, retry_after_ms=900)
    await socket.send(msgspec.msgpack.encode(refusal))
    await socket.close(1013)


async def break_off(socket: ServerConnection) -> None:
    scripted = ScriptedServer()
    start = decode_client("msgpack", await socket.recv())
    assert isinstance(start, messages.Start)
    await socket.send(msgspec.msgpack.encode(scripted.ready(start)))
    await socket.recv()
    await socket.close(1012, "restart")


@both
async def test_a_refusal_is_raised_with_its_code(stream: Callable) -> None:
    async with serving(refuse) as url:
        with pytest.raises(TympanError) as error:
            await stream(url, bytes(320))
    assert (error.value.code, error.value.retry_after_ms) == ("overloaded", 900)


@both
async def test_a_broken_connection_is_told_from_an_end(stream: Callable) -> None:
    async with serving(break_off) as url:
        with pytest.raises(ConnectionLost, match="1012: restart"):
            await stream(url, bytes(320_000))


@both
async def test_no_server_is_said_with_its_address(stream: Callable) -> None:
    with pytest.raises(TympanError, match=r"no server answers at ws://127\.0\.0\.1:9/v1/stream"):
        await stream("127.0.0.1:9", bytes(320))


async def test_leaving_a_stream_early_closes_the_connection() -> None:
    left = asyncio.Event()

    async def handler(socket: ServerConnection) -> None:
        await ScriptedServer()(socket)
        left.set()

    async with serving(handler) as url:
        events = TympanClient(url).stream(bytes(10_000_000), realtime=True)
        async for event in events:
            assert isinstance(event, Ready)
            break
        await events.aclose()
        await asyncio.wait_for(left.wait(), 5)


async def test_sending_waits_for_acks_and_says_so_when_none_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tympan_client.session.ACK_TIMEOUT_S", 0.05)
    server = ScriptedServer()
    server.acknowledging = False
    async with serving(server) as url, TympanClient(url).connect() as session:
        await session.send(bytes(2 * 16_000 * 29))
        with pytest.raises(TympanError, match="ack_timeout"):
            await session.send(bytes(2 * 16_000 * 2))


async def test_a_session_can_be_steered_while_it_runs() -> None:
    server = ScriptedServer()
    async with (
        serving(server) as url,
        TympanClient(url, interim="off").connect(audio=AudioFormat(channels=2)) as session,
    ):
        assert session.ready.model.name == "scripted"
        await session.send(np.zeros((100, 2), np.int16))
        await session.configure(interim="stable")
        await session.finalize()
        await session.marker("m1")
        await session.stop()
        events = [event async for event in session]
    assert [type(message).__name__ for message in server.received] == [
        "Start", "Audio", "Configure", "Finalize", "Marker", "Stop",
    ]  # fmt: skip
    assert MarkerReached(seq=2, id="m1", sample=100) in events
    assert session.next_sample == 100


async def test_a_blocking_session_can_be_steered_too() -> None:
    server = ScriptedServer()

    def use(url: str) -> list[Event]:
        with SyncTympanClient(url).connect() as session:
            session.send(np.zeros(100, np.int16))
            session.configure(events=False)
            session.finalize()
            session.marker("m1")
            session.stop()
            return list(session)

    async with serving(server) as url:
        events = await asyncio.to_thread(use, url)
    assert MarkerReached(seq=2, id="m1", sample=100) in events
    assert isinstance(events[-1], Summary)


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(TympanError, match="'langauge'"):
        TympanClient(langauge="en")
