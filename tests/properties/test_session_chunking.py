"""Chunking never matters: whatever messages carry the same samples, the session does the same."""

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.protocol.messages import (
    Ack,
    Audio,
    AudioFormat,
    Call,
    CallOptions,
    Event,
    Speech,
    Start,
    Stop,
    Transcript,
)
from streaming.session.effects import Effect, Send, StoreAudio, Submit
from streaming.session.snapshot import decode, encode
from tests.support.sessions import ENDPOINTING, Driver, make_core, scripted_words, speech
from tests.support.tones import key, pcm

TOTAL_S = 6.0


def outcome(start: Start, samples: bytes, frame_bytes: int, cuts: list[int]) -> list[Effect]:
    """What a session does that depends on samples alone; jobs are not answered, so that nothing else plays in."""
    driver = Driver(make_core(start))
    frames = len(samples) // frame_bytes
    edges = [0, *sorted(cut % frames for cut in cuts), frames]
    for first, until in itertools.pairwise(edges):
        driver.give(Audio(first_sample=first, data=samples[first * frame_bytes : until * frame_bytes]))
    driver.give(Stop())
    kinds = (Speech, Event, Ack, Call)
    return [
        whatever_was_read(effect) if isinstance(effect, StoreAudio) else effect
        for effect in driver.effects
        if isinstance(effect, Submit | StoreAudio) or (isinstance(effect, Send) and isinstance(effect.message, kinds))
    ]


def whatever_was_read(block: StoreAudio) -> StoreAudio:
    """Without what the client had read by then: it reads between two messages."""
    state = msgspec.structs.replace(decode(block.state), last_seq=0, unsaid=[])
    return msgspec.structs.replace(block, last_seq=0, state=encode(state))


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (16_000, 2), (8_000, 2), (44_100, 1), (48_000, 2)])
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 2**20), max_size=12), begin=st.floats(0.2, 2.0), pause=st.floats(0.3, 1.2))
def test_any_split_of_the_same_samples_does_the_same(
    rate: int, channels: int, cuts: list[int], begin: float, pause: float
) -> None:
    """Speech, keys and call events, jobs, stored audio, snapshots and acks are equal, and in the same order."""
    one = speech((begin, begin + 1.0), (begin + 1.0 + pause, 4.5), total_s=TOTAL_S, rate=rate)
    for second in (begin - 0.1, begin + 1.02, 4.6, 5.0, 5.4):  # keys, of which some end as speech begins or is over
        press = pcm(key("5", 80, rate=rate))
        one[round(second * rate) :][: len(press)] = press
    voices = [one, np.roll(one, rate // 3)][:channels]
    samples = np.stack(voices, axis=1).astype("<i2").tobytes()
    audio = AudioFormat(sample_rate=rate, channels=channels)  # type: ignore[arg-type]
    call = CallOptions(dead_air_ms=500, talk_over_ms=300, interruption_ms=2000)
    start = Start(audio=audio, endpointing=ENDPOINTING, call=call, redact=["card"])
    whole = outcome(start, samples, 2 * channels, [])
    assert any(isinstance(effect, Submit) for effect in whole)
    assert outcome(start, samples, 2 * channels, cuts) == whole


@pytest.mark.parametrize("near_s", [0.5, 2.0])
def test_keys_stand_in_the_order_of_the_clock(near_s: float) -> None:
    """However a key falls beside speech that begins or is over: messages of 10 ms do what one message does."""
    order = set()
    for shift in range(-100, 500, 10):
        samples = speech((0.5, 2.0), total_s=3.0)
        press = pcm(key("5", 80))
        samples[round((near_s + shift / 1000) * 16_000) :][: len(press)] = press
        whole = outcome(Start(endpointing=ENDPOINTING), samples.tobytes(), 2, [])
        assert outcome(Start(endpointing=ENDPOINTING), samples.tobytes(), 2, [*range(160, 48_000, 160)]) == whole
        order.add(tuple(type(effect.message).__name__ for effect in whole if isinstance(effect, Send)))
    assert len(order) > 1


@settings(max_examples=25, deadline=None)
@given(answered=st.lists(st.booleans(), min_size=40, max_size=40))
def test_finals_do_not_depend_on_which_interims_were_answered(answered: list[bool]) -> None:
    """Load decides which interims run; the finals' words and the jobs that made them stay as they are."""

    def finals(answers: list[bool]) -> list[tuple[object, ...]]:
        driver = Driver(make_core())
        samples = speech((0.5, 2.4), (3.4, 5.0), total_s=TOTAL_S)
        driver.give(Audio(first_sample=0, data=samples.tobytes()), Stop())
        for job, run in zip(driver.jobs, answers, strict=False):
            if run or job.kind == "final":
                driver.reply(job, *scripted_words(job))
        return [
            (message.utterance, message.text, message.decoded_until_ms)
            for message in driver.sent(Transcript)
            if message.final
        ]

    assert finals(answered) == finals([True] * 40)
