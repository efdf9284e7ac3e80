"""However a client of any dialect cuts its audio into messages, it hears the same."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.protocol.dialects.deepgram.live import DeepgramLive
from tests.support.dialects import Talk, handshake, speech

AGENT, CUSTOMER = speech((0.4, 1.6), (3.1, 4.0), total_s=5.0), speech((0.9, 2.2), total_s=5.0)
MONO = AGENT.astype("<i2").tobytes()
STEREO = np.stack([AGENT, CUSTOMER], axis=1).astype("<i2").tobytes()
ALL = "interim_results=true&vad_events=true&utterance_end_ms=1000&punctuate=true&audio_events=true"

cuts = st.lists(st.integers(101, 30_001), min_size=1, max_size=12)
"""Bytes of each message, over and over: samples are torn as well."""


def deepgram(query: str, data: bytes, sizes: list[int], finalize_at: int) -> list[dict[str, Any]]:
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
    return talk.json


@pytest.mark.parametrize("channels", [1, 2])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sizes=cuts, finalize_at=st.integers(0, 20).map(lambda n: n * 8000))
def test_deepgram(channels: int, sizes: list[int], finalize_at: int) -> None:
    data = STEREO if channels == 2 else MONO
    query = f"encoding=linear16&sample_rate=16000&channels={channels}&multichannel=true&{ALL}"
    assert deepgram(query, data, sizes, finalize_at) == deepgram(query, data, [3200], finalize_at)
