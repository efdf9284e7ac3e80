"""The default settings on real speech, noise and music. Skipped without the recordings."""

import csv
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from streaming.audio.resampler import StreamingResampler
from vad import DetectorName, EndpointSettings, SegmentEnded, Segmenter, make_detector

pytestmark = pytest.mark.skipif("TYMPAN_DATA" not in os.environ, reason="TYMPAN_DATA names no folder of recordings")

GRID = 320
CLIPS_OF_A_LIST = 8
QUIET = 0.05  # -26 dB


@cache
def data() -> Path:
    return Path(os.environ["TYMPAN_DATA"]) / "data"


@cache
def clips(manifest: str) -> list[NDArray[np.int16]]:
    """The first shorter clips of a list, with half a second of silence before and a second behind."""
    with (data() / manifest).open(newline="") as lines:
        paths = [row["path"] for row in csv.DictReader(lines, delimiter="\t")]
    short = [path for path in paths if soundfile.info(data() / path).duration < 12]
    step = len(short) // CLIPS_OF_A_LIST
    return [np.pad(load(path), (8_000, 16_000)) for path in short[::step][:CLIPS_OF_A_LIST]]


def load(path: str, seconds: float | None = None) -> NDArray[np.int16]:
    samples, rate = soundfile.read(data() / path, dtype="float32", always_2d=True)
    resampler = StreamingResampler(rate)
    pcm = np.concatenate([resampler.feed(samples[:, 0]), resampler.flush()])
    return pcm[: int(seconds * 16_000)] if seconds else pcm


def segments(pcm: NDArray[np.int16], detector: DetectorName = "cascade") -> list[SegmentEnded]:
    cutter = Segmenter(EndpointSettings(), make_detector(detector))
    return [event for event in cutter.feed(pcm) + cutter.finish("stop") if isinstance(event, SegmentEnded)]


def covered(pcm: NDArray[np.int16], found: list[SegmentEnded]) -> NDArray[np.bool_]:
    mask = np.zeros(len(pcm) // GRID, np.bool_)
    for segment in found:
        mask[segment.start_sample // GRID : segment.end_sample // GRID] = True
    return mask


def loud(pcm: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Pieces of 20 ms within 20 dB of the clip's loudest."""
    power = np.square(pcm[: len(pcm) // GRID * GRID].reshape(-1, GRID), dtype=np.float64).mean(axis=1)
    mask: NDArray[np.bool_] = power > np.percentile(power, 98) / 100
    return mask


@pytest.mark.parametrize("manifest", ["english_prose.tsv", "english_telephone.tsv"])
def test_segments_cover_the_speech(manifest: str) -> None:
    speech = inside = 0
    for pcm in clips(manifest):
        speech += int(loud(pcm).sum())
        inside += int((loud(pcm) & covered(pcm, segments(pcm))).sum())
    assert inside / speech > 0.995


@pytest.mark.parametrize("manifest", ["english_prose.tsv", "english_telephone.tsv"])
def test_the_cascade_hardly_differs_from_silero_even_on_quiet_speech(manifest: str) -> None:
    kept = missed = 0
    for clip in clips(manifest):
        pcm = (clip * QUIET).astype(np.int16)
        silero, cascade = covered(pcm, segments(pcm, "silero")), covered(pcm, segments(pcm))
        kept += int(silero.sum())
        missed += int((silero & ~cascade).sum())
    assert missed / kept < 0.02


@pytest.mark.parametrize(
    "path",
    [
        "noise/generated/pink.ogg",
        "noise/livekit/office-ambience.ogg",
        "noise/picovoice/kitchen.ogg",
        "music/ibm_max/guitar.ogg",
        "music/moh/macroform-cold_day.ogg",
    ],
)
def test_noise_and_music_make_no_segments(path: str) -> None:
    assert segments(load(path, seconds=20)) == []
