"""When each token was said, from the cross-attention of the heads that follow the audio.

After openai/whisper `timing.py:find_alignment`: attention of the alignment heads, normalised over tokens, smoothed
by a median filter over time, averaged, and aligned by dynamic time warping (DTW).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MEDIAN_WIDTH = 7  # frames, as in openai/whisper
# Exchanges that put the median of seven values in place 3 (N. Devillard, "Fast median search", 1998, opt_med7).
_EXCHANGES = ((0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6), (2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4))


@torch.inference_mode()
def token_starts(attention: Tensor, first_token: int = 0, first_frame: int = 0) -> NDArray[np.int64]:
    """Frames at which tokens begin.

    Args:
        attention: probabilities of the alignment heads (heads, rows, frames); row i is the one that chose token i.
        first_token, first_frame: tokens before are known to end before this frame, and are left out.
    Returns:
        (rows - first_token,): the first frame of each token, where there is a row after the last token the frame
        at which the text ends; it never goes back.
    """
    frames = attention.shape[2]
    deviation, mean = torch.std_mean(attention, dim=1, keepdim=True, unbiased=False)
    weights = (attention - mean) / deviation.clamp(min=1e-6)
    matrix = median_filter(weights).mean(dim=0)[first_token:, first_frame:]
    if matrix.shape[0] == 0:
        return np.empty(0, dtype=np.int64)
    if matrix.shape[1] == 0:
        return np.full(matrix.shape[0], frames, dtype=np.int64)
    return first_frame + first_frames(-matrix.double().cpu().numpy())


def median_filter(x: Tensor) -> Tensor:
    """Median over `_MEDIAN_WIDTH` frames of the last axis, ends reflected; short inputs stay as they are."""
    half, frames = _MEDIAN_WIDTH // 2, x.shape[-1]
    if frames <= half:
        return x
    padded = torch.nn.functional.pad(x, (half, half), mode="reflect")
    places = [padded[..., offset : offset + frames] for offset in range(_MEDIAN_WIDTH)]
    for low, high in _EXCHANGES:
        places[low], places[high] = (
            torch.minimum(places[low], places[high]),
            torch.maximum(places[low], places[high]),
        )
    return places[half]


def first_frames(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """DTW over (tokens, frames): the first frame on the cheapest monotone path for each token.

    A row is computed at once: with prefix sums S of its costs, D[i, j] = S[j] + min over k ≤ j of
    (min(D[i-1, k-1], D[i-1, k]) - S[k-1]).
    """
    tokens, frames = cost.shape
    total = np.empty((tokens, frames))
    total[0] = np.cumsum(cost[0])
    for i in range(1, tokens):
        above = total[i - 1]
        entry = above.copy()
        entry[1:] = np.minimum(above[1:], above[:-1])
        sums = np.cumsum(cost[i])
        before = np.concatenate(([0.0], sums[:-1]))
        total[i] = sums + np.minimum.accumulate(entry - before)
    starts = np.zeros(tokens, dtype=np.int64)
    j = frames - 1
    for i in range(tokens - 1, 0, -1):
        sums = np.cumsum(cost[i])
        before = np.concatenate(([0.0], sums[:-1]))
        above = total[i - 1]
        entry = above.copy()
        entry[1:] = np.minimum(above[1:], above[:-1])
        j = int(np.argmin((entry - before)[: j + 1]))
        starts[i] = j
        if j > 0 and above[j - 1] <= above[j]:
            j -= 1
    return starts
