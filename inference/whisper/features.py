"""Log-mel features of a growing utterance, frame for frame those of Whisper's own feature extractor.

Whisper: 25 ms Hann window, 10 ms hop, centred with reflection at the clip's begin, log10 of mel power, clipped to
8 below the clip's maximum, (x + 4) / 4. The maximum of the whole clip is not known while it goes on: the running
maximum up to the head of the audio takes its place, so early frames may be scaled a little differently.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

SAMPLE_RATE = 16_000
WINDOW = 400
HOP = 160
_HALF = WINDOW // 2
MEL_PER_FRAME = 2  # feature frames per encoder frame
FRAME = HOP * MEL_PER_FRAME  # 320 samples, 20 ms
_GROUP = 50  # feature frames that are computed together, 0.5 s
LOG_FLOOR = -10.0  # log10 of the smallest power, 1e-10
DYNAMIC_RANGE = 8.0


@lru_cache(maxsize=4)
def _filters(bins: int) -> Tensor:
    bank = mel_filter_bank(1 + WINDOW // 2, bins, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
    return torch.from_numpy(np.ascontiguousarray(bank.T)).to(torch.float32)


@lru_cache(maxsize=1)
def _window() -> Tensor:
    return torch.hann_window(WINDOW)


def normalise(log_mel: Tensor, maximum: float) -> Tensor:
    """Whisper's scaling of raw log10-mel, any shape, with a given maximum."""
    return (log_mel.clamp(min=maximum - DYNAMIC_RANGE) + 4.0) / 4.0


class LogMel:
    """Raw log10-mel of one utterance, computed once per feature frame.

    Feature frame i looks at samples [160 i - 200, 160 i + 200) of the utterance. Frames whose window reaches past
    the head are computed with silence beyond it, and computed again when their samples are there.
    """

    def __init__(self, bins: int) -> None:
        self._filters = _filters(bins)
        self._exact = torch.empty(bins, 0)
        self._maximum = LOG_FLOOR
        self._head = 0

    def at(self, pcm: Tensor, head: int, until: int) -> tuple[Tensor, float]:
        """Features as they are with the audio known up to `head`.

        Args:
            pcm: float32 (n,) in [-1, 1], the utterance from its begin; n >= head.
            head: samples of it that count; what follows is taken as silence. Never smaller than before.
            until: feature frames wanted, from frame 0; those that see nothing before the head are at the floor.
        Returns:
            raw log10-mel (bins, until), and the running maximum over the frames before the head.
        """
        assert head >= self._head, "the head of an utterance only moves forward"
        self._head = head
        known = -(-(head + _HALF) // HOP)  # frames whose window begins before the head
        exact = max(0, (head - _HALF) // HOP + 1) if head >= _HALF else 0
        exact = min(exact, known)
        have = self._exact.shape[1]
        if exact > have:
            fresh = self._compute(pcm[:head], have, exact)
            self._exact = torch.cat([self._exact, fresh], dim=1)
            self._maximum = max(self._maximum, float(fresh.max()))
        edge = self._compute(pcm[:head], exact, known) if known > exact else self._exact[:, :0]
        maximum = max(self._maximum, float(edge.max())) if edge.numel() else self._maximum
        features = torch.cat([self._exact, edge], dim=1)[:, :until]
        if features.shape[1] < until:
            features = torch.nn.functional.pad(features, (0, until - features.shape[1]), value=LOG_FLOOR)
        return features, maximum

    def _compute(self, pcm: Tensor, first: int, until: int) -> Tensor:
        """Raw log10-mel (bins, until - first); silence after the end of `pcm`, reflection before its begin.

        Frames are computed in groups that lie fixed in the utterance: a library's rounding of one frame depends on
        how many are computed with it, and on its place among them.
        """
        groups = range(first // _GROUP, -(-until // _GROUP))
        computed = torch.cat([self._group(pcm, group * _GROUP) for group in groups], dim=1)
        return computed[:, first - groups.start * _GROUP :][:, : until - first]

    def _group(self, pcm: Tensor, first: int) -> Tensor:
        """The `_GROUP` frames from `first` on, (bins, _GROUP)."""
        start = first * HOP - _HALF
        stop = (first + _GROUP - 1) * HOP + _HALF
        piece = pcm[max(0, start) : stop]
        missing = stop - max(0, start) - piece.shape[0]
        if missing:
            piece = torch.nn.functional.pad(piece, (0, missing))
        if start < 0:
            mirror = torch.nn.functional.pad(pcm[1 : 1 - start], (0, max(0, 1 - start - pcm.shape[0])))[:-start]
            piece = torch.cat([mirror.flip(0), piece])
        spectrum = torch.fft.rfft(piece.unfold(0, WINDOW, HOP) * _window()).abs().square()
        power: Tensor = self._filters @ spectrum.T
        return power.clamp(min=1e-10).log10()
