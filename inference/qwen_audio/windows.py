"""Audio longer than 30 s: cut into windows where it is quietest, each read with what was said before it.

The windows follow each other without gap or overlap, and together they are the whole audio: nothing is cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from inference.qwen_audio.features import WINDOW_SAMPLES
from inference.whisper.features import FRAME, SAMPLE_RATE

SEARCH_SAMPLES = 5 * SAMPLE_RATE
"""Before the end of a full window: where its cut is looked for."""
_QUIET_FRAMES = 5  # 0.1 s: a pause, not the closure of a consonant
CONTEXT_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Window:
    """Samples [first, until) of the audio."""

    first: int
    until: int


@dataclass(frozen=True, slots=True)
class WindowAnswer:
    window: Window
    ids: tuple[int, ...]


def cut_point(pcm: Tensor, search: int = SEARCH_SAMPLES) -> int:
    """Where a window that is full is best cut: the middle of the quietest 0.1 s among its last `search` samples.

    Args:
        pcm: float32 (n,), the window.
    Returns:
        samples of it before the cut, at least 1 and at most n; a multiple of a frame where one is in reach.
    """
    first = max(0, pcm.shape[0] - search) // FRAME
    frames = pcm.shape[0] // FRAME
    if frames - first < _QUIET_FRAMES:
        return pcm.shape[0]
    energy = pcm[first * FRAME : frames * FRAME].double().square().view(-1, FRAME).sum(dim=1)
    around = energy.unfold(0, _QUIET_FRAMES, 1).sum(dim=1)
    latest = around.shape[0] - 1 - int(around.flip(0).argmin())  # of equally quiet places the last
    return (first + latest + _QUIET_FRAMES // 2 + 1) * FRAME


def split_windows(pcm: Tensor, longest: int = WINDOW_SAMPLES, search: int = SEARCH_SAMPLES) -> list[Window]:
    """Windows of at most `longest` samples that together are all of `pcm` (n,), float32. None for no samples.

    Raises:
        ValueError: windows cannot be that long, or so short that a cut is nowhere to be found.
    """
    if not 0 <= search < longest <= WINDOW_SAMPLES:
        raise ValueError(f"a window has more than the {search} samples that are searched, at most {WINDOW_SAMPLES}")
    windows, first = [], 0
    while first < pcm.shape[0]:
        full = pcm[first : first + longest]
        length = full.shape[0] if first + longest >= pcm.shape[0] else cut_point(full, search)
        windows.append(Window(first, first + length))
        first += length
    return windows


def transcribe_long(
    pcm: Tensor,
    answer: Callable[[Tensor, tuple[int, ...]], Sequence[int]],
    context_tokens: int = CONTEXT_TOKENS,
    longest: int = WINDOW_SAMPLES,
) -> list[WindowAnswer]:
    """Has audio of any length answered window by window.

    Args:
        pcm: float32 (n,) in [-1, 1], 16 kHz.
        answer: given a window's samples and the ids of the text before it (the end of the former answers, at most
            `context_tokens`), the ids of its answer.
    Returns:
        the answer of each window, in order; together the windows are the whole audio.
    Raises:
        ValueError: as `split_windows`, or `context_tokens` is negative.
    """
    if context_tokens < 0:
        raise ValueError(f"context_tokens cannot be negative: {context_tokens}")
    answers: list[WindowAnswer] = []
    said: tuple[int, ...] = ()
    for window in split_windows(pcm, longest, min(SEARCH_SAMPLES, longest // 4)):
        ids = tuple(answer(pcm[window.first : window.until], said))
        answers.append(WindowAnswer(window, ids))
        said = (*said, *ids)[-context_tokens:] if context_tokens else ()
    return answers
