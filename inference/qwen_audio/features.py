"""From samples to what the audio encoder sees: lengths, and the log-mel of a whole clip.

Qwen-Audio pads a clip with silence to 30 s and floors its log-mel at 8 below the maximum of all of that, which is
the maximum over the clip itself and the floor of silence. The encoder then sees the clip's own frames only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.whisper.features import HOP, MEL_PER_FRAME, SAMPLE_RATE, WINDOW, LogMel, normalise

WINDOW_SAMPLES = 30 * SAMPLE_RATE
"""The most samples of one clip."""
FRAMES_PER_TOKEN = 2
TOKEN_SAMPLES = HOP * MEL_PER_FRAME * FRAMES_PER_TOKEN  # 640, 40 ms


class ClipTooLong(ValueError):
    """A clip has more samples than a window of 30 s; longer audio is read window by window (`windows`)."""

    def __init__(self, samples: int) -> None:
        super().__init__(f"a clip has at most {WINDOW_SAMPLES} samples (30 s), not {samples}")


@dataclass(frozen=True, slots=True)
class ClipLengths:
    """What a clip's samples become."""

    mel: int
    """Feature frames of 10 ms."""
    frames: int
    """Encoder frames of 20 ms."""
    tokens: int
    """Pooled frames of 40 ms, one position of the language model each; an odd last frame is dropped."""

    @property
    def span(self) -> int:
        """Positions in the prompt: the tokens between a begin and an end embedding."""
        return self.tokens + 2


def clip_lengths(samples: int) -> ClipLengths:
    """Lengths of a clip of so many samples at 16 kHz. Raises ClipTooLong."""
    if samples > WINDOW_SAMPLES:
        raise ClipTooLong(samples)
    mel = samples // HOP
    frames = -(-mel // MEL_PER_FRAME)
    return ClipLengths(mel, frames, frames // FRAMES_PER_TOKEN)


def clip_mel(pcm: Tensor, bins: int) -> Tensor:
    """The part of a clip's normalised log-mel that the encoder sees.

    Args:
        pcm: float32 (n,) in [-1, 1], 16 kHz mono, at most 30 s.
        bins: mel bins.
    Returns:
        (bins, 2 * frames) on the CPU.
    Raises:
        ClipTooLong.
    """
    samples = pcm.shape[0]
    lengths = clip_lengths(samples)
    heard = _with_mirror(pcm) if samples > WINDOW_SAMPLES - WINDOW else pcm
    raw, maximum = LogMel(bins).at(heard, heard.shape[0], MEL_PER_FRAME * lengths.frames)
    return normalise(raw, maximum)


def _with_mirror(pcm: Tensor) -> Tensor:
    """The padded window with its last samples mirrored after it: what the last feature frame sees of a full one."""
    window = F.pad(pcm, (0, WINDOW_SAMPLES - pcm.shape[0]))
    return torch.cat([window, window[-1 - (WINDOW // 2 - HOP) : -1].flip(0)])
