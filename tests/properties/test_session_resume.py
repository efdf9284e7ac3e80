"""However often a session is lost, and whatever was said or stored by then, its client has what it would have had."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streaming.protocol.messages import (
    Analysis,
    AudioFormat,
    ClientMessage,
    Configure,
    Event,
    Finalize,
    Gap,
    InterimPolicy,
    Marker,
    MarkerEcho,
    Speech,
    Start,
    Stop,
    Summary,
    Task,
    Transcript,
)
from streaming.session.core import DetectorFactory
from streaming.transcript.metrics import TranscriptReader
from tests.support.clips import read_clip
from tests.support.losses import Client, Store, run
from tests.support.sessions import ENDPOINTING, LoudnessDetector, speech
from vad import make_detector

FORMATS = [(16_000, 1), (16_000, 2), (8_000, 1), (44_100, 1), (48_000, 2)]


def finals(store: Store) -> list[tuple[Any, ...]]:
    """By utterance; without ids, and what depends on the interims."""
    said = [message for message in store.log if isinstance(message, Transcript) and message.final]
    assert len(said) == len({final.utterance for final in said}), "a final is said once"
    return sorted(
        (
            final.utterance,
            final.channel,
            final.decoded_until_ms,
            final.text,
            *((word.text, word.start_ms, word.end_ms) for word in final.words),
        )
        for final in said
    )


def events(store: Store, client: Client) -> Counter[bytes]:
    """Without what the model remarked where `configure` switched events: that goes by when the final is there."""
    kinds = (Speech, Gap, MarkerEcho, Event, Analysis)
    said = [msgspec.structs.replace(message, seq=-1) for message in store.log if isinstance(message, kinds)]
    if any(isinstance(item, Configure) and item.events is not None for item in client.plan):
        said = [message for message in said if not (isinstance(message, Event) and message.source == "description")]
    return Counter(map(msgspec.json.encode, said))


def summary(store: Store) -> tuple[int, ...]:
    (said,) = [message for message in store.log if isinstance(message, Summary)]
    return said.audio_ms, said.speech_ms, said.utterances, said.words, said.gaps


def check_log(store: Store) -> None:
    """What holds for a reader who reads all of it."""
    assert [message.seq for message in store.log] == list(range(1, len(store.log) + 1))
    assert isinstance(store.log[-1], Summary)
    reader, words = TranscriptReader(), dict[int, tuple[int, str]]()
    for message in store.log:
        if isinstance(message, Transcript):
            reader.read(message)
            for word in message.words:
                assert words.setdefault(word.id, (message.utterance, word.text)) == (message.utterance, word.text)
    assert reader.steadiness.stable_violations == 0
    assert reader.open_words == {}


def plan(random: Random, samples: int, rate: int) -> list[tuple[int, int] | ClientMessage]:
    """The samples with commands between them, and with holes."""
    commands: list[ClientMessage] = [
        Finalize(),
        Configure(events=False),
        Configure(events=True),
        Configure(endpointing=msgspec.structs.replace(ENDPOINTING, min_silence_ms=300, pad_ms=100)),
        Configure(endpointing=ENDPOINTING),
        Configure(endpointing=msgspec.structs.replace(ENDPOINTING, detector="webrtc")),
        Configure(task=[Task(language="en"), Task(name="scene")]),
        Configure(task=Task(language="de")),
    ]
    items: list[tuple[int, int] | ClientMessage] = []
    at, markers = 0, 0
    while at < samples:
        until = min(samples, at + random.randrange(1, 3 * rate))
        items.append((at, until))
        for _ in range(random.choice((0, 0, 1, 2, 30))):
            if random.random() < 0.85:
                items.append(Marker(id=str(markers % 3)))
                markers += 1
            else:
                items.append(random.choice(commands))
        at = until + random.choice((0, 0, 0, rate // 5, 2 * rate + 11))
    return [*items, Stop()]


def voices(random: Random, seconds: float, rate: int, channels: int) -> NDArray[np.int16]:
    """Speech and silence of any length on each channel."""
    rows = []
    for _ in range(channels):
        spans, at = [], random.uniform(0, 2)
        while at < seconds:
            end = at + random.choice((0.1, 0.5, 1.5, 4.0))
            spans.append((at, min(end, seconds)))
            at = end + random.choice((0.2, 0.4, 0.7, 2.5))
        rows.append(speech(*spans, total_s=seconds, rate=rate))
    return np.stack(rows, axis=1)


def lose(client: Client, make: DetectorFactory, random: Random, losses: list[int], patience: float) -> None:
    whole = run(client, make, Random(0), [], 0.0)
    check_log(whole)
    lost = run(client, make, random, losses, patience)
    check_log(lost)
    assert finals(lost) == finals(whole)
    assert events(lost, client) == events(whole, client)
    assert summary(lost) == summary(whole)


@pytest.mark.parametrize(("rate", "channels"), FORMATS)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    seconds=st.floats(1, 14),
    policy=st.sampled_from(["stable", "off"]),
    losses=st.lists(st.integers(0, 60), min_size=1, max_size=5),
    patience=st.sampled_from([0.1, 0.5, 0.9, 0.98]),
)
def test_a_lost_session_says_what_one_says_that_was_not_lost(
    rate: int, channels: int, seed: int, seconds: float, policy: InterimPolicy, losses: list[int], patience: float
) -> None:
    random = Random(seed)
    endpointing = msgspec.structs.replace(ENDPOINTING, no_speech_ms=1500, max_utterance_ms=5000)
    audio = AudioFormat(sample_rate=rate, channels=channels)  # type: ignore[arg-type]
    samples = voices(random, seconds, rate, channels)
    tasks = random.choice([Task(), [Task(name="emotion"), Task(name="sound_events")]])
    start = Start(audio=audio, task=tasks, interim=policy, endpointing=endpointing)
    client = Client(start, samples, plan(random, len(samples), rate))
    lose(client, lambda name: LoudnessDetector(), random, losses, patience)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), losses=st.lists(st.integers(0, 60), min_size=1, max_size=5))
def test_words_that_are_sent_for_good_stay_through_losses(seed: int, losses: list[int]) -> None:
    """The finals of an append_only session depend on when its interims were answered, but begin with their words."""
    random = Random(seed)
    samples = voices(random, 10, 16_000, 1)
    start = Start(interim="append_only", endpointing=ENDPOINTING)
    client = Client(start, samples, plan(random, len(samples), 16_000))
    lost = run(client, lambda name: LoudnessDetector(), random, losses, 0.5)
    check_log(lost)
    shown: dict[int, list[tuple[int, str]]] = {}
    for message in lost.log:
        if isinstance(message, Transcript):
            before = shown.get(message.utterance, [])
            words = before[: message.from_word] + [(word.id, word.text) for word in message.words]
            assert words[: len(before)] == before
            shown[message.utterance] = words


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("clip", ["prose.flac", "pause.flac"])
def test_the_real_detectors_go_on_to_the_bit(clip: str, seed: int) -> None:
    random = Random(seed)
    samples = read_clip(clip)[0][: 12 * 16_000]
    quiet = np.random.default_rng(0).integers(-20, 20, 32_000).astype(np.int16)
    sound = np.concatenate([quiet, samples, quiet, samples[:48_000]])[:, None]
    client = Client(Start(endpointing=ENDPOINTING), sound, [(0, len(sound)), Stop()])
    lose(client, make_detector, random, [random.randrange(1, 20) for _ in range(5)], 0.3)
