"""Audio that was sent and not yet acknowledged: what a resumed session sends again."""

from __future__ import annotations

from collections import deque


class UnacknowledgedAudio:
    """Chunks in the order of the sample clock, bounded in samples.

    Positions are samples per channel since the session began. A chunk that is acknowledged in part is kept whole
    until all of it is.
    """

    def __init__(self, capacity_samples: int) -> None:
        self.capacity_samples = capacity_samples
        self._chunks: deque[tuple[int, int, bytes]] = deque()

    @property
    def held_samples(self) -> int:
        return self._chunks[-1][1] - self._chunks[0][0] if self._chunks else 0

    def fits(self, samples: int) -> bool:
        return self.held_samples + samples <= self.capacity_samples

    def append(self, first_sample: int, samples: int, data: bytes) -> None:
        """Raises ValueError where the chunk does not fit or does not follow the one before."""
        if not self.fits(samples):
            raise ValueError(f"{samples} samples do not fit: {self.held_samples} of {self.capacity_samples} are held")
        if self._chunks and first_sample != self._chunks[-1][1]:
            raise ValueError(f"chunk begins at {first_sample}, the last one ended at {self._chunks[-1][1]}")
        self._chunks.append((first_sample, first_sample + samples, data))

    def acknowledge(self, sample: int) -> None:
        """Forgets the chunks that end at or before `sample`."""
        while self._chunks and self._chunks[0][1] <= sample:
            self._chunks.popleft()

    def since(self, sample: int) -> list[tuple[int, bytes]]:
        """(first sample, data) of the chunks that hold audio at or after `sample`."""
        return [(first, data) for first, end, data in self._chunks if end > sample]
