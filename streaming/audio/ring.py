"""A bounded store of PCM addressed by the sample clock."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_SMALLEST: Final = 17 << 10
"""Samples, a bit more than a second: what a session in silence holds between two snapshots."""
_SHRINK_BELOW: Final = 8
"""Memory is given back when less than one part of so many is in use."""


class RingFullError(RuntimeError):
    """More audio than the ring's capacity; trim first."""


class NotHeldError(LookupError):
    """Audio that was trimmed already, or has not come yet."""


class PcmRing:
    """The newest int16 samples of one channel, between two absolute positions.

    Holds `start <= position < end`. Nothing is overwritten: what is not needed any more is given up by `trim`, and an
    append beyond the capacity is refused, so that forgetting audio is always somebody's decision. It takes the memory
    of what it holds, to the next power of two, and not of its capacity.
    """

    def __init__(self, capacity_samples: int, first_sample: int = 0) -> None:
        if capacity_samples < 1:
            raise ValueError(f"a ring takes a capacity of at least one sample, not {capacity_samples}")
        self.capacity_samples = capacity_samples
        self._samples = np.zeros(min(_SMALLEST, capacity_samples), np.int16)
        self.start = first_sample
        """First sample held."""
        self.end = first_sample
        """First sample not yet here."""

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def nbytes(self) -> int:
        """Memory of the samples, held or not."""
        return self._samples.nbytes

    def append(self, pcm: NDArray[np.int16]) -> None:
        """Puts int16 (n,) at `end`.

        Raises:
            RingFullError: it does not fit; the ring is unchanged.
        """
        needed = len(self) + len(pcm)
        if needed > self.capacity_samples:
            raise RingFullError(
                f"the ring holds {len(self)} of {self.capacity_samples} samples, {len(pcm)} more do not fit"
            )
        if needed > len(self._samples):
            self._resize(needed)
        at = self.end % len(self._samples)
        head = min(len(pcm), len(self._samples) - at)
        self._samples[at : at + head] = pcm[:head]
        if head < len(pcm):
            self._samples[: len(pcm) - head] = pcm[head:]
        self.end += len(pcm)

    def read(self, first: int, until: int) -> NDArray[np.int16]:
        """A copy of the samples `first <= position < until`, int16 (until - first,).

        Raises:
            NotHeldError: some of them are not held.
        """
        if not self.start <= first <= until <= self.end:
            raise NotHeldError(f"samples {first} to {until} are not all within the {self.start} to {self.end} held")
        at = first % len(self._samples)
        head = self._samples[at : at + until - first]
        return np.concatenate((head, self._samples[: until - first - len(head)]))

    def read_bytes(self, first: int, until: int) -> bytes:
        """The same as `read`, as mono s16le."""
        return self.read(first, until).astype("<i2", copy=False).tobytes()

    def trim(self, before: int) -> None:
        """Gives up all samples before the position; one that is not held yet gives up all."""
        self.start = min(max(self.start, before), self.end)
        if len(self._samples) > _SMALLEST and len(self) < len(self._samples) // _SHRINK_BELOW:
            self._resize(len(self))

    def _resize(self, samples: int) -> None:
        """Moves what is held to memory for so many samples, a power of two or the capacity."""
        held = self.read(self.start, self.end)
        size = max(_SMALLEST, 1 << (max(1, samples) - 1).bit_length())
        self._samples = np.zeros(min(size, self.capacity_samples), np.int16)
        at = self.start % len(self._samples)
        head = held[: len(self._samples) - at]
        self._samples[at : at + len(head)] = head
        self._samples[: len(held) - len(head)] = held[len(head) :]
