"""However a client of any dialect cuts its audio into messages, it hears the same."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.protocol.dialects.assemblyai import AssemblyAI
from streaming.protocol.dialects.deepgram.live import DeepgramLive
from streaming.protocol.dialects.openai.realtime import OpenAIRealtime
from streaming.protocol.dialects.vosk import Vosk
from streaming.protocol.dialects.whisperlive import WhisperLive
from tests.support.dialects import Talk, handshake, speech

AGENT, CUSTOMER = speech((0.4, 1.6), (3.1, 4.0), total_s=5.0), speech((0.9, 2.2), total_s=5.0)
MONO = AGENT.astype("<i2").tobytes()
STEREO = np.stack([AGENT, CUSTOMER], axis=1).astype("<i2").tobytes()
PCM_16 = {"type": "audio/pcm", "rate": 16000}
ALL = "interim_results=true&vad_events=true&utterance_end_ms=1000&punctuate=true&audio_events=true"

cuts = st.lists(st.integers(101, 30_001), min_size=1, max_size=12)
"""Bytes of each message, over and over: samples are torn as well."""


def deepgram(query: str, data: bytes, sizes: list[int], finalize_at: int) -> list[list[dict[str, Any]]]:
    """What is said of each channel; which of two is heard of first is up to the engine's pace."""
    talk = Talk(DeepgramLive(handshake("/v1/listen", query)), at_once=True)
    at, turn = 0, 0
    while at < len(data):
        end = min(at + sizes[turn % len(sizes)], len(data))
        if at < finalize_at < end:
            end = finalize_at
        talk.send(data[at:end])
        at, turn = end, turn + 1
        if at == finalize_at:
            talk.send({"type": "Finalize"})
    talk.send({"type": "CloseStream"})
    heard: list[list[dict[str, Any]]] = [[], []]
    for message in talk.json:
        place = message["channel_index"] if message["type"] == "Results" else message.get("channel", [0])
        heard[place[0] if isinstance(place, list) else 0].append(message)
    return heard


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    cut, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        cut.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return cut


def openai(sizes: list[int]) -> list[dict[str, Any]]:
    """When stable words come is up to the engine's pace: each item's deltas together."""
    talk = Talk(OpenAIRealtime(handshake()), at_once=True)
    talk.send({"type": "session.update", "session": {"audio": {"input": {"format": PCM_16}}}})
    for piece in pieces(MONO, sizes):
        talk.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(piece).decode()})
    heard: list[dict[str, Any]] = []
    deltas: dict[str, str] = {}
    for event in talk.json:
        del event["event_id"]
        if event["type"].endswith(".delta"):
            deltas[event["item_id"]] = deltas.get(event["item_id"], "") + event["delta"]
        else:
            heard.append(event)
    return [*heard, deltas]


def assemblyai(sizes: list[int]) -> list[dict[str, Any]]:
    talk = Talk(AssemblyAI(handshake("/v3/ws", "sample_rate=16000&format_turns=true")), at_once=True)
    talk.send(*pieces(MONO, sizes), {"type": "Terminate"})
    return talk.json


def whisperlive(sizes: list[int]) -> list[dict[str, Any]]:
    talk = Talk(WhisperLive(handshake()), at_once=True)
    talk.send({"uid": "u", "language": "en", "audio_format": "int16"}, *pieces(MONO, sizes), b"END_OF_AUDIO")
    return talk.json


def vosk(sizes: list[int]) -> list[dict[str, Any]]:
    """Which reply has which words is up to the pieces: all results together."""
    talk = Talk(Vosk(handshake()), at_once=True)
    talk.send({"config": {"sample_rate": 16000}}, *pieces(MONO, sizes), {"eof": 1})
    assert len(talk.heard) == len(pieces(MONO, sizes)) + 1
    return [word for one in talk.json for word in one.get("result", [])]


@pytest.mark.parametrize("dialect", [openai, assemblyai, whisperlive, vosk])
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sizes=cuts)
def test_the_others(dialect: Callable[[list[int]], list[dict[str, Any]]], sizes: list[int]) -> None:
    assert dialect(sizes) == dialect([3200])


@pytest.mark.parametrize("channels", [1, 2])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sizes=cuts, finalize_at=st.integers(0, 20).map(lambda n: n * 8000))
def test_deepgram(channels: int, sizes: list[int], finalize_at: int) -> None:
    data = STEREO if channels == 2 else MONO
    query = f"encoding=linear16&sample_rate=16000&channels={channels}&multichannel=true&{ALL}"
    assert deepgram(query, data, sizes, finalize_at) == deepgram(query, data, [3200], finalize_at)
