"""Processor time per message: 100 ms of audio on its way in, an interim and a whole utterance (its begin, its end and a
final of ten words) on their way out.

The best of REPEATS runs, since everything else on the machine only ever adds. In: bytes of the WebSocket message to the
session's record, samples untouched. Out: the session's record to the payload.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence

import msgspec

from benchmarks.circumstances import circumstances
from streaming.protocol.codec import Codec
from streaming.protocol.dialect import Dialect, Handshake, Payload
from streaming.protocol.dialects.assemblyai import AssemblyAI
from streaming.protocol.dialects.deepgram.live import DeepgramLive
from streaming.protocol.dialects.openai.realtime import OpenAIRealtime
from streaming.protocol.dialects.vosk import Vosk
from streaming.protocol.dialects.whisperlive import WhisperLive
from streaming.protocol.messages import (
    Audio,
    AudioFormat,
    Endpointing,
    ModelInfo,
    Ready,
    ServerMessage,
    Speech,
    Start,
    Transcript,
    Word,
)
from streaming.protocol.native import NativeProtocol

AUDIO_MS = 100
WORDS = 10
MESSAGES = 2000
REPEATS = 7
READY = Ready(
    session="s",
    model=ModelInfo(name="tiny.en", device="cpu", dtype="int8"),
    audio=AudioFormat(),
    interim="stable",
    endpointing=Endpointing(),
    max_message_bytes=1 << 20,
)


def native(codec: Codec) -> tuple[Dialect, Callable[[int], Payload]]:
    protocol = NativeProtocol(0.0, codec)
    encode = msgspec.msgpack.encode if codec == "msgpack" else lambda message: msgspec.json.encode(message).decode()
    protocol.receive(encode(Start()), 0.0)
    pcm = _pcm(16_000)
    if codec == "json":
        return protocol, lambda place: pcm
    return protocol, lambda place: encode(Audio(first_sample=place * len(pcm) // 2, data=pcm))


def deepgram() -> tuple[Dialect, Callable[[int], Payload]]:
    query = (("encoding", "linear16"), ("sample_rate", "16000"), ("interim_results", "true"), ("punctuate", "true"))
    pcm = _pcm(16_000)
    return DeepgramLive(Handshake(path="/v1/listen", query=query)), lambda place: pcm


def openai() -> tuple[Dialect, Callable[[int], Payload]]:
    message = json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(_pcm(24_000)).decode()})
    return OpenAIRealtime(Handshake(path="/v1/realtime")), lambda place: message


def assemblyai() -> tuple[Dialect, Callable[[int], Payload]]:
    pcm = _pcm(16_000)
    query = (("sample_rate", "16000"), ("format_turns", "true"))
    return AssemblyAI(Handshake(path="/v3/ws", query=query)), lambda place: pcm


def vosk() -> tuple[Dialect, Callable[[int], Payload]]:
    dialect, pcm = Vosk(Handshake(path="/")), _pcm(16_000)
    dialect.receive('{"config":{"sample_rate":16000}}', 0.0)
    return dialect, lambda place: pcm


def whisperlive() -> tuple[Dialect, Callable[[int], Payload]]:
    dialect, samples = WhisperLive(Handshake(path="/")), _pcm(32_000)
    dialect.receive('{"uid":"a","language":"en"}', 0.0)
    return dialect, lambda place: samples


FORMATS = {
    "native, msgpack": lambda: native("msgpack"),
    "native, JSON": lambda: native("json"),
    "Deepgram": deepgram,
    "OpenAI realtime": openai,
    "AssemblyAI": assemblyai,
    "vosk-server": vosk,
    "WhisperLive": whisperlive,
}


def cost_table() -> str:
    """As Markdown, with its heading."""
    rows = "".join(_row(name) for name in FORMATS)
    made = circumstances()
    return f"""
## What a message costs

Processor time in the gateway, without the socket and the session: for {AUDIO_MS} ms of audio on its way in, and
on their way out for an interim of {WORDS} words, and for an utterance: its begin, its end, and a final of
{WORDS} words. JSON has a price, and base64 more: it makes OpenAI's audio a third larger, its 24 kHz half as
large again, and all of it is read twice. Beside a model none of it counts; a gateway of hundreds of streams
does notice. `python -m benchmarks.dialects` measures it.

| wire format | audio in, µs | bytes | interim out, µs | utterance out, µs |
|---|---|---|---|---|
{rows}
vosk's reply to the audio is in the first figure, and the SHA-256 of Deepgram's `Metadata`.
{made["machine"]["processor"]}, Python {made["versions"]["python"]}; the best of {REPEATS} runs of {MESSAGES} messages.
"""


def _row(name: str) -> str:
    _, payload = FORMATS[name]()
    incoming = min(_incoming(name) for _ in range(REPEATS))
    interim = min(_interims(name) for _ in range(REPEATS))
    final = min(_finals(name) for _ in range(REPEATS))
    return f"| {name} | {incoming:.1f} | {len(payload(0))} | {interim:.1f} | {final:.1f} |\n"


def _incoming(name: str) -> float:
    """µs"""
    dialect, payload = FORMATS[name]()
    payloads = [payload(place) for place in range(MESSAGES)]
    begin = time.process_time()
    for one in payloads:
        dialect.receive(one, 0.0)
    return (time.process_time() - begin) / MESSAGES * 1e6


def _interims(name: str) -> float:
    """µs"""
    dialect = _begun(name)
    dialect.say(Speech(channel=0, state="started", utterance=1, at_ms=0))
    return _said(dialect, [[_transcript(1, final=False)]] * MESSAGES)


def _finals(name: str) -> float:
    """µs"""
    return _said(_begun(name), utterances())


def utterances() -> list[list[ServerMessage]]:
    """What is said of MESSAGES utterances."""
    return [
        [
            Speech(channel=0, state="started", utterance=place, at_ms=place * 1000),
            Speech(channel=0, state="ended", utterance=place, at_ms=place * 1000 + 1000, rule="silence"),
            _transcript(place, final=True),
        ]
        for place in range(MESSAGES)
    ]


def _begun(name: str) -> Dialect:
    dialect, payload = FORMATS[name]()
    dialect.receive(payload(0), 0.0)
    dialect.say(READY)
    return dialect


def _said(dialect: Dialect, groups: Sequence[Sequence[ServerMessage]]) -> float:
    begin = time.process_time()
    for group in groups:
        for message in group:
            dialect.say(message)
    return (time.process_time() - begin) / len(groups) * 1e6


def _transcript(utterance: int, *, final: bool) -> Transcript:
    at_ms = utterance * 1000
    words = [
        Word(
            id=number,
            text="captioning",
            start_ms=at_ms + 90 * number,
            end_ms=at_ms + 90 * number + 80,
            confidence=0.9,
            state="final" if final else "stable",
        )
        for number in range(WORDS)
    ]
    return Transcript(
        utterance=utterance,
        channel=0,
        revision=1,
        from_word=0,
        words=words,
        final=final,
        text=" ".join(["captioning"] * WORDS) if final else None,
        decoded_until_ms=at_ms + 1000,
    )


def _pcm(rate: int) -> bytes:
    size = rate * AUDIO_MS // 1000 * 2
    return (bytes(range(256)) * (size // 256 + 1))[:size]
