"""Probabilities become speech that begins and ends, without flapping."""

from __future__ import annotations

from typing import Final

import msgspec

OFFSET_BELOW_ONSET: Final = 0.15
"""Speech that has begun goes on down to this much under the threshold, as in Silero's own iterator."""


class HysteresisState(msgspec.Struct, frozen=True, array_like=True):
    speaking: bool
    onset_sample: int | None
    offset_sample: int | None


class Hysteresis:
    """Speech begins at a frame of at least `threshold` that is followed by speech for `min_speech_samples`; it goes
    on while frames reach the lower offset threshold.

    ::

        threshold  - - - - - - - - ### - - - - - - - - - - - - -
        offset     - - ##- - - - - ######- - ###- - - - - - - - -
                       never began |  |  |   too low to begin again
                                   |  |  offset_sample: end of the last frame of speech
                                   |  min_speech reached: `speaking` becomes true
                                   onset_sample: begin of the first frame
    """

    def __init__(self, threshold: float, min_speech_samples: int) -> None:
        self.configure(threshold, min_speech_samples)
        self.reset()

    def configure(self, threshold: float, min_speech_samples: int) -> None:
        """Changes the thresholds from the next frame on; speech that is going on goes on."""
        self._onset_threshold = threshold
        self._offset_threshold = max(threshold - OFFSET_BELOW_ONSET, 0.01)
        self._min_speech_samples = min_speech_samples

    def reset(self) -> None:
        """Silence: speech must begin anew."""
        self.speaking = False
        self.onset_sample: int | None = None
        """Where the speech began that is going on, or that may be about to be confirmed; None in silence."""
        self.offset_sample: int | None = None
        """Where the last frame of confirmed speech ended; None before the first."""

    def state(self) -> HysteresisState:
        return HysteresisState(self.speaking, self.onset_sample, self.offset_sample)

    def restore(self, state: HysteresisState) -> None:
        """The thresholds stay."""
        self.speaking = state.speaking
        self.onset_sample = state.onset_sample
        self.offset_sample = state.offset_sample

    def update(self, probability: float, first_sample: int, until_sample: int) -> None:
        """Takes the next frame, which covers `first_sample <= position < until_sample`."""
        going_on = self.onset_sample is not None
        if probability < (self._offset_threshold if going_on else self._onset_threshold):
            self.onset_sample = None
            self.speaking = False
            return
        if self.onset_sample is None:
            self.onset_sample = first_sample
        self.speaking = self.speaking or until_sample - self.onset_sample >= self._min_speech_samples
        if self.speaking:
            self.offset_sample = until_sample
