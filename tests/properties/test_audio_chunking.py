"""However a client cuts its audio into messages, the same samples are placed at the same positions, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streaming.audio.clock import frame_bytes, input_to_clock
from streaming.audio.timeline import ChannelTimelines
from streaming.protocol.messages import AudioFormat

FRAMES = 3000
FORMATS = [
    AudioFormat(encoding="s16le", sample_rate=16000, channels=2),
    AudioFormat(encoding="mulaw", sample_rate=8000),
    AudioFormat(encoding="alaw", sample_rate=24000),
    AudioFormat(encoding="f32le", sample_rate=44100, channels=2),
    AudioFormat(encoding="s16le", sample_rate=48000),
]
cuts = st.lists(st.integers(0, FRAMES), max_size=12).map(sorted)


def place(audio: AudioFormat, data: bytes, cut_at: list[int]) -> list[NDArray[np.int16]]:
    size = frame_bytes(audio.encoding, audio.channels)
    timelines = ChannelTimelines(audio)
    channels: list[list[NDArray[np.int16]]] = [[] for _ in range(audio.channels)]
    placed = [
        event
        for first, until in zip([0, *cut_at], [*cut_at, FRAMES], strict=True)
        for event in timelines.receive(first, data[first * size : until * size])
    ]
    for event in [*placed, *timelines.flush()]:
        assert event.first_sample == sum(map(len, channels[event.channel]))
        channels[event.channel].append(event.pcm)
    return [np.concatenate(pieces) for pieces in channels]


@pytest.mark.parametrize("audio", FORMATS, ids=lambda audio: f"{audio.encoding}-{audio.sample_rate}")
@given(cut_at=cuts, seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_any_split_gives_the_same_samples(audio: AudioFormat, cut_at: list[int], seed: int) -> None:
    noise = np.random.default_rng(seed)
    if audio.encoding == "f32le":
        data = noise.uniform(-1, 1, FRAMES * audio.channels).astype("<f4").tobytes()
    else:
        data = noise.bytes(FRAMES * frame_bytes(audio.encoding, audio.channels))
    whole, pieces = place(audio, data, []), place(audio, data, cut_at)
    for one, other in zip(whole, pieces, strict=True):
        assert len(one) == input_to_clock(FRAMES, audio.sample_rate)
        assert np.array_equal(one, other)
