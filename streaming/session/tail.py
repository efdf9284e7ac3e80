"""The audio that a restore needs, in blocks that end where snapshots stand. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from streaming.session.channel import Channel
from streaming.session.effects import StoreAudio


class Tail:
    """Of all channels of a session; they hold it until a later snapshot needs it no more."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = channels
        self._newest: StoreAudio | None = None
        """The newest snapshot, without its audio."""

    @property
    def unstored_samples(self) -> int:
        """Audio behind the newest snapshot, at 16 kHz."""
        return self._channels[0].position - (self._newest.first_sample if self._newest else 0)

    def next_block(self, *, ack_sample: int, commands: int, last_seq: int, state: bytes) -> StoreAudio:
        """The audio up to here, with the state here."""
        until = self._channels[0].position
        first = until - self.unstored_samples
        pcm = tuple(channel.read_pcm(first, until) for channel in self._channels)
        needed_from = min(channel.needed_from for channel in self._channels)
        for channel in self._channels:
            channel.trim(needed_from)
        self._newest = StoreAudio(until, (), needed_from, ack_sample, commands, last_seq, state)
        return msgspec.structs.replace(self._newest, first_sample=first, pcm=pcm)

    def whole_block(self) -> StoreAudio | None:
        """The newest snapshot with all of the tail that it needs; None: there is none."""
        if (newest := self._newest) is None:
            return None
        first, until = newest.needed_from, newest.first_sample
        pcm = tuple(channel.read_pcm(first, until) for channel in self._channels)
        return msgspec.structs.replace(newest, first_sample=first, pcm=pcm)

    def restore(self, newest: StoreAudio, first_sample: int, tails: Sequence[NDArray[np.int16]]) -> None:
        """Fills the restored channels.

        Args:
            newest: the snapshot that they were restored from, without its audio.
            tails: int16 (n,), the audio of each channel from `first_sample` to there.

        Raises:
            ValueError: some that is needed is missing.
        """
        until = newest.first_sample
        needed_from = min(channel.needed_from for channel in self._channels)
        for channel, tail in zip(self._channels, tails, strict=True):
            if not (channel.position == until == first_sample + len(tail) and first_sample <= needed_from):
                raise ValueError(f"the audio of channel {channel.index} from {needed_from} to {until} is not all there")
            channel.refill(needed_from, tail[needed_from - first_sample :])
        self._newest = msgspec.structs.replace(newest, needed_from=needed_from)
