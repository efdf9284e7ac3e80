"""Where a client's audio meets the sample clock: decode, split channels, resample, place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streaming.audio.clock import SAMPLE_RATE, input_to_clock
from streaming.audio.formats import as_int16, decode, to_int16
from streaming.audio.resampler import StreamingResampler
from streaming.protocol.messages import AudioFormat, Encoding

MAX_GAP_S: Final = 60
"""A client may skip this much audio; more is an error."""


class GapTooLongError(ValueError):
    """Audio that claims to begin further ahead than `MAX_GAP_S`."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Samples of one channel at their place on the clock, next to the ones placed before."""

    channel: int
    first_sample: int
    """Position at 16 kHz of the first sample of `pcm`."""
    pcm: NDArray[np.int16]
    """int16 (n,), n > 0, 16 kHz"""


@dataclass(frozen=True, slots=True)
class GapFound:
    """The client skipped audio on all channels. Silence is to stand for it on the clock."""

    from_sample: int
    """Position at 16 kHz, as `to_sample`."""
    to_sample: int
    from_input: int
    """Position at the client's rate, as `to_input`: what the wire speaks of."""
    to_input: int


class ChannelTimelines:
    """The one or two channels of a session's audio, on one clock.

    Order of calls: `gap_before` and `receive` for every piece of audio, with `silence` between them where there is a
    gap, and `flush` once at the end. Positions run on::

        received   |-- message 0 --|-- message 1 --|          |-- message 3 --|
        expected                                   ^ gap: silence stands here
        resent             |-- dropped ----|- new -|

    A piece of audio that was received before is a resend after a reconnect: only its new part counts.
    """

    def __init__(self, audio: AudioFormat) -> None:
        self.audio = audio
        self.expected_sample = 0
        """Input position of the next sample."""
        self._as_it_is = audio.encoding == "s16le" and audio.sample_rate == SAMPLE_RATE
        self._resamplers = [StreamingResampler(audio.sample_rate) for _ in range(audio.channels)]
        self._placed_until = [0] * audio.channels

    def position(self, channel: int = 0) -> int:
        """First position at 16 kHz that is not placed yet. Resampling holds some milliseconds back."""
        return self._placed_until[channel]

    @property
    def lookahead(self) -> int:
        """Input samples behind those of a block of 10 ms that are needed for its samples at 16 kHz."""
        return self._resamplers[0].lookahead

    def gap_before(self, first_sample: int) -> GapFound | None:
        """What is missing between the audio so far and audio that begins at an input position.

        Raises:
            GapTooLongError: more than `MAX_GAP_S`.
        """
        rate, skipped = self.audio.sample_rate, first_sample - self.expected_sample
        if skipped > MAX_GAP_S * rate:
            raise GapTooLongError(
                f"audio begins at sample {first_sample}, but {self.expected_sample} is next: "
                f"at most {MAX_GAP_S} s may be skipped ({MAX_GAP_S * rate} samples)"
            )
        if skipped <= 0:
            return None
        return GapFound(
            from_sample=input_to_clock(self.expected_sample, rate),
            to_sample=input_to_clock(first_sample, rate),
            from_input=self.expected_sample,
            to_input=first_sample,
        )

    def receive(self, first_sample: int, data: bytes) -> list[Placed]:
        """Takes whole sample frames in the declared encoding, interleaved, that begin at an input position: at most
        at the expected one.

        Raises:
            AudioFormatError: the bytes are not whole sample frames; nothing has changed.
        """
        samples = self._decode(data)
        return list(self._place(samples[:, self.expected_sample - first_sample :]))

    def silence(self, samples: int) -> list[Placed]:
        """Takes so many samples of silence on every channel."""
        shape = (self.audio.channels, samples)
        return list(self._place(np.zeros(shape, np.int16) if self._as_it_is else np.zeros(shape, np.float32)))

    def flush(self) -> list[Placed]:
        """Ends the audio: what the resamplers held back. Nothing can be received afterwards."""
        rest = [self._at_clock(channel, resampler.flush()) for channel, resampler in enumerate(self._resamplers)]
        return [placed for placed in rest if len(placed.pcm)]

    def histories(self) -> list[bytes]:
        """What the resamplers look back at. With it, and the positions, other timelines go on from here."""
        histories = [resampler.history() for resampler in self._resamplers]
        if self.audio.encoding == "f32le":
            return [history.astype("<f4", copy=False).tobytes() for history in histories]
        return [to_int16(history).astype("<i2", copy=False).tobytes() for history in histories]

    def restore(self, expected_sample: int, position: int, histories: list[bytes]) -> None:
        """Goes on where other timelines were. Raises ValueError: the histories are damaged."""
        encoding: Encoding = "f32le" if self.audio.encoding == "f32le" else "s16le"
        for resampler, history in zip(self._resamplers, histories, strict=True):
            resampler.restore(expected_sample, position, decode(history, encoding, 1)[0])
        self.expected_sample = expected_sample
        self._placed_until = [position] * self.audio.channels

    def _decode(self, data: bytes) -> NDArray[np.float32] | NDArray[np.int16]:
        """(channels, n): int16 where nothing is to be converted."""
        channels = self.audio.channels
        return as_int16(data, channels) if self._as_it_is else decode(data, self.audio.encoding, channels)

    def _place(self, samples: NDArray[np.float32] | NDArray[np.int16]) -> Iterator[Placed]:
        self.expected_sample += samples.shape[1]
        for channel, resampler in enumerate(self._resamplers):
            row = samples[channel]
            pcm = np.ascontiguousarray(row) if self._as_it_is else resampler.feed(row)
            placed = self._at_clock(channel, pcm)
            if len(placed.pcm):
                yield placed

    def _at_clock(self, channel: int, pcm: NDArray[np.int16]) -> Placed:
        placed = Placed(channel, self._placed_until[channel], pcm)
        self._placed_until[channel] += len(pcm)
        return placed
