"""One or two tracks of media with timestamps, on one clock.

Timestamps place audio; between two pieces that follow one another on their track they may tremble a little. What a
track lacks is silence on the clock::

    inbound    |-- 0 --|-- 20 --|        |-- 60 --|-- 80 --|
    outbound            |-- 20 --|-- 40 --|
    session    |-- 0 ---|-- 20 --|-- 40 --|-- 60 --|-- 80 --|
                out: gap           in: gap  out: gap

Where no track has audio the session finds the gap itself; where one has, a `Signal` names that of the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from streaming.protocol.dialects.telephony import SILENT, bridge, check_ahead, interleaved
from streaming.protocol.messages import Audio, AudioFormat, Gap, Signal
from streaming.protocol.native import BYTES_PER_SAMPLE

TREMBLE_MS: Final = 10
"""Half of the usual piece: a timestamp that is further ahead than this says that one is missing."""
MAX_APART_MS: Final = 400
"""A track that is further behind than this has nothing to say: the other one goes on without it."""

Placed = Audio | Signal


@dataclass(slots=True)
class _Track:
    expected: int = 0
    """Where its next piece begins, if nothing is missing."""
    last_chunk: int = -1
    pieces: deque[tuple[int, bytes]] = field(default_factory=deque)
    """(first sample, samples) in order, none before what was given out."""
    hole: tuple[int, int] | None = None
    """What it lacks and the other has, and was not told yet."""


class Tracks:
    """Order of calls: `put` for each piece as it comes; `flush` at the end. Both return what is for the session."""

    def __init__(self, audio: AudioFormat, began: float) -> None:
        """`began`: seconds of the clock that `put` is given times of."""
        self._audio = audio
        self._began = began
        self._width = BYTES_PER_SAMPLE[audio.encoding]
        self._silence = SILENT[audio.encoding]
        self._tracks = [_Track() for _ in range(audio.channels)]
        self._given = 0
        """Everything before this sample was given out."""
        self._audio_until = 0
        """End of the last audio that was given out."""

    def position(self, track: int) -> int:
        """First sample of a track that has not come."""
        return self._tracks[track].expected

    def position_ms(self, track: int) -> int:
        return self.position(track) * 1000 // self._audio.sample_rate

    def put(self, track: int, chunk: int | None, timestamp_ms: int | None, data: bytes, now: float) -> list[Placed]:
        """
        Args:
            chunk: number of the piece on its track, from 1.
            timestamp_ms: of its first sample.
            data: a torn sample at its end is dropped.

        Raises:
            ProtocolError: `bad_audio`; it is too far ahead.
        """
        one = self._tracks[track]
        samples = len(data) // self._width
        first = self._place(one, chunk, timestamp_ms, samples, now)
        one.last_chunk = max(one.last_chunk, one.last_chunk + 1 if chunk is None else chunk)
        if first is None or not samples:
            return []
        one.expected = first + samples
        begin = max(first, self._given)
        if begin < one.expected:
            one.pieces.append((begin, data[(begin - first) * self._width : samples * self._width]))
        return list(self._give(self._complete_until()))

    def flush(self) -> list[Placed]:
        given = list(self._give(max(one.expected for one in self._tracks)))
        for channel in range(len(self._tracks)):
            given += self._tell(channel)
        return given

    def _place(self, one: _Track, chunk: int | None, timestamp_ms: int | None, samples: int, now: float) -> int | None:
        """Where a piece begins; None: it came before."""
        again = chunk is not None and chunk <= one.last_chunk
        if timestamp_ms is None:
            if again:
                return None
            missing = max(0, chunk - one.last_chunk - 1) if chunk is not None and one.last_chunk >= 0 else 0
            return self._checked(one.expected + missing * samples, one.expected, now)
        said = timestamp_ms * self._audio.sample_rate // 1000
        tremble = self._audio.sample_rate * TREMBLE_MS // 1000
        if said > one.expected + tremble:
            return self._checked(said, one.expected, now)
        return None if again and said < one.expected - tremble else one.expected

    def _checked(self, first: int, expected: int, now: float) -> int:
        check_ahead(first, expected, now - self._began, self._audio.sample_rate)
        return first

    def _complete_until(self) -> int:
        """All tracks have come so far, or are too far behind to be waited for."""
        positions = [one.expected for one in self._tracks]
        return max(min(positions), max(positions) - self._audio.sample_rate * MAX_APART_MS // 1000)

    def _give(self, until: int) -> Iterator[Placed]:
        """What lies before a sample, cut where a track's audio begins or ends."""
        while self._given < until:
            begin = self._given
            end = min([until, *(edge for one in self._tracks if (edge := _edge(one, begin, self._width)) is not None)])
            pieces = [self._take(one, begin, end) for one in self._tracks]
            self._given = end
            if not any(pieces):
                for channel in range(len(self._tracks)):
                    yield from self._tell(channel)
                continue
            yield from bridge(self._audio, self._audio_until, begin)
            for channel, piece in enumerate(pieces):
                if piece:
                    yield from self._tell(channel)
                else:
                    self._lack(self._tracks[channel], begin, end)
            filled = [piece or self._silence * (end - begin) for piece in pieces]
            yield Audio(first_sample=begin, data=interleaved(self._audio, filled))
            self._audio_until = end

    def _take(self, one: _Track, begin: int, end: int) -> bytes:
        """Its samples there: all, or none."""
        if not one.pieces or one.pieces[0][0] > begin:
            return b""
        first, data = one.pieces.popleft()
        wanted = (end - first) * self._width
        if wanted < len(data):
            one.pieces.appendleft((end, data[wanted:]))
        return data[:wanted]

    def _lack(self, one: _Track, begin: int, end: int) -> None:
        one.hole = (one.hole[0] if one.hole else begin, end)

    def _tell(self, channel: int) -> Iterator[Signal]:
        """The hole that ends here."""
        hole, self._tracks[channel].hole = self._tracks[channel].hole, None
        if hole is not None:
            yield Signal(Gap(from_sample=hole[0], to_sample=hole[1], reason="client", channel=channel))


def _edge(one: _Track, begin: int, width: int) -> int | None:
    """Where a track's audio begins or ends next, after `begin`."""
    if not one.pieces:
        return None
    first, data = one.pieces[0]
    return first if first > begin else first + len(data) // width
