"""Whatever a network loses of a call's tracks, the rest stands at its place, and what is missing is named."""

from typing import Any

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.protocol.dialects.twilio.frames import Media, read
from streaming.protocol.dialects.twilio.stream import Twilio
from streaming.protocol.dialects.twilio.tracks import Tracks
from streaming.protocol.messages import Audio, AudioFormat, Signal
from tests.support.dialects import Talk, handshake, speech
from tests.support.twilio import RATE, TwilioStream

TOTAL_MS = 3000
SILENT, MISSING = 0xFF, 0x00
"""`mulaw` of the peer has 0xFF for silence and 0x80 for sound; a byte of neither is one that never came."""

cuts = st.lists(st.sampled_from([10, 20, 30, 60]), min_size=1, max_size=6)
losses = st.sets(st.tuples(st.sampled_from(["inbound", "outbound"]), st.integers(0, TOTAL_MS // 100)), max_size=12)
"""Tenths of seconds of tracks."""


@given(cut=cuts, lost=losses, channels=st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_all_that_came_stands_at_its_place_and_all_that_did_not_is_a_gap(
    cut: list[int], lost: set[tuple[str, int]], channels: int
) -> None:
    names = ("inbound", "outbound")[:channels]
    sounds = [np.ones(TOTAL_MS * RATE // 1000, np.int16)] * channels
    tracks = Tracks(AudioFormat(encoding="mulaw", sample_rate=8000, channels=channels), 0.0)  # type: ignore[arg-type]
    model = np.full((channels, TOTAL_MS * RATE // 1000), MISSING, np.uint8)
    given_out: list[Audio | Signal] = []
    stream = TwilioStream(*names)
    for message in stream.media(*sounds, piece_ms=cut, keep=lambda track, ms: (track, ms // 100) not in lost):
        media = read(message)
        assert isinstance(media, Media)
        assert media.timestamp_ms is not None
        at, place = media.timestamp_ms * RATE // 1000, names.index(media.track)
        model[place, at : at + len(media.data)] = 0x80
        given_out += tracks.put(place, media.chunk, media.timestamp_ms, media.data, 0.0)
    given_out += tracks.flush()

    heard = np.full_like(model, MISSING)
    told = np.zeros(model.shape, bool)
    until = 0
    for one in given_out:
        if isinstance(one, Signal):
            gap: Any = one.message
            assert not told[gap.channel, gap.from_sample : gap.to_sample].any(), "told once"
            told[gap.channel, gap.from_sample : gap.to_sample] = True
            continue
        assert one.first_sample >= until
        samples = np.frombuffer(one.data, np.uint8).reshape(-1, channels).T
        until = one.first_sample + samples.shape[1]
        heard[:, one.first_sample : until] = samples
    some = (model != MISSING).any(axis=0)
    assert (heard[model != MISSING] == 0x80).all()
    assert (heard[:, ~some] == MISSING).all(), "the session finds these gaps itself"
    lacking = (model == MISSING) & some
    assert (heard[lacking] == SILENT).all()
    assert (told == lacking).all()


def said(cut: list[int]) -> list[bytes]:
    """All that a session says of a call of two, whatever the pieces."""
    sounds = (speech((0.5, 1.5), total_s=3.0, rate=RATE), speech((1.9, 2.6), total_s=3.0, rate=RATE))
    stream = TwilioStream("inbound", "outbound")
    talk = Talk(Twilio(handshake("/twilio")), at_once=True)
    lost = {("outbound", 0), ("outbound", 1), ("inbound", 17), ("outbound", 17)}
    keep = lambda track, ms: (track, ms // 100) not in lost  # noqa: E731
    talk.send(*stream.begin(), *stream.media(*sounds, piece_ms=cut, keep=keep), stream.stop())
    assert talk.driver is not None
    return [msgspec.json.encode(message) for message in talk.driver.read]


WHOLE = said([20])


@given(cut=st.lists(st.sampled_from([10, 20, 50, 100]), min_size=1, max_size=6))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_cut_of_the_media_changes_nothing(cut: list[int]) -> None:
    aligned = [ms for ms in cut for _ in range(100 // ms)]
    assert sorted(said(aligned)) == sorted(WHOLE)
