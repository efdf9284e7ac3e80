"""A client that waits for each marker before it sends more always gets it, wherever speech and markers fall."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.protocol.messages import InterimPolicy, Marker, MarkerEcho, Start, Stop, Summary, Transcript
from tests.support.sessions import ENDPOINTING, Driver, audio, make_core, speech

TOTAL_S = 6.0
TOTAL = int(TOTAL_S * 16_000)

spans = st.lists(st.tuples(st.floats(0.05, 1.2), st.floats(0.03, 1.5)), min_size=1, max_size=6)
"""(silence before, speech) in seconds, one after another."""


def spoken(lengths: list[tuple[float, float]]) -> list[tuple[float, float]]:
    at, found = 0.0, []
    for silence, voice in lengths:
        found.append((at + silence, min(at + silence + voice, TOTAL_S)))
        at += silence + voice
    return [(begin, end) for begin, end in found if begin < TOTAL_S]


@given(
    lengths=spans,
    cuts=st.lists(st.integers(1, TOTAL - 1), min_size=1, max_size=30, unique=True),
    min_speech_ms=st.sampled_from([0, 64, 300]),
    policy=st.sampled_from(["stable", "append_only"]),
)
@settings(max_examples=150, deadline=None)
def test_every_marker_comes_back_without_more_audio(
    lengths: list[tuple[float, float]], cuts: list[int], min_speech_ms: int, policy: InterimPolicy
) -> None:
    samples = speech(*spoken(lengths), total_s=TOTAL_S)
    endpointing = msgspec.structs.replace(ENDPOINTING, min_speech_ms=min_speech_ms)
    driver = Driver(make_core(Start(interim=policy, endpointing=endpointing)), answer=True)
    at = 0
    for index, cut in enumerate([*sorted(cuts), TOTAL]):
        driver.give(audio(samples[at:cut], at), Marker(id=str(index)))
        at = cut
        assert [echo.id for echo in driver.sent(MarkerEcho)] == [str(n) for n in range(index + 1)]
    driver.give(Stop())
    (summary,) = driver.sent(Summary)
    assert summary.utterances == sum(message.final for message in driver.sent(Transcript))
