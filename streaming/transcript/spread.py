"""Times for words that came without times of their own. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from inference.pool.interface import HypothesisWord


def spread(words: Sequence[HypothesisWord]) -> list[HypothesisWord]:
    """Neighbours with the very same bounds, which are then those of a segment, share its time by their lengths.

    An estimate: captions need words one after another. Words with times of their own stay as they are.
    """
    placed: list[HypothesisWord] = []
    for (start, end), same in groupby(words, key=lambda word: (word.start_sample, word.end_sample)):
        group = list(same)
        weights = [len(word.text) + (not word.glued) for word in group]
        whole, before = sum(weights), 0
        for word, weight in zip(group, weights, strict=True):
            bounds = [start + (end - start) * share // max(1, whole) for share in (before, before + weight)]
            before += weight
            placed.append(msgspec.structs.replace(word, start_sample=bounds[0], end_sample=bounds[1]))
    return placed
