"""The clips of `tests/data` with their words."""

from __future__ import annotations

import csv
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parents[1] / "data"


def read_clip(name: str) -> tuple[NDArray[np.int16], str]:
    """int16 (n,), mono at 16 kHz, and what is said in it."""
    with (DATA / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        texts = {row["path"]: row["transcript"] for row in csv.DictReader(file, delimiter="\t")}
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    with av.open(str(DATA / name)) as container:
        frames = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in [*frames, *resampler.resample(None)]]), texts[name]
