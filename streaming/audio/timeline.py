"""Where a client's audio meets the sample clock: decode, split channels, resample, place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streaming.audio.clock import SAMPLE_RATE, input_to_clock
from streaming.audio.formats import as_int16, decode
from streaming.audio.resampler import StreamingResampler
from streaming.protocol.messages import AudioFormat

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
    """The client skipped audio on all channels. Silence stands for it on the clock."""

    from_sample: int
    """Position at 16 kHz, as `to_sample`."""
    to_sample: int
    from_input: int
    """Position at the client's rate, as `to_input`: what the wire speaks of."""
    to_input: int


class ChannelTimelines:
    """The one or two channels of a session's audio, on one clock.

    Order of calls: `receive` for every audio message, `flush` once at the end. Positions run on::

        received   |-- message 0 --|-- message 1 --|          |-- message 3 --|
        expected                                   ^ gap: zeros stand here
        resent             |-- dropped ----|- new -|

    A piece of audio that was received before is a resend after a reconnect: only its new part counts.
    """

    def __init__(self, audio: AudioFormat) -> None:
        self.audio = audio
        self.expected_sample = 0
        """Input position of the next sample: what `ack` and `ready` speak of."""
        self._as_it_is = audio.encoding == "s16le" and audio.sample_rate == SAMPLE_RATE
        self._resamplers = [StreamingResampler(audio.sample_rate) for _ in range(audio.channels)]
        self._placed_until = [0] * audio.channels

    def position(self, channel: int = 0) -> int:
        """First position at 16 kHz that is not placed yet. Resampling holds some milliseconds back."""
        return self._placed_until[channel]

    def receive(self, first_sample: int | None, data: bytes) -> list[Placed | GapFound]:
        """Takes the bytes of one audio message.

        Args:
            first_sample: input position that the client gave to the first sample; None continues.
            data: whole sample frames in the declared encoding, interleaved.

        Raises:
            AudioFormatError: the bytes are not whole sample frames.
            GapTooLongError: the audio begins more than `MAX_GAP_S` ahead.
            After either nothing has changed.
        """
        samples = self._decode(data)
        first = self.expected_sample if first_sample is None else first_sample
        skipped = first - self.expected_sample
        if skipped > MAX_GAP_S * self.audio.sample_rate:
            raise GapTooLongError(
                f"audio begins at sample {first}, but {self.expected_sample} is next: "
                f"at most {MAX_GAP_S} s may be skipped ({MAX_GAP_S * self.audio.sample_rate} samples)"
            )
        if skipped <= 0:
            return list(self._place(samples[:, -skipped:]))
        return [self._gap(first), *self._place_silence(skipped), *self._place(samples)]

    def flush(self) -> list[Placed]:
        """Ends the audio: what the resamplers held back. Nothing can be received afterwards."""
        rest = [self._at_clock(channel, resampler.flush()) for channel, resampler in enumerate(self._resamplers)]
        return [placed for placed in rest if len(placed.pcm)]

    def _gap(self, to_input: int) -> GapFound:
        rate = self.audio.sample_rate
        return GapFound(
            from_sample=input_to_clock(self.expected_sample, rate),
            to_sample=input_to_clock(to_input, rate),
            from_input=self.expected_sample,
            to_input=to_input,
        )

    def _place_silence(self, samples: int) -> Iterator[Placed]:
        """One second at a time, so that what follows never meets a minute of audio at once."""
        second = np.zeros((self.audio.channels, self.audio.sample_rate), np.int16 if self._as_it_is else np.float32)
        for at in range(0, samples, self.audio.sample_rate):
            yield from self._place(second[:, : samples - at])

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
