"""What each client says: clips of the corpus one after another, as one long clip. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.clips import MODEL_RATE, Clip, Row, model_input


def make_scripts(clips: Sequence[Clip], count: int, seconds: float, duty: float, seed: int) -> list[Clip]:
    """`count` scripts of about `seconds` each, every one with the corpus in another order.

    Args:
        duty: share of the time that is speech, over 0 and at most 1: after each clip comes so much silence.
        seed: the same seed makes the same scripts.
    Returns:
        Clips at 16 kHz that end with a whole clip of the corpus, at least `seconds` long, with the transcripts joined.
    Raises:
        ValueError: no clips, or numbers that make no sense.
    """
    if not clips or count < 1 or seconds <= 0 or not 0 < duty <= 1:
        raise ValueError("needed are clips, a count of at least 1, some seconds, and a duty over 0 and at most 1")
    random = np.random.default_rng(seed)
    return [_script(clips, random, f"script-{index}", seconds, duty) for index in range(count)]


def _script(clips: Sequence[Clip], random: np.random.Generator, name: str, seconds: float, duty: float) -> Clip:
    pieces: list[NDArray[np.int16]] = []
    texts: list[str] = []
    length, order = 0, iter(())
    while length < seconds * MODEL_RATE:
        index = next(order, None)
        if index is None:
            order = iter(random.permutation(len(clips)).tolist())
            continue
        if pieces:
            silence = np.zeros(round(len(pieces[-1]) * (1 - duty) / duty), np.int16)
            pieces.append(silence)
            length += len(silence)
        samples = np.clip(np.rint(model_input(clips[index]) * 32768.0), -32768, 32767).astype(np.int16)
        pieces.append(samples)
        texts.append(clips[index].row.transcript)
        length += len(samples)
    return Clip(Row(name, Path(name), " ".join(texts)), np.concatenate(pieces), MODEL_RATE)


def start_offsets(streams: int, ramp_s: float, seed: int) -> list[float]:
    """When each client begins, in seconds: anywhere in the ramp, so that no two are in step."""
    return sorted(np.random.default_rng(seed).uniform(0.0, ramp_s, streams).tolist())
