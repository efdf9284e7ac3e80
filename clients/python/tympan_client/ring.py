"""Audio that was taken and not yet acknowledged: what a resumed session sends again."""

from __future__ import annotations

from collections import deque


class UnacknowledgedAudio:
    """Chunks in the order of the sample clock, without holes between them, bounded in samples.

    Positions are samples per channel since the session began. A chunk that is acknowledged in part is kept whole
    until all of it is.
    """

    def __init__(self, capacity_samples: int) -> None:
        self.capacity_samples = capacity_samples
        self._chunks: deque[tuple[int, int, bytes]] = deque()
        self._end = 0

    @property
    def first_sample(self) -> int:
        """Where the oldest chunk begins; where the next one will, if there is none."""
        return self._chunks[0][0] if self._chunks else self._end

    @property
    def held_samples(self) -> int:
        return self._end - self.first_sample

    def fits(self, samples: int) -> bool:
        return self.held_samples + samples <= self.capacity_samples

    def append(self, samples: int, data: bytes) -> None:
        """Goes on where the chunk before it ended. Raises ValueError where it does not fit."""
        if not self.fits(samples):
            raise ValueError(f"{samples} samples do not fit: {self.held_samples} of {self.capacity_samples} are held")
        if samples:
            self._chunks.append((self._end, self._end + samples, data))
            self._end += samples

    def acknowledge(self, sample: int) -> None:
        """Forgets the chunks that end at or before `sample`."""
        while self._chunks and self._chunks[0][1] <= sample:
            self._chunks.popleft()

    def drop_oldest(self) -> None:
        self._chunks.popleft()

    def chunk_at(self, sample: int) -> tuple[int, int, bytes] | None:
        """(first sample, end, data) of the first chunk that holds audio at or after `sample`."""
        found = None
        for chunk in reversed(self._chunks):  # what is sent next is mostly the newest
            if chunk[1] <= sample:
                break
            found = chunk
        return found
